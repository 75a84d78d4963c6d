"""NetworkPolicies let exactly the real paths through: nothing that is needed is forbidden, nothing else is allowed."""

import ipaddress
import itertools
from typing import Any, Final, NamedTuple

import pytest

from tests.deploy import kube
from tests.deploy.kube import CHOSEN, OVERLAYS, selects
from tools.network_paths import OURS, PATHS, Party


class End(NamedTuple):
    """One end of a path: a pod with its namespace's labels, or an address outside."""

    pod: dict[str, str]
    namespace: dict[str, str]
    ours: bool
    address: str = ""


_OURS: Final = {"app.kubernetes.io/name": "filo"}
ENDS: Final[dict[Party, End]] = {
    **{party: End({**_OURS, "app.kubernetes.io/component": party.value}, {}, ours=True) for party in OURS},
    Party.INGRESS: End({}, {"filo.dev/ingress": "true"}, ours=False),
    Party.BACKEND: End({"filo.dev/backend": "true"}, {"filo.dev/backend": "true"}, ours=False),
    Party.TRAINER: End({"filo.dev/trainer": "true"}, {"filo.dev/trainer": "true"}, ours=False),
    Party.MONITORING: End({}, {"filo.dev/monitoring": "true"}, ours=False),
    Party.DNS: End({"k8s-app": "kube-dns"}, {"kubernetes.io/metadata.name": "kube-system"}, ours=False),
    Party.GEMINI: End({}, {}, ours=False, address="142.250.184.10"),
    Party.DATABASE: End({}, {}, ours=False, address="10.20.30.40"),
    Party.COLLECTOR: End({"app": "otel-collector"}, {"filo.dev/tracing": "true"}, ours=False),
    Party.STRANGER: End({"app": "stranger"}, {"kubernetes.io/metadata.name": "default"}, ours=False),
}
PORTS: Final = sorted({path.port for path in PATHS} | {22, 80, 443, 5432, 7421, 7422, 7423, 7443})


def _is(peer: dict[str, Any], end: End) -> bool:
    """Whether a peer of a rule is this end."""
    if "ipBlock" in peer:
        if not end.address:
            return False
        address, block = ipaddress.ip_address(end.address), peer["ipBlock"]
        inside = address in ipaddress.ip_network(block["cidr"])
        return inside and not any(address in ipaddress.ip_network(each) for each in block.get("except", []))
    if end.address:
        return False
    here = selects(peer["namespaceSelector"], end.namespace) if "namespaceSelector" in peer else end.ours
    return here and selects(peer.get("podSelector", {}), end.pod)


def _lets(overlay: str, subject: End, other: End, port: int, direction: str) -> bool:
    """Whether the policies of one end allow the other; an end outside of Filo has none."""
    if not subject.ours:
        return True
    kind, peers = ("Ingress", "from") if direction == "in" else ("Egress", "to")
    mine = [
        policy["spec"]
        for policy in kube.of(overlay, "NetworkPolicy")
        if selects(policy["spec"]["podSelector"], subject.pod) and kind in policy["spec"]["policyTypes"]
    ]
    assert mine, "a pod that no policy selects is open to everybody"
    return any(
        any(_is(peer, other) for peer in rule[peers]) and port in {each["port"] for each in rule["ports"]}
        for spec in mine
        for rule in spec.get(kind.lower(), [])
    )


def allowed(overlay: str, source: Party, target: Party, port: int) -> bool:
    """Whether a connection is let out and let in."""
    return _lets(overlay, ENDS[source], ENDS[target], port, "out") and _lets(
        overlay, ENDS[target], ENDS[source], port, "in"
    )


@pytest.mark.parametrize("overlay", [*OVERLAYS, *CHOSEN])
def test_exactly_the_real_paths(overlay: str) -> None:
    """Of all parties and ports, those in the table; each rule says its ports and its peers."""
    base, _, component = overlay.partition("+")
    chosen = {base, f"the component {component}"}
    present = {kube.component(workload) for workload in kube.workloads(overlay)}
    parties = [party for party in Party if party not in OURS or party.value in present]
    wanted = {(path.source, path.target, path.port) for path in PATHS if chosen & set(path.overlays)}
    found = {
        (source, target, port)
        for source, target, port in itertools.product(parties, parties, PORTS)
        if (source in OURS or target in OURS) and allowed(overlay, source, target, port)
    }
    assert found - wanted == set(), "these are open and should not be"
    assert wanted - found == set(), "these are needed and closed"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_rule_names_peers_and_ports(overlay: str) -> None:
    """An empty list would mean everybody, or every port."""
    for policy in kube.of(overlay, "NetworkPolicy"):
        for direction, peers in (("ingress", "from"), ("egress", "to")):
            for rule in policy["spec"].get(direction, []):
                assert rule[peers], policy["metadata"]["name"]
                assert rule["ports"], policy["metadata"]["name"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_is_closed_unless_opened(overlay: str) -> None:
    """One policy selects all of Filo's pods, in both directions, and lets nothing in."""
    policy = kube.named(overlay, "NetworkPolicy", "filo-default")["spec"]
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    assert not policy.get("ingress")
    for workload in kube.workloads(overlay):
        assert selects(policy["podSelector"], kube.pod_of(workload)["metadata"]["labels"])

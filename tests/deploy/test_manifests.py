"""Manifests: valid by the schemas, and in agreement with each other and with the code."""

import json
import re
from pathlib import Path
from typing import Any, Final

import kubernetes_validate
import pytest
from cloudcoil.models.prometheus_operator import v1 as operator

from services.cli.settings import settings
from services.common.config import parse_address, parse_duration
from services.common.grpc_server import LIVE
from services.relay.client.protocol import PATH
from services.relay.client.server import READY_PATH
from services.relay.config import DrainPolicy
from tests.deploy import kube
from tests.deploy.kube import (
    CHOSEN,
    OVERLAYS,
    RENDERED,
    ROOT,
    SHARED,
    containers,
    environment,
    pod_of,
    ports,
    selects,
    workloads,
)

VERSION: Final = "1.37"
CUSTOM: Final[dict[str, Any]] = {"PodMonitor": operator.PodMonitor, "PrometheusRule": operator.PrometheusRule}
GRACE_LEFT: Final = 10
"""Seconds of the grace period that must be left."""


@pytest.mark.parametrize("overlay", RENDERED)
def test_every_object_fits_its_schema(overlay: str) -> None:
    """Kubernetes' own, where unknown fields are errors; the operator's for its objects."""
    for found in kube.render(overlay):
        if found["kind"] not in CUSTOM:
            kubernetes_validate.validate(found, VERSION, strict=True)


def test_the_operators_objects_fit_their_schema() -> None:
    """And lose nothing on the way through it: its models pass over what they do not know."""
    custom = [found for found in kube.render("prod") if found["kind"] in CUSTOM]
    assert {found["kind"] for found in custom} == set(CUSTOM)
    for found in custom:
        model = CUSTOM[found["kind"]].model_validate(found)
        back = model.model_dump(by_alias=True, exclude_unset=True, mode="json")
        assert _without_nothing(back) == _without_nothing(found)


def _without_nothing(value: Any) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, dict):
        return {key: _without_nothing(each) for key, each in value.items() if each is not None}
    return [_without_nothing(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("overlay", [*OVERLAYS, *SHARED])
def test_every_selector_finds_pods_and_no_others(overlay: str) -> None:
    """Services, budgets, deployments: each selects the pods of its own part."""
    pods = {kube.component(workload): pod_of(workload)["metadata"]["labels"] for workload in workloads(overlay)}
    for found in kube.of(overlay, "Service", "PodDisruptionBudget", "Deployment"):
        selector = found["spec"]["selector"]
        selector = {"matchLabels": selector} if found["kind"] == "Service" else selector
        chosen = {part for part, labels in pods.items() if selects(selector, labels)}
        assert chosen == {found["metadata"]["labels"]["app.kubernetes.io/component"]}, found["metadata"]["name"]


@pytest.mark.parametrize("overlay", [*OVERLAYS, *SHARED])
def test_every_port_leads_to_where_a_service_listens(overlay: str) -> None:
    """From the Service by name to the container, and from there to the address in its environment."""
    for service in kube.of(overlay, "Service"):
        (workload,) = [
            each
            for each in kube.of(overlay, "Deployment")
            if selects({"matchLabels": service["spec"]["selector"]}, pod_of(each)["metadata"]["labels"])
        ]
        known: dict[str, int] = {}
        for container in containers(workload):
            known |= ports(container)
        for port in service["spec"]["ports"]:
            assert known[port["targetPort"]] == port["port"], service["metadata"]["name"]
    for workload in kube.of(overlay, "Deployment"):
        for container in containers(workload):
            listening = {
                parse_address(value).port
                for name, value in environment(container).items()
                if name.endswith("_ADDRESS") and value.startswith(("0.0.0.0:", "127."))
            }
            assert listening == set(ports(container).values()), container["name"]


@pytest.mark.parametrize("overlay", [*OVERLAYS, *SHARED])
def test_every_address_of_another_service_exists(overlay: str) -> None:
    """A name that an environment holds is a Service, with that port."""
    services = {
        found["metadata"]["name"]: {port["port"] for port in found["spec"]["ports"]}
        for found in kube.of(overlay, "Service")
    }
    for workload in workloads(overlay):
        for container in containers(workload):
            for value in environment(container).values():
                for name, port in re.findall(r"(filo-[a-z-]+):(\d+)", value):
                    assert int(port) in services[name], value


@pytest.mark.parametrize("overlay", [*OVERLAYS, *CHOSEN])
def test_every_setting_is_one_of_the_services(overlay: str) -> None:
    """A variable that no service reads is a mistake that nobody would notice."""
    for workload in workloads(overlay):
        for container in containers(workload):
            known = {setting.name for setting in settings(container["args"][0])} | {"POD_IP"}
            given = {each["name"] for each in container["env"]}
            assert given - known == set(), container["name"]


@pytest.mark.parametrize("overlay", [*OVERLAYS, *SHARED])
def test_a_variable_is_made_before_it_is_used(overlay: str) -> None:
    """Kubernetes fills in only what stands above."""
    for workload in workloads(overlay):
        for container in containers(workload):
            made: set[str] = set()
            for each in container["env"]:
                assert set(re.findall(r"\$\((\w+)\)", each.get("value", ""))) <= made, each["name"]
                made.add(each["name"])


@pytest.mark.parametrize("overlay", [*OVERLAYS, *SHARED])
def test_every_server_is_probed(overlay: str) -> None:
    """By gRPC health on its own port; who is not ready (the store is away, it drains) is alive, and is not killed."""
    for workload in kube.of(overlay, "Deployment"):
        (container,) = pod_of(workload)["spec"]["containers"]
        probes = {kind: container[kind] for kind in ("startupProbe", "livenessProbe", "readinessProbe")}
        health, ready = ports(container)["health"], probes.pop("readinessProbe")
        for probe in probes.values():
            assert probe["grpc"] == {"port": health, "service": LIVE}
        if workload["metadata"]["name"] == "filo-relay":  # health does not know that a relay is full, or overloaded
            assert ready["httpGet"] == {"path": READY_PATH, "port": ports(container)["clients"]}
        else:
            assert ready["grpc"] == {"port": health}
        alive = probes["livenessProbe"]
        assert alive["periodSeconds"] * alive["failureThreshold"] > ready["periodSeconds"] * ready["failureThreshold"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_relay_has_time_to_drain(overlay: str) -> None:
    """The grace period holds preStop and the drain, whether its time is set or the relay's own, and some to spare."""
    spec = pod_of(kube.named(overlay, "Deployment", "filo-relay"))["spec"]
    (relay,) = spec["containers"]
    wait = relay["lifecycle"]["preStop"]["sleep"]["seconds"]
    drain = parse_duration(environment(relay).get("FILO_RELAY_DRAIN_TIMEOUT", f"{DrainPolicy().timeout:g}s"))
    assert spec["terminationGracePeriodSeconds"] >= wait + drain + GRACE_LEFT


@pytest.mark.parametrize("overlay", [*OVERLAYS, *SHARED])
def test_least_privilege(overlay: str) -> None:
    """No root, no capability, nothing writable but volumes, no token of the API server, limits on memory."""
    for workload in workloads(overlay):
        spec = pod_of(workload)["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] == spec["securityContext"]["fsGroup"] == 10001
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in containers(workload):
            allowed = container["securityContext"]
            assert allowed["allowPrivilegeEscalation"] is False
            assert allowed["readOnlyRootFilesystem"] is True
            assert allowed["capabilities"] == {"drop": ["ALL"]}
            assert set(container["resources"]["requests"]) == {"cpu", "memory"}
            assert "memory" in container["resources"]["limits"]
            mounted = {mount["name"] for mount in container["volumeMounts"]}
            assert mounted <= {volume["name"] for volume in spec["volumes"]}
    accounts = {found["metadata"]["name"]: found for found in kube.of(overlay, "ServiceAccount")}
    used = {pod_of(workload)["spec"]["serviceAccountName"] for workload in workloads(overlay)}
    assert used == set(accounts)
    assert not any(found["automountServiceAccountToken"] for found in accounts.values())
    assert kube.of(overlay, "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding") == []


@pytest.mark.parametrize("overlay", [*OVERLAYS, *SHARED])
def test_secrets_are_named_and_never_written(overlay: str) -> None:
    """No Secret is rendered, no key stands in an environment, and each that is asked for is explained."""
    assert kube.of(overlay, "Secret") == []
    explained = (ROOT / "docs/deploy.md").read_text()
    for name, key in kube.secrets(overlay):
        assert f"`{name}`" in explained, name
        assert key in explained
    if overlay != "dev":
        written = {
            name for workload in workloads(overlay) for each in containers(workload) for name in environment(each)
        }
        assert not written & {"GEMINI_API_KEY", "FILO_RELAY_ACCESS_TOKEN", "FILO_HANDLES_DATABASE_URL"}


@pytest.mark.parametrize("overlay", [*OVERLAYS, *SHARED])
def test_images_have_a_version(overlay: str) -> None:
    """The same for all, and never what happens to be the latest."""
    images = {container["image"] for workload in workloads(overlay) for container in containers(workload)}
    assert len(images) == 1
    name, _, tag = images.pop().rpartition(":")
    assert name.endswith("/filo")
    assert tag not in {"", "latest"}


def test_the_way_in_leads_to_clients_sockets_only() -> None:
    """Ingress and route: the path of the WebSocket, the relay's public port."""
    (ingress,) = kube.of("prod", "Ingress")
    (rule,) = ingress["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    assert path["path"] == PATH
    service = kube.named("prod", "Service", path["backend"]["service"]["name"])
    assert [port["name"] for port in service["spec"]["ports"]] == [path["backend"]["service"]["port"]["name"]]
    assert [port["port"] for port in service["spec"]["ports"]] == [7400]
    for timeout in ("read", "send"):
        assert int(ingress["metadata"]["annotations"][f"nginx.ingress.kubernetes.io/proxy-{timeout}-timeout"]) >= 3600


def test_a_gateway_leads_there_too(tmp_path: Path) -> None:
    """The other way in: the same path, the same port, and no limit on the life of a socket."""
    made = kube.with_component("gateway", tmp_path)
    (route,) = [found for found in made if found["kind"] == "HTTPRoute"]
    (rule,) = route["spec"]["rules"]
    assert rule["matches"] == [{"path": {"type": "Exact", "value": PATH}}]
    assert rule["backendRefs"] == [{"name": "filo-relay", "port": 7400}]
    assert set(rule["timeouts"].values()) == {"0s"}


def test_every_component_is_chosen_by_an_overlay_or_tested_alone() -> None:
    """So that none is written and never rendered."""
    directory = ROOT / "deploy/kubernetes"
    chosen = "".join(path.read_text() for path in directory.glob("overlays/*/kustomization.yaml"))
    unused = {path.name for path in (directory / "components").iterdir() if f"components/{path.name}" not in chosen}
    assert unused == {"gateway", *(overlay.partition("+")[2] for overlay in CHOSEN)}


def test_grpc_is_balanced_by_the_caller() -> None:
    """Behind one cluster address a channel would stay with the first pod."""
    for overlay in OVERLAYS:
        for service in kube.of(overlay, "Service"):
            headless = service["spec"].get("clusterIP") == "None"
            grpc = any(port.get("appProtocol") == "grpc" for port in service["spec"]["ports"])
            assert headless or not grpc, service["metadata"]["name"]


def test_production_has_more_than_one_of_what_must_not_stop() -> None:
    """Relays by the autoscaler, stores by number; budgets that let one go at a time; spread over nodes and zones."""
    (autoscaler,) = kube.of("prod", "HorizontalPodAutoscaler")
    assert autoscaler["spec"]["scaleTargetRef"]["name"] == "filo-relay"
    assert autoscaler["spec"]["minReplicas"] >= 3
    assert "replicas" not in kube.named("prod", "Deployment", "filo-relay")["spec"]
    assert kube.named("prod", "Deployment", "filo-handles")["spec"]["replicas"] >= 2
    for name in ("filo-relay", "filo-handles"):
        assert kube.named("prod", "PodDisruptionBudget", name)["spec"]["maxUnavailable"] == 1
        spread = pod_of(kube.named("prod", "Deployment", name))["spec"]["topologySpreadConstraints"]
        assert {each["topologyKey"] for each in spread} == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}


def test_a_shared_database_of_runs_has_its_schema_made() -> None:
    """By a Job with the same image and the same URL; no simulator has a file of its own any more."""
    job, simulator = (
        kube.named("prod+simulator-database", *which)
        for which in (("Job", "filo-simulator-migrate"), ("Deployment", "filo-simulator"))
    )
    (migrate,), (service,) = containers(job), containers(simulator)
    assert migrate["args"] == ["simulator", "migrate"]
    assert migrate["image"] == service["image"]
    assert "FILO_SIMULATOR_DATABASE_URL" not in environment(migrate), "it comes from a secret"
    urls = [[e for e in each["env"] if e["name"] == "FILO_SIMULATOR_DATABASE_URL"] for each in (migrate, service)]
    assert urls[0] == urls[1] != []
    assert simulator["spec"]["replicas"] >= 2
    assert kube.of("prod+simulator-database", "PersistentVolumeClaim") == []


def test_production_speaks_encrypted() -> None:
    """Certificates for each service, and no permission to speak in the clear."""
    for workload in kube.of("prod", "Deployment"):
        (container,) = pod_of(workload)["spec"]["containers"]
        given = environment(container)
        assert {"FILO_TLS_CERT", "FILO_TLS_KEY", "FILO_TLS_CA"} <= set(given)
        assert "FILO_ALLOW_PLAINTEXT" not in given
        names = {volume["name"]: volume for volume in pod_of(workload)["spec"]["volumes"]}
        assert names["tls"]["secret"]["secretName"] == f"filo-{container['name']}-tls"


def test_dashboards_come_along() -> None:
    """Each as a ConfigMap that Grafana's sidecar finds, whole."""
    found = kube.of("prod", "ConfigMap")
    assert all(each["metadata"]["labels"]["grafana_dashboard"] == "1" for each in found)
    made = {name: json.loads(text) for each in found for name, text in each["data"].items()}
    assert made == {path.name: json.loads(path.read_text()) for path in (ROOT / "deploy/grafana").glob("*.json")}


def test_the_monitor_finds_every_metrics_port() -> None:
    """By its name, on the pods of each service."""
    (monitor,) = kube.of("prod", "PodMonitor")
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    for workload in kube.of("prod", "Deployment"):
        assert selects(monitor["spec"]["selector"], pod_of(workload)["metadata"]["labels"])
        assert any(endpoint["port"] in ports(container) for container in containers(workload))

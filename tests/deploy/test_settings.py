"""What the manifests set is what services accept: each container's environment is read by its service's own code."""

import importlib
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest

from services.common import api_keys
from services.common.config import ConfigError
from services.common.grpc_access import Caller
from tests.deploy import kube
from tests.deploy.kube import CHOSEN, OVERLAYS, TRACED, containers, pod_of, workloads
from tests.support.certificates import Authority
from tools.network_paths import PATHS, Party

REFERENCED: Final = {
    "POD_IP": "10.1.2.3",
    "GEMINI_API_KEY": "a-key",
    "FILO_HANDLES_DATABASE_URL": "postgresql://filo:secret@db.example.com:5432/filo",
    "FILO_SIMULATOR_DATABASE_URL": "postgresql://runs:secret@db.example.com:5432/filo",
}
"""What Kubernetes fills in from the pod and from secrets."""


def settings(container: kube.Object, mounted: Path) -> Any:  # noqa: ANN401 - every service has its own
    """What the service makes of its environment.

    Args:
        container: Of a rendered pod.
        mounted: Stands for ``/``.

    Raises:
        ConfigError: It would not start.
    """
    values: dict[str, str] = {}
    for each in container["env"]:
        value = each["value"] if "value" in each else REFERENCED[each["name"]]
        for name, known in values.items():
            value = value.replace(f"$({name})", known)
        values[each["name"]] = value.replace("/etc/filo/", f"{mounted}/etc/").replace("/var/lib/", f"{mounted}/lib/")
    return importlib.import_module(f"services.{container['args'][0]}.config").Settings.from_env(values)


@pytest.fixture
def mounted(tmp_path: Path) -> Path:
    """The emulator's authority and the hashes of API keys, where a relay looks for them."""
    ca, keys = tmp_path / "lib/filo/emulator-ca.pem", tmp_path / "etc/api-keys/api-keys"
    for file in (ca, keys):
        file.parent.mkdir(parents=True)
        file.touch()
    keys.write_text(f"shop sha256:{'0' * 64} as=platform conversations=200\n", encoding="utf-8")
    keys.chmod(0o440)
    return tmp_path


@pytest.mark.parametrize("overlay", [*OVERLAYS, *CHOSEN])
def test_every_service_accepts_its_environment(overlay: str, mounted: Path) -> None:
    """No problem is found, with the secrets and certificates that the documentation asks for."""
    authority, prod = Authority(), overlay.startswith("prod")
    for workload in workloads(overlay):
        for container in containers(workload):
            authority.issue(mounted / "etc/tls", container["args"][0])
            made = settings(container, mounted)
            if container["name"] == "relay":
                assert str(made.advertise_address) == "10.1.2.3:7401", "where other relays reach this one"
                assert made.transport.encrypted is prod
                assert made.access.api_keys is not None, "backends show a key"
            if container["name"] == "simulator":
                assert made.channel == ("text" if prod else "voice"), "Gemini does not hear the test voice"
            if container["name"] == "handles":
                assert made.embedded is not prod


def test_the_keys_of_development_open_each_other(mounted: Path) -> None:
    """The key that a service shows has its role where it calls, and the documented one starts runs."""
    found = {}
    for workload in kube.of("dev", "Deployment"):
        for container in containers(workload):
            if container["name"] in {"relay", "simulator"}:
                made = settings(container, mounted)
                keys = api_keys.opened(made.access)
                assert keys is not None
                shown = (made.transport.api_key, "filo_for-development-only")
                found[container["name"]] = [key.roles for one in shown if (key := keys.find(one))]
    platform = frozenset({Caller.PLATFORM})
    assert found == {
        "relay": [frozenset({Caller.RELAY}), platform],
        "simulator": [frozenset({Caller.SIMULATOR}), platform],
    }


@pytest.mark.parametrize("overlay", [*OVERLAYS, *TRACED])
def test_traces_go_where_a_policy_lets_them(overlay: str, mounted: Path) -> None:
    """Only where the component is chosen; from every service, a part of the turns, to the port in the table."""
    authority = Authority()
    for workload in kube.of(overlay, "Deployment"):
        for container in pod_of(workload)["spec"]["containers"]:
            authority.issue(mounted / "etc/tls", container["args"][0])
            tracing = settings(container, mounted).tracing
            assert tracing.on is (overlay in TRACED)
            if tracing.on:
                assert {urlsplit(tracing.endpoint).port} == {
                    path.port for path in PATHS if path.target is Party.COLLECTOR
                }
                assert 0 < tracing.ratio < 1


def test_without_certificates_production_does_not_start(mounted: Path) -> None:
    """It does not fall back to speaking in the clear."""
    for workload in kube.of("prod", "Deployment"):
        for container in containers(workload):
            with pytest.raises(ConfigError, match="FILO_TLS_CERT"):
                settings(container, mounted)

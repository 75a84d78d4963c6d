"""What the manifests set is what services accept: each container's environment is read by its service's own code."""

import importlib
from pathlib import Path
from typing import Any, Final

import pytest

from services.common import api_keys
from services.common.config import ConfigError
from services.common.grpc_access import Caller
from tests.deploy import kube
from tests.deploy.kube import OVERLAYS, containers, workloads
from tests.support.certificates import Authority

REFERENCED: Final = {
    "POD_IP": "10.1.2.3",
    "GEMINI_API_KEY": "a-key",
    "FILO_HANDLES_DATABASE_URL": "postgresql://filo:secret@db.example.com:5432/filo",
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
    """The emulator's authority, where a relay looks for it."""
    ca = tmp_path / "lib/filo/emulator-ca.pem"
    ca.parent.mkdir(parents=True)
    ca.touch()
    return tmp_path


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_service_accepts_its_environment(overlay: str, mounted: Path) -> None:
    """No problem is found, with the secrets and certificates that the documentation asks for."""
    authority = Authority()
    for workload in workloads(overlay):
        for container in containers(workload):
            authority.issue(mounted / "etc/tls", container["args"][0])
            made = settings(container, mounted)
            if container["name"] == "relay":
                assert str(made.advertise_address) == "10.1.2.3:7401", "where other relays reach this one"
                assert made.transport.encrypted is (overlay == "prod")
            if container["name"] == "simulator":
                assert made.channel == ("text" if overlay == "prod" else "voice"), "Gemini does not hear the test voice"
            if container["name"] == "handles":
                assert made.embedded is (overlay == "dev")


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


def test_without_certificates_production_does_not_start(mounted: Path) -> None:
    """It does not fall back to speaking in the clear."""
    for workload in kube.of("prod", "Deployment"):
        for container in containers(workload):
            with pytest.raises(ConfigError, match="FILO_TLS_CERT"):
                settings(container, mounted)

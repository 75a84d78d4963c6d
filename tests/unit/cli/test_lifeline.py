"""A child that dies with its parent."""

import os
import select
import signal
import subprocess
import sys

import pytest

from services.cli import lifeline

HOLD = "import os; from services.cli import lifeline; lifeline.hold(os.environ)"
CHILD = f"{HOLD}; import signal; print('held', flush=True); signal.pause()"
PARENT = f"""
import os, subprocess, sys
environ = {{**os.environ, {lifeline.SUPERVISOR!r}: str(os.getpid())}}
subprocess.Popen([sys.executable, "-c", {CHILD!r}], env=environ).wait()
"""


def held_with(supervisor: str) -> int:
    """The exit code of a child that is told who its supervisor is, and does nothing but hold on to it."""
    environ = {**os.environ, lifeline.SUPERVISOR: supervisor}
    return subprocess.run([sys.executable, "-c", HOLD], env=environ, check=False, timeout=30).returncode


def test_a_killed_parent_takes_its_child_along() -> None:
    """After SIGKILL of the parent alone, the child is gone: the pipe they share is closed."""
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "held\n"
        parent.send_signal(signal.SIGKILL)
        readable, _, _ = select.select([parent.stdout], [], [], 10)
        assert readable
        assert not parent.stdout.read()


@pytest.mark.parametrize("supervisor", ["", "soon", str(os.getpid())], ids=["none", "nonsense", "this process"])
def test_without_a_supervisor_or_with_the_right_one_life_goes_on(supervisor: str) -> None:
    """A service that was started by hand, or by a supervisor that is there, is not ended."""
    assert held_with(supervisor) == 0


def test_a_supervisor_that_is_gone_already_ends_the_child() -> None:
    """The parent died between fork and the request to the kernel: the child ends by itself."""
    assert held_with(str(os.getppid())) == 1

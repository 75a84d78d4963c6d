"""The runner of the static checks."""

import sys
from pathlib import Path

import pytest

from tools import verify
from tools.verify import Check


def check(name: str, code: str) -> Check:
    """A check that runs this program."""
    return Check(name, [sys.executable, "-c", code])


def test_all_well_is_one_line_a_check_and_exit_code_0(capsys: pytest.CaptureFixture[str]) -> None:
    """What a check that passes prints is nobody's business."""
    assert verify.verify([check("one", "print('noise')"), check("two", "")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" (")[0] for line in lines] == ["ok     one", "ok     two"]


def test_a_failure_shows_its_output_and_the_others_still_run(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 1, all of both streams of the failed check, and every other check's result."""
    fails = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"
    assert verify.verify([check("one", fails), check("two", "")]) == 1
    printed = capsys.readouterr().out
    assert "FAILED one" in printed
    assert "       out\n" in printed
    assert "       err\n" in printed
    assert "ok     two" in printed
    assert "1 failed" in printed


def test_every_tool_that_is_called_is_installed() -> None:
    """No check can pass or fail because its program is missing."""
    for each in verify.CHECKS:
        assert Path(each.command[0]).is_file(), each.proves

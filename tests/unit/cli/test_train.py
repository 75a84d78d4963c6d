"""`filo train`: what it tells of a run that has ended, and the exit code."""

import pytest

from filo.simulator.v1 import simulator_pb2 as pb
from services.cli.screen import Screen
from services.cli.train import EXIT_NOT_WELL, tell
from tests.unit.cli import recorded


@pytest.mark.parametrize("outcome", [pb.OUTCOME_COMPLETED, pb.OUTCOME_LOST, pb.OUTCOME_STOPPED, pb.OUTCOME_FAILED])
@pytest.mark.parametrize("passed", [True, False])
def test_the_reports_verdict_is_the_exit_code(
    outcome: pb.Outcome.ValueType, capsys: pytest.CaptureFixture[str], *, passed: bool
) -> None:
    """As in a suite, in `runs show` and in JUnit: a lowered threshold counts here too; a failure is never silent."""
    run = recorded.good_run()
    run.outcome, run.reason, run.report.passed = outcome, "Something happened.", passed
    assert tell(run, [], Screen()) == (0 if passed else EXIT_NOT_WELL)
    assert ("Failed: Something happened." in capsys.readouterr().out) is not passed

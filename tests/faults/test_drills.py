"""Deploys, deaths and pauses of whole processes, in small; `make deploy-drill` does the same with a hundred talkers."""

import pytest
import uvloop

from tests.drills.drill import DRILLS, Times, drill

QUICK = {"FILO_RELAY_DRAIN_SPREAD": "1s", "FILO_HANDLES_LEASE": "3s"}
MOVES = {"rolling deploy", "kill -9"}
"""Drills in which every conversation has to move."""


@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", DRILLS)
def test_nothing_is_lost_or_doubled(name: str) -> None:
    """By the emulator's account every turn is in the context once; every answer was heard whole, once."""
    report = uvloop.run(drill(name, 6, Times(settled=0.5, away=4.0), **QUICK))
    assert [one.problems for one in report.verdicts if one.problems] == []
    assert not report.failed
    assert [note for note in report.notes if note.startswith("FAIL")] == []
    assert len(report.verdicts) == 6
    if name in MOVES:
        assert {one.continuity for one in report.verdicts} == {"handle"}
        assert all(one.moves for one in report.verdicts)

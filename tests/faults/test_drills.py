"""Deploys, deaths and pauses of whole processes, in small; `make deploy-drill` does the same with a hundred talkers.

Several things happen to one fleet, since to start one costs more than most of them.
"""

from collections.abc import Sequence
from typing import Final

import pytest
import uvloop

from tests.drills.drill import DRILLS, Times, drill

QUICK: Final = {"FILO_RELAY_DRAIN_SPREAD": "1s", "FILO_HANDLES_LEASE": "3s"}
SHORT: Final = Times(away=2.0, killed=1)
KIND: Final = ("rolling deploy", "store away", "database away")
CRUEL: Final = ("second SIGTERM", "kill -9")
PAUSED: Final = ("split brain",)
"""In which only half of the conversations have to move."""


@pytest.mark.timeout(180)
@pytest.mark.parametrize("names", [KIND, CRUEL, PAUSED], ids=["kind", "cruel", "paused"])
def test_nothing_is_lost_or_doubled(names: Sequence[str]) -> None:
    """By the emulator's account every turn is in the context once; every answer was heard whole and complete, once."""
    report = uvloop.run(drill(names, 6, SHORT, **QUICK))
    assert [one.problems for one in report.verdicts if one.problems] == []
    assert [note for note in report.notes if note.startswith("FAIL")] == []
    assert [one.twice for one in report.verdicts] == [0] * 6
    assert not report.failed
    assert len(report.verdicts) == 6
    assert names == PAUSED or all(one.moves for one in report.verdicts)
    if names == KIND:
        assert report.continuity["rolling deploy"] == ["handle"] * 6


def test_every_drill_is_here() -> None:
    """What `make deploy-drill` does is done in small, too."""
    assert {*KIND, *CRUEL, *PAUSED} == set(DRILLS)

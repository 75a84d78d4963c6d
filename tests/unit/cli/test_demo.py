"""What the demo accepts as shown."""

import io

import pytest
from rich.console import Console

from filo.simulator.v1 import simulator_pb2 as pb
from services.cli import demo
from tests.unit.cli import recorded

LOST = pb.Run(outcome=pb.OUTCOME_LOST, turns_completed=3, report=pb.Report(turns_planned=40, turns_completed=3))


def second_act() -> pb.Run:
    """An act 2 that shows all there is to show."""
    run = recorded.good_run()
    run.report.turns_planned = run.report.turns_completed = 40
    run.report.rotations.extend(run.report.rotations[:1] * 2)
    return run


def test_a_lost_first_act_and_a_whole_second_one_are_what_is_to_be_shown() -> None:
    """Nothing is missing."""
    assert demo.shown(LOST, second_act()) == []


def test_a_first_act_that_survives_shows_nothing() -> None:
    """A control that does not fail proves nothing about what follows."""
    assert demo.shown(recorded.good_run(), second_act()) == ["act 1 was to be lost, and it is completed"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("outcome", "lost"),
        ("turns_planned", 39),
        ("counted_by", "client"),
        ("lost_turns", 1),
        ("regreetings", 1),
        ("turns_completed", 39),
    ],
)
def test_a_second_act_with_anything_missing_is_not_enough(field: str, value: object) -> None:
    """One value off, and the demo says so."""
    run = second_act()
    setattr(run.report, field, value)
    assert demo.shown(LOST, run)


@pytest.mark.parametrize("field", ["rotations", "client_reconnects", "facts"])
def test_a_second_act_without_cuts_or_facts_is_not_enough(field: str) -> None:
    """A run in which nothing happened is no proof either."""
    run = second_act()
    run.report.ClearField(field)  # type: ignore[arg-type]  # the names above are fields
    assert len(demo.shown(LOST, run)) == 1


def test_the_comparison_has_both_acts_side_by_side() -> None:
    """Each figure once for each act."""
    console = Console(file=io.StringIO(), width=160)
    console.print(demo.comparison(LOST, second_act()))
    assert isinstance(console.file, io.StringIO)
    assert [row.split() for row in console.file.getvalue().splitlines() if "turns completed" in row] == [
        ["turns", "completed", "3", "of", "40", "40", "of", "40", "ok"]
    ]

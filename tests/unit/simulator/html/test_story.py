"""What happened is told where it happened."""

from filo.simulator.v1 import simulator_pb2 as pb
from services.simulator.html.story import Kind, tell
from tests.unit.simulator.html.recorded import at, good_run


def test_what_happened_stands_in_the_turn_whose_time_it_has() -> None:
    """Within a turn while they speak, after it when the answer had been heard, whatever number the mark names."""
    story = tell(good_run())
    during = [[event.kind for event in turn.during] for turn in story.turns]
    after = [[event.kind for event in turn.after] for turn in story.turns]
    assert during == [[], [Kind.FAULT, Kind.ROTATION], [], [Kind.TAKEOVER]]
    assert after == [[], [Kind.ROTATION], [Kind.RETURN], []]
    assert (story.longest_gap, story.largest_context, story.seconds) == (3000, 700, 7.5)


def test_without_times_the_number_of_the_turn_decides() -> None:
    """An older record has none; what names no turn that there is belongs to the last."""
    run = good_run()
    for mark in (*run.report.rotations, *run.report.client_reconnects, *run.report.takeovers, *run.report.faults):
        mark.ClearField("time")
    run.report.rotations[0].at_turn = 99
    during = [[event.kind for event in turn.during] for turn in tell(run).turns]
    assert during == [[], [Kind.FAULT], [Kind.ROTATION, Kind.RETURN], [Kind.TAKEOVER, Kind.ROTATION]]


def test_what_came_before_the_first_turn_is_not_lost() -> None:
    """It stands before it."""
    run = good_run()
    run.report.rotations[0].time.CopyFrom(at(-0.5))
    assert [event.kind for event in tell(run).before] == [Kind.ROTATION]
    assert len(tell(run).events) == 5


def test_in_voice_the_prospect_speaks_as_long_as_its_line_takes() -> None:
    """At the run's pace, and never into the answer; in writing the line takes no time."""
    run = good_run()
    spoken = tell(run).turns[1].spoken or 0.0
    assert 2.0 < spoken < 2.7
    run.spec.speed = 0.5
    assert tell(run).turns[1].spoken == 2.7
    run.spec.channel = pb.CHANNEL_TEXT
    assert tell(run).turns[1].spoken == 2.0


def test_phases_come_as_they_were_reached() -> None:
    """A phase that is come back to is told twice."""
    run = good_run()
    run.transcript[3].phase = "discovery"
    assert [(phase, len(turns)) for phase, turns in tell(run).phases()] == [
        ("discovery", 2), ("demo", 1), ("discovery", 1)
    ]  # fmt: skip

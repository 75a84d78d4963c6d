"""How a run looks, from recorded events."""

import io

import pytest
from rich.console import Console

from filo.simulator.v1 import simulator_pb2 as pb
from services.cli.screen import Screen
from services.cli.train_view import Kind, Line, TrainView, bar, summary
from tests.unit.cli import recorded

PLAIN = """\
               started    conversations/c1
                          -- discovery --
   1           prospect   Hello.
               agent      Hello, this is Ada.
   2    1,300  prospect   My budget is 40 euros.
               expiring   this connection to Gemini ends in 2.0 s
               -- cut --  Gemini ends this connection (go_away)
               resumed    on a new one, context kept by Gemini's handle, gap 84 ms
               again      the answer was cut off, and comes again
               agent      Noted.
                          -- demo --
   3    1,300  prospect   What is my budget?
               -- cut --  the client's socket is gone: code 1006
               trying     attempt 1 to come back, in 1.0 s
               resumed    after 2 attempts, context kept by Gemini's handle, gap 2,300 ms
               agent      It is 40 euros.
               recalled   the agent still knows
               fault      emulator: cut at answer
               advice     delivered: Ask for the budget.
               resumed    another simulator goes on after 900 ms
               completed  Every turn was completed.
"""


def shown(console: Console) -> str:
    """The whole recorded run on a console."""
    view = TrainView(planned=3)
    with Screen(console) as screen:
        for event in recorded.events():
            for line in view.lines(event):
                screen.show(line)
            screen.status(view.status())
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_run_in_a_pipe_is_plain_lines() -> None:
    """Where there is no terminal: every event in order, no colours, nothing written over."""
    assert shown(Console(file=io.StringIO(), force_terminal=False)) == PLAIN


def test_a_run_on_a_terminal_has_the_same_words_in_colours() -> None:
    """On a terminal: the texts of the plain lines, with styles and a status line that is gone at the end."""
    screen = shown(Console(file=io.StringIO(), force_terminal=True, width=120, color_system="standard"))
    for line in PLAIN.splitlines():
        assert line[26:] in screen
    assert "\x1b[36m" in screen  # the prospect's colour


def test_every_kind_of_event_is_shown() -> None:
    """Nothing of the contract is missing in the recording, so the view knows all of it."""
    kinds = {event.WhichOneof("event") for event in recorded.events()}
    assert kinds == {field.name for field in pb.WatchRunResponse.DESCRIPTOR.oneofs_by_name["event"].fields}


@pytest.mark.parametrize(
    ("after", "labels"),
    [
        ([pb.WatchRunResponse(agent_said=pb.AgentSaid(text="x"))], ["again", "agent"]),
        ([pb.WatchRunResponse(rotated=pb.RotationMark())], ["-- cut --", "resumed", "again"]),
        (
            [
                pb.WatchRunResponse(disconnected=pb.Disconnected(code=1006)),
                pb.WatchRunResponse(reconnected=pb.ReconnectMark()),
            ],
            ["-- cut --", "resumed", "again"],
        ),
        ([pb.WatchRunResponse(finished=pb.Finished())], ["running"]),
    ],
)
def test_a_restart_is_told_after_its_cut(after: list[pb.WatchRunResponse], labels: list[str]) -> None:
    """The relay tells it first; the reader sees the cut, its end, then the restart; and none where a run ends."""
    view = TrainView(1)
    assert view.lines(pb.WatchRunResponse(restarted=pb.Restarted())) == []
    assert [line.label for event in after for line in view.lines(event)] == labels


def test_an_event_of_a_newer_simulator_is_passed_over() -> None:
    """An event that this view does not know shows nothing and breaks nothing."""
    assert TrainView(1).lines(pb.WatchRunResponse(sequence=1)) == []


def test_a_text_cannot_steer_the_terminal() -> None:
    """Escape sequences and markup in what is said come out as they stand, without the escape."""
    said = pb.WatchRunResponse(turn=1, agent_said=pb.AgentSaid(text="a\x1b[2Jb [bold]c[/bold]\nd"))
    assert TrainView(1).lines(said) == [Line(Kind.AGENT, "agent", "a [2Jb [bold]c[/bold] d")]


def test_a_lost_context_and_a_forgotten_fact_are_bad() -> None:
    """What went wrong is shown as wrong."""
    lost = pb.RotationMark(reason="upstream_closed", continuity="none")
    forgotten = pb.AgentSaid(text="No idea.", recalled=False)
    lines = TrainView(1).lines(pb.WatchRunResponse(rotated=lost))
    lines += TrainView(1).lines(pb.WatchRunResponse(agent_said=forgotten))
    assert [line.kind for line in lines] == [Kind.CUT, Kind.BAD, Kind.AGENT, Kind.BAD]


def test_a_long_text_wraps_within_its_column() -> None:
    """On a narrow terminal the second line of a text begins where the first one does."""
    console = Console(file=io.StringIO(), force_terminal=True, width=50, color_system=None)
    console.print(Line(Kind.AGENT, "agent", "one two three four five six seven").render())
    assert isinstance(console.file, io.StringIO)
    first, second = console.file.getvalue().splitlines()
    assert (first.index("one"), second.index("six")) == (26, 26)


@pytest.mark.parametrize(
    "words", ["3 of 3", "3 of 3 asked, 2 told", "1,234 sent, 0 lost, 0 doubled", "1 go_away; gap 84 ms"]
)
def test_the_summary_tells_what_was_counted(words: str) -> None:
    """The table holds the figures of the report, and the sentence that says who counted."""
    console = Console(file=io.StringIO(), width=120)
    console.print(summary(recorded.good_run()))
    assert isinstance(console.file, io.StringIO)
    assert words in console.file.getvalue()
    assert "NOT OK" not in console.file.getvalue()
    assert "the emulator's own account" in console.file.getvalue()


@pytest.mark.parametrize(
    ("ledger", "window", "drawn"),
    [
        ({"instruction": 20_000, "user": 2_000, "model": 4_000}, 32_000, "|IIIIIIIIIIIIuumm....|"),
        ({"instruction": 500, "user": 250, "model": 250}, 0, "|IIIIIIIIIIuuuuummmmm|"),
        ({"user": 10, "feedback_live": 10, "feedback_stale": 20, "else": 40}, 80, "|uuAAAaaaaa??????????|"),
        ({"user": 1}, 128_000, "|....................|"),
        ({"user": 64_000}, 32_000, "|uuuuuuuuuuuuuuuuuuuu|"),
    ],
)
def test_the_ledger_as_a_bar(ledger: dict[str, int], window: int, drawn: str) -> None:
    """Every category has its share of the window, whatever is left is dots; more than the window fills it."""
    shown = bar(ledger, window, width=20)
    assert len(shown) == 22
    assert shown == drawn


def test_the_status_line_shows_progress_and_the_ledger() -> None:
    """Written over as the run goes on."""
    view = TrainView(9, window=1_000)
    counted = pb.TokensCounted(context=500, billed=900, by_category={"instruction": 250, "user": 250})
    view.lines(pb.WatchRunResponse(turn=3, tokens_counted=counted))
    letters = f"|{'I' * 10}{'u' * 10}{'.' * 20}|"
    assert view.status() == f"turn 3 of 9, context {letters} 500 of 1,000 tokens, 900 billed"

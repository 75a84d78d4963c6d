"""How a run looks in a terminal: events in, lines out. Pure; the terminal is somebody else's."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from filo.simulator.v1 import simulator_pb2 as pb
from services.cli import report

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
"""What somebody else's text could steer a terminal with."""


_WITHIN_A_CUT: Final = frozenset({"restarted", "expiring", "disconnected", "reconnecting", "tokens_counted"})
_END_OF_A_CUT: Final = frozenset({"rotated", "reconnected"})


class Kind(StrEnum):
    """What a line is about; the value is its style in the terminal."""

    PROSPECT = "cyan"
    AGENT = "green"
    NOTE = "dim"
    CUT = "bold yellow"
    BACK = "bold green"
    BAD = "bold red"


LETTERS: Final = {
    "instruction": "I", "tools": "t", "user": "u", "model": "m", "feedback_live": "A", "feedback_stale": "a"
}  # fmt: skip
"""What stands for each category of the context in a bar; A and a are advice, live and stale."""

HEADING: Final = "turn  context"
"""What the numbers before each line are."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the view.

    Args:
        kind: What it is about.
        label: Who speaks, or what happened, in one word.
        text: The rest.
        turn: The turn, where it is worth saying.
        context: Context tokens, where they are worth saying.
    """

    kind: Kind
    label: str
    text: str
    turn: int | None = None
    context: int | None = None

    def render(self) -> RenderableType:
        """For a terminal: long texts wrap within their column."""
        grid = Table.grid(padding=(0, 2))
        for width in (4, 7, 9):
            grid.add_column(width=width, no_wrap=True, justify="left" if width == 9 else "right")  # noqa: PLR2004
        grid.add_column()
        spoken = self.kind in (Kind.PROSPECT, Kind.AGENT)
        grid.add_row(
            Text(_number(self.turn), style="bold"),
            Text(_number(self.context), style="dim"),
            Text(self.label, style=self.kind),
            Text(self.text, style="" if spoken else self.kind),
        )
        return grid

    def __str__(self) -> str:
        return f"{_number(self.turn):>4}  {_number(self.context):>7}  {self.label:<9}  {self.text}".rstrip()


class TrainView:
    """Turns the events of one run into lines.

    Args:
        planned: How many turns the run is to have.
        window: The window of the agent's model in tokens; 0 where it is not known.
    """

    def __init__(self, planned: int, window: int = 0) -> None:
        self._planned = planned
        self._window = window
        self._ledger: dict[str, int] = {}
        self._turn = 0
        self._context = 0
        self._billed = 0
        self._phase = ""
        self._again = False

    def status(self) -> str:
        """Where the run stands, in a few words for a line that is written over."""
        progress = f"turn {self._turn} of {self._planned}" if self._planned else f"turn {self._turn}"
        of = f" of {self._window:,}" if self._window else ""
        ledger = f"{bar(self._ledger, self._window)} " if self._ledger else ""
        return f"{progress}, context {ledger}{self._context:,}{of} tokens, {self._billed:,} billed"

    def lines(self, event: pb.WatchRunResponse) -> list[Line]:
        """What to show for an event, in order; often one line, sometimes none."""
        self._turn = max(self._turn, event.turn)
        kind = event.WhichOneof("event")
        if kind is None:  # from a newer simulator
            return []
        show: Callable[[Any], list[Line]] = getattr(self, f"_{kind}")
        return self._told_again(kind, show(getattr(event, kind)))

    def _told_again(self, kind: str, lines: list[Line]) -> list[Line]:
        """Put the restart of a turn where a reader expects it: after the cut it comes from, which is told later."""
        if not self._again or kind in _WITHIN_A_CUT:
            return lines
        self._again = False
        again = [Line(Kind.NOTE, "again", "the answer was cut off, and comes again")]
        if kind == "finished":  # it never came to that
            return lines
        return lines + again if kind in _END_OF_A_CUT else again + lines

    def _started(self, event: pb.Started) -> list[Line]:
        return [Line(Kind.NOTE, "started", clean(event.conversation))]

    def _prospect_said(self, event: pb.ProspectSaid) -> list[Line]:
        lines = []
        if event.phase != self._phase:
            self._phase = event.phase
            lines.append(Line(Kind.NOTE, "", f"-- {clean(event.phase)} --"))
        return [*lines, Line(Kind.PROSPECT, "prospect", clean(event.text), self._turn, self._context or None)]

    @staticmethod
    def _agent_said(event: pb.AgentSaid) -> list[Line]:
        lines = [Line(Kind.AGENT, "agent", clean(event.text))]
        if event.HasField("recalled"):
            lines.append(
                Line(Kind.BACK, "recalled", "the agent still knows")
                if event.recalled
                else Line(Kind.BAD, "forgotten", "the agent was told this, and does not know it any more")
            )
        return lines

    def _tokens_counted(self, event: pb.TokensCounted) -> list[Line]:
        self._context, self._billed = event.context, event.billed
        self._ledger = dict(event.by_category)
        return []

    @staticmethod
    def _answering(event: pb.Answering) -> list[Line]:
        del event
        return []

    @staticmethod
    def _fault_struck(event: pb.FaultMark) -> list[Line]:
        rest = f" ({clean(event.detail)})" if event.detail else ""
        return [Line(Kind.NOTE, "fault", f"{clean(event.target)}: {clean(event.kind)} at {clean(event.moment)}{rest}")]

    @staticmethod
    def _taken_over(event: pb.TakeoverMark) -> list[Line]:
        return [Line(Kind.BACK, "resumed", f"another simulator goes on after {event.gap_ms:,} ms")]

    @staticmethod
    def _advised(event: pb.Advice) -> list[Line]:
        return [Line(Kind.NOTE, "advice", f"{clean(event.state)}: {clean(event.text)}")]

    @staticmethod
    def _expiring(event: pb.Expiring) -> list[Line]:
        handle = "" if event.has_handle else "; there is no handle to resume with"
        seconds = event.time_left.ToNanoseconds() / 1e9
        return [Line(Kind.NOTE, "expiring", f"this connection to Gemini ends in {seconds:.1f} s{handle}")]

    @staticmethod
    def _rotated(event: pb.RotationMark) -> list[Line]:
        return [
            Line(Kind.CUT, "-- cut --", f"{_ENDS.get(event.reason, _ENDS[''])} ({clean(event.reason)})"),
            Line(_health(event.continuity), "resumed", f"on a new one, {_continuity(event)}"),
        ]

    @staticmethod
    def _disconnected(event: pb.Disconnected) -> list[Line]:
        why = f", {clean(event.reason)}" if event.reason else ""
        return [Line(Kind.CUT, "-- cut --", f"the client's socket is gone: code {event.code}{why}")]

    @staticmethod
    def _reconnecting(event: pb.Reconnecting) -> list[Line]:
        wait = event.wait.ToNanoseconds() / 1e9
        return [Line(Kind.NOTE, "trying", f"attempt {event.attempt} to come back, in {wait:.1f} s")]

    @staticmethod
    def _reconnected(event: pb.ReconnectMark) -> list[Line]:
        tries = "1 attempt" if event.attempts == 1 else f"{event.attempts} attempts"
        return [Line(_health(event.continuity), "resumed", f"after {tries}, {_continuity(event)}")]

    def _restarted(self, event: pb.Restarted) -> list[Line]:
        del event
        self._again = True
        return []

    @staticmethod
    def _finished(event: pb.Finished) -> list[Line]:
        good = event.run.outcome == pb.OUTCOME_COMPLETED
        return [Line(Kind.BACK if good else Kind.BAD, outcome(event.run), clean(event.run.reason))]


def bar(ledger: Mapping[str, int], window: int, width: int = 40) -> str:
    """The context by category as a bar of letters, for example ``|IIIuummmm......|``.

    Args:
        ledger: Tokens by category.
        window: What the whole bar stands for; 0 for what there is.
        width: In letters, without the ends.
    """
    whole = max(1, window, sum(ledger.values()))
    known = [*LETTERS, *(name for name in ledger if name not in LETTERS)]
    drawn, tokens = "", 0
    for name in known:
        tokens += ledger.get(name, 0)
        drawn += LETTERS.get(name, "?") * (round(tokens / whole * width) - len(drawn))
    return f"|{drawn.ljust(width, '.')}|"


def summary(run: pb.Run) -> RenderableType:
    """What a run came to: a table, and who counted."""
    table = Table(box=box.SIMPLE_HEAD, title=f"Run {clean(run.report.run_id)}: {outcome(run)}", title_justify="left")
    table.add_column("what was counted")
    table.add_column("")
    table.add_column("")
    for figure in report.figures(run.report):
        table.add_row(figure.name, clean(figure.value), verdict(good=figure.good))
    return Group(table, Text(report.counted_by(run.report)))


def checks(run: pb.Run) -> RenderableType:
    """Every check of a run that has ended: what was found, and whether it holds."""
    table = Table(box=box.SIMPLE_HEAD, title="Checks", title_justify="left")
    for heading in ("check", "finding", "allowed", ""):
        table.add_column(heading)
    for check in run.report.checks:
        table.add_row(check.name, clean(check.finding), f"{check.threshold:g}", verdict(good=check.passed))
    return table


def verdict(*, good: bool | None) -> Text:
    """``ok`` or ``NOT OK`` in their colours; nothing where there is nothing to judge."""
    if good is None:
        return Text()
    return Text("ok", style="green") if good else Text("NOT OK", style=Kind.BAD)


def outcome(run: pb.Run) -> str:
    """How a run has ended, in a word."""
    return pb.Outcome.Name(run.outcome).removeprefix("OUTCOME_").lower().replace("unspecified", "running")


def clean(text: str) -> str:
    """Text of somebody else's, with everything out that could steer a terminal."""
    return _CONTROL.sub(" ", text)


_ENDS: Final = {
    "go_away": "Gemini ends this connection",
    "age": "this connection to Gemini is old enough",
    "upstream_closed": "Gemini has closed this connection",
    "": "the connection to Gemini is replaced",
}
_KEPT: Final = {
    "handle": "context kept by Gemini's handle",
    "rebased": "context rebuilt as planned",
    "transcript": "context rebuilt from the transcript",
    "none": "CONTEXT LOST",
}


def _continuity(mark: pb.RotationMark | pb.ReconnectMark) -> str:
    return f"{_KEPT.get(mark.continuity, clean(mark.continuity))}, gap {mark.gap_ms:,} ms"


def _health(continuity: str) -> Kind:
    return Kind.BAD if continuity == "none" else Kind.BACK


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"

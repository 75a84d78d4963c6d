"""The timeline: who speaks, the thread of the connection, where it was cut, and what was broken on purpose."""

import math
from collections.abc import Sequence
from typing import Final

from services.simulator.html import plots, words
from services.simulator.html.markup import Content, Html, el
from services.simulator.html.plots import Key, Point, label, mark, pc, px
from services.simulator.html.story import Event, Kind, Story, Turn

SHAPES: Final = {Kind.ROTATION: "dot", Kind.RETURN: "rhomb", Kind.TAKEOVER: "box", Kind.FAULT: "cross"}
"""Each kind of event has a shape of its own, for whoever cannot tell the colours apart."""

NO_ANSWER: Final = "no answer was heard to its end"

_HEIGHT: Final = 176
_PHASE, _PROSPECT, _AGENT, _THREAD, _FAULTS, _AXIS = 12, 34, 66, 110, 140, 170
_BAR: Final = 16
_MOST_TURNS: Final = 60
"""In one strip; more are told in several."""
_LEAST_WIDTH: Final = 0.15
"""Percent; so that the shortest answer can be seen."""
_LEAST_GAP: Final = 0.9


def draw(story: Story, anchor: str = "") -> list[Html]:
    """The timeline, in strips where the run is long; nothing where no times are known."""
    timed = [turn for turn in story.turns if turn.began is not None]
    if not timed or story.seconds <= 0:
        return []
    strips = -(-len(timed) // _MOST_TURNS)
    size = -(-len(timed) // strips)
    parts = [timed[at : at + size] for at in range(0, len(timed), size)]
    starts = [_began(part[0]) for part in parts]
    ends = [*starts[1:], story.seconds]
    drawn = []
    for number, (part, start, end) in enumerate(zip(parts, starts, ends, strict=True)):
        first, last = number == 0, number == len(parts) - 1
        drawn.append(
            _Strip(story, part, min(start, 0.0) if first else start, end, anchor).figure(keyed=first, last=last)
        )
    return drawn


def _began(turn: Turn) -> float:
    return turn.began or 0.0


def rows(turn: Turn) -> list[tuple[str, str, str]]:
    """What is told of a turn under the pointer."""
    told = [
        ("prospect", "Prospect", _short(turn.line.prospect)),
        ("agent", "Agent", _short(turn.line.agent) or NO_ANSWER),
    ]
    for event in turn.events:
        gap = f", {words.gap(event.gap_ms)}" if event.is_cut else ""
        told.append((event.kind, event.title, f"{event.detail}{gap}"))
    return told


def _short(text: str, most: int = 110) -> str:
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


class _Strip:
    """A stretch of the run, from one moment to another, in seconds."""

    def __init__(self, story: Story, turns: Sequence[Turn], start: float, end: float, anchor: str) -> None:
        self._story = story
        self._turns = turns
        self._start = start
        self._anchor = anchor
        self._end = max(end, start + 0.001)

    def figure(self, *, keyed: bool, last: bool) -> Html:
        """The strip, with the legend if it is the first."""
        first, final = self._turns[0].line.turn, self._turns[-1].line.turn
        events = [event for event in self._story.events if event.at is not None and self._holds(event, last=last)]
        drawn: list[Content] = [
            self._phases(),
            [self._bars(turn) for turn in self._turns],
            self._thread(events),
            self._axis(),
        ]
        cuts = sum(event.is_cut for event in events)
        said = f"Turns {first} to {final}: {words.count(cuts, 'cut')}, {words.count(len(events) - cuts, 'fault')}."
        points = [
            Point(
                self._x((_began(turn) + self._until(turn)) / 2),
                _title(turn),
                rows(turn),
                f"{self._anchor}turn-{turn.line.turn}",
            )
            for turn in self._turns
        ]
        return plots.figure("Timeline", said, _HEIGHT, drawn, points=points, keys=_keys(self._story) if keyed else ())

    def _holds(self, event: Event, *, last: bool) -> bool:
        at = event.at or 0.0
        return self._start <= at and (at < self._end or last)

    def _x(self, moment: float) -> float:
        return min(100.0, max(0.0, (moment - self._start) / (self._end - self._start) * 100))

    @staticmethod
    def _until(turn: Turn) -> float:
        return turn.complete or turn.answering or turn.spoken or _began(turn)

    def _phases(self) -> list[Html]:
        drawn, known = [], ""
        for turn in self._turns:
            if turn.line.phase != known:
                known, x = turn.line.phase, self._x(_began(turn))
                drawn.append(el("line", x1=pc(x), x2=pc(x), y1="0", y2=px(_FAULTS + 12), cls="phase"))
                drawn.append(el("text", known, x=pc(x), dx="5", y=px(_PHASE), cls="phase-label"))
        return drawn

    def _bars(self, turn: Turn) -> list[Html]:
        drawn = []
        if turn.spoken is not None:
            drawn.append(self._bar(_began(turn), turn.spoken, _PROSPECT, "prospect"))
        if turn.answering is not None:
            cls = "agent interrupted" if turn.line.interrupted else "agent"
            drawn.append(self._bar(turn.answering, turn.complete or turn.answering, _AGENT, cls))
        return drawn

    def _bar(self, start: float, end: float, y: float, cls: str) -> Html:
        x = self._x(start)
        return el(
            "rect", x=pc(x), y=px(y), width=pc(max(_LEAST_WIDTH, self._x(end) - x)), height=px(_BAR), rx="2", cls=cls
        )

    def _thread(self, events: Sequence[Event]) -> list[Html]:
        """A line that is broken where there was no connection, and knotted where it went on."""
        drawn = [el("line", x1="0", x2="100%", y1=px(_THREAD), y2=px(_THREAD), cls="thread")]
        for event in events:
            at = event.at or 0.0
            x = self._x(at)
            if event.is_cut:
                from_x = min(self._x(at - event.gap_ms / 1000), x - _LEAST_GAP)
                drawn.append(
                    el("line", x1=pc(max(0, from_x)), x2=pc(x), y1=px(_THREAD), y2=px(_THREAD), cls="thread-gap")
                )
                drawn.append(mark(x, _THREAD, SHAPES[event.kind], f"{event.kind}{' lost' if event.lost else ''}"))
            else:
                drawn.append(mark(x, _FAULTS, SHAPES[event.kind], event.kind))
        return drawn

    def _axis(self) -> list[Html]:
        length = self._end - self._start
        step = plots.ticks(length, 5)[1]
        first = math.ceil(self._start / step - 1e-9)
        moments = [step * number for number in range(first, math.floor(self._end / step) + 1)]
        drawn = [el("line", x1="0", x2="100%", y1=px(_AXIS - 16), y2=px(_AXIS - 16), cls="grid")]
        return [*drawn, *(label(self._x(at), _AXIS, f"{at:.4g} s", "grid-label") for at in moments)]


def _title(turn: Turn) -> str:
    at = f" · {turn.began:.1f} s" if turn.began is not None else ""
    return f"Turn {turn.line.turn}{f' · {turn.line.phase}' if turn.line.phase else ''}{at}"


def _keys(story: Story) -> list[Key]:
    there = {event.kind for event in story.events}
    names = {
        Kind.ROTATION: "connection replaced",
        Kind.RETURN: "socket came back",
        Kind.TAKEOVER: "simulator taken over",
        Kind.FAULT: "broken on purpose",
    }
    spoken = [Key("prospect", "prospect speaks"), Key("agent", "agent speaks"), Key("thread", "connection", "line")]
    return spoken + [Key(kind, name, SHAPES[kind]) for kind, name in names.items() if kind in there]

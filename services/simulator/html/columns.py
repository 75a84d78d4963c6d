"""The frame of every plot over the turns: one column a turn, the same height, the same axis."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from services.simulator.html import plots
from services.simulator.html.markup import Html, el
from services.simulator.html.plots import label, pc, px
from services.simulator.html.story import Event, Story

HEIGHT: Final = 220
TOP: Final = 22
BOTTOM: Final = 196
AXIS: Final = 214


def linear(most: float) -> Callable[[float], float]:
    """From 0 at the bottom to `most` at the top, in pixels."""
    return lambda value: BOTTOM - value / most * (BOTTOM - TOP)


def middle(at: int, turns: int) -> float:
    """The middle of a column, counted from 0, in percent."""
    return (at + 0.5) / turns * 100


def places(events: Sequence[Event], turns: int) -> list[float]:
    """Where each cut is drawn: in its turn, side by side with the others of the turn."""
    slots = [min(max(event.turn, 1), turns) - 1 for event in events]
    there, seen = Counter(slots), Counter[int]()
    found = []
    for slot in slots:
        seen[slot] += 1
        found.append((slot + seen[slot] / (there[slot] + 1)) / turns * 100)
    return found


def cuts(story: Story, turns: int) -> list[Html]:
    """A thin line wherever a connection was replaced or came back."""
    return [el("line", x1=pc(x), x2=pc(x), y1=px(TOP), y2=px(BOTTOM), cls="cut") for x in places(story.cuts, turns)]


def turn_axis(turns: int) -> list[Html]:
    """The line below, and numbers of turns."""
    drawn = [el("line", x1="0", x2="100%", y1=px(BOTTOM), y2=px(BOTTOM), cls="axis")]
    for turn in plots.turn_ticks(turns):
        x = middle(turn - 1, turns)
        drawn.append(label(x, AXIS, f"turn {turn}" if turn == 1 else str(turn), "grid-label", plots.anchor(x)))
    return drawn

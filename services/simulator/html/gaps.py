"""How long there was no connection, cut by cut."""

import math
from collections.abc import Callable, Sequence
from typing import Final

from services.simulator.html import columns, plots, words
from services.simulator.html.markup import Content, Html, el
from services.simulator.html.plots import Key, Point, level, mark, pc, px
from services.simulator.html.story import Event, Story
from services.simulator.html.timeline import SHAPES

_ALLOWED: Final = "longest_gap_ms"
"""The check that says how long a gap may be."""


def draw(story: Story, anchor: str = "") -> Html | None:
    """Every gap on a logarithmic scale; None where there was no cut.

    Args:
        story: The run.
        anchor: Comes before the anchor of each turn, where a page holds several runs.
    """
    cuts = story.cuts
    if not cuts:
        return None
    allowed = next((check.threshold for check in story.run.report.checks if check.name == _ALLOWED), 0.0)
    turns = max(1, len(story.turns))
    places = columns.places(cuts, turns)
    steps, y = _scale(min(event.gap_ms for event in cuts), max(story.longest_gap, allowed))
    drawn: list[Content] = [[level(y(step), words.gap(step)) for step in steps if step != allowed]]
    drawn += [columns.turn_axis(turns)]
    drawn += [level(y(allowed), f"allowed: {words.gap(allowed)}", "limit")] if allowed else []
    drawn += [_stem(event, x, y(event.gap_ms)) for event, x in zip(cuts, places, strict=True)]
    points = [_point(event, x, f"{anchor}turn-{min(event.turn, turns)}") for event, x in zip(cuts, places, strict=True)]
    kinds = {event.kind: event.title for event in cuts}
    return plots.figure(
        "Gaps",
        f"{words.count(len(cuts), 'cut')}; the longest gap was {words.gap(story.longest_gap)}.",
        columns.HEIGHT,
        drawn,
        points=points,
        keys=[Key(kind, title, SHAPES[kind]) for kind, title in kinds.items()],
        table=_table(cuts),
    )


def _scale(shortest: float, longest: float) -> tuple[list[float], Callable[[float], float]]:
    """Powers of ten to write at the grid, without the lowest, and where a gap stands, in pixels."""
    top = max(longest, 1) * 1.5
    steps = [step for step in plots.decades(max(1, shortest) * 0.8, top) if step <= top]
    low, high = math.log10(steps[0]), math.log10(top)

    def y(value: float) -> float:
        share = (math.log10(max(value, steps[0])) - low) / (high - low)
        return columns.BOTTOM - share * (columns.BOTTOM - columns.TOP)

    return steps[1:], y


def _stem(event: Event, x: float, y: float) -> list[Html]:
    cls = f"{event.kind}{' lost' if event.lost else ''}"
    stem = el("line", x1=pc(x), x2=pc(x), y1=px(columns.BOTTOM), y2=px(y), cls=f"stem {cls}")
    return [stem, mark(x, y, SHAPES[event.kind], cls)]


def _point(event: Event, x: float, target: str) -> Point:
    title = f"Turn {event.turn} · {words.gap(event.gap_ms)}"
    return Point(x, title, [(event.kind, event.title, event.detail)], target)


def _table(cuts: Sequence[Event]) -> Html:
    rows = [[str(event.turn), event.title, event.detail, words.gap(event.gap_ms)] for event in cuts]
    return plots.table(("Turn", "What happened", "Why, and what was kept", "Gap"), rows, "Gaps of the connection")

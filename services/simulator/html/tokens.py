"""Plots over the turns: context tokens by category within the window, tokens billed, and gaps of the connection."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from filo.simulator.v1 import simulator_pb2 as pb
from services.simulator.html import columns, plots, words
from services.simulator.html.markup import Html, el
from services.simulator.html.plots import Key, Point, level, pc, px, stretched
from services.simulator.html.story import Story

_FAR: Final = 2.5
"""How many times the largest context the window may be and still be drawn to scale."""


def split(story: Story) -> list[Mapping[str, int]]:
    """The context after each turn by category; what no category explains is `other`."""
    parts: list[Mapping[str, int]] = []
    for turn in story.turns:
        known = {name: tokens for name, tokens in turn.line.context_by_category.items() if tokens}
        rest = turn.line.context_tokens - sum(known.values())
        parts.append(known | ({"other": rest} if rest > 0 else {}))
    return parts


def context(story: Story, baseline: Story | None = None, anchor: str = "") -> Html | None:
    """The context after each turn, stacked by category; None where the relay never told it."""
    parts = split(story)
    most = max(story.largest_context, baseline.largest_context if baseline else 0)
    if not story.largest_context:
        return None
    window = story.run.report.context_window
    near = 0 < window <= _FAR * most
    scale = plots.ticks(max(most, window if near else 0) * 1.02)
    y = columns.linear(scale[-1])
    turns = _width(story, baseline)
    names = _categories(parts)
    drawn = [[level(y(value), f"{value:,.0f}") for value in scale[:-1] if value], _stack(parts, names, turns, y)]
    drawn += [_baseline(baseline, turns, lambda line: line.context_tokens, y)] if baseline else []
    drawn += [columns.cuts(story, turns), columns.turn_axis(turns)]
    drawn += [level(y(window), f"window: {window:,} tokens", "limit")] if near else []
    return plots.figure(
        "Context tokens by turn",
        f"The context has {story.largest_context:,} tokens at most, of a window of {window:,}.",
        columns.HEIGHT,
        drawn,
        points=_context_points(story, parts, names, turns, baseline, anchor),
        keys=[Key(f"c-{_known(name)}", words.CATEGORIES.get(name, name)) for name in names]
        + ([Key("baseline", "baseline, whole context", "line")] if baseline else []),
        table=_context_table(story, parts, names),
        caption=_window(story.largest_context, window) if not near and window else None,
    )


def billed(story: Story, baseline: Story | None = None, anchor: str = "") -> Html | None:
    """Tokens billed since the run began; None where the relay never told it."""
    most = max(_most_billed(story), _most_billed(baseline) if baseline else 0)
    if not _most_billed(story):
        return None
    scale = plots.ticks(most * 1.02)
    y, turns = columns.linear(scale[-1]), _width(story, baseline)
    numbers = [turn.line.billed_tokens for turn in story.turns]
    area = el("path", d=_steps(_held(numbers), [0] * len(numbers), y), cls="billed")
    drawn = [
        [level(y(value), f"{value:,.0f}") for value in scale[:-1] if value],
        stretched(turns, columns.BOTTOM, area),
    ]
    drawn += [_baseline(baseline, turns, lambda line: line.billed_tokens, y)] if baseline else []
    points = []
    for at, (turn, total) in enumerate(zip(story.turns, _held(numbers), strict=True)):
        before = _held(numbers)[at - 1] if at else 0
        told = [("billed", "Billed so far", f"{total:,}"), ("", "in this turn", f"{total - before:,}")]
        told += _compared(baseline, at, lambda line: line.billed_tokens)
        points.append(
            Point(columns.middle(at, turns), f"Turn {turn.line.turn}", told, f"{anchor}turn-{turn.line.turn}")
        )
    keys = [Key("billed", "this run"), Key("baseline", "baseline", "line")] if baseline else []
    said = f"{_most_billed(story):,} tokens were billed."
    return plots.figure(
        "Tokens billed",
        said,
        columns.HEIGHT,
        drawn,
        columns.cuts(story, turns),
        columns.turn_axis(turns),
        points=points,
        keys=keys,
    )


def _width(story: Story, baseline: Story | None) -> int:
    """How many turns the plot has room for."""
    return max(1, len(story.turns), len(baseline.turns) if baseline else 0)


def _known(name: str) -> str:
    """A category's class; one that is not known looks like the rest."""
    return name if name in words.CATEGORIES else "other"


def _categories(parts: Sequence[Mapping[str, int]]) -> list[str]:
    """Those that are there, from the bottom to the top."""
    there = {name for part in parts for name in part}
    return [name for name in words.CATEGORIES if name in there] + sorted(there - words.CATEGORIES.keys())


def _held(numbers: Sequence[int]) -> list[int]:
    """Where a number is missing, the one before it."""
    held: list[int] = []
    for number in numbers:
        held.append(number or (held[-1] if held else 0))
    return held


def _stack(parts: Sequence[Mapping[str, int]], names: Sequence[str], turns: int, y: Callable[[float], float]) -> Html:
    below, layers = [0] * len(parts), []
    for name in names:
        above = [bottom + part.get(name, 0) for bottom, part in zip(below, parts, strict=True)]
        layers.append(el("path", d=_steps(above, below, y), cls=f"c-{_known(name)}"))
        below = above
    return stretched(turns, columns.BOTTOM, layers)


def _steps(above: Sequence[int], below: Sequence[int], y: Callable[[float], float]) -> str:
    """A band of columns between two numbers a turn, each one unit wide."""
    there = [f"V{px(y(value))}H{at}" for at, value in enumerate(above, start=1)]
    back = [f"V{px(y(value))}H{at}" for at, value in reversed(list(enumerate(below)))]
    return f"M0 {px(y(below[0] if below else 0))}{''.join(there)}{''.join(back)}z"


def _baseline(
    baseline: Story, turns: int, number: Callable[[pb.TranscriptLine], int], y: Callable[[float], float]
) -> Html:
    numbers = _held([number(turn.line) for turn in baseline.turns])
    line = "".join(f"{'L' if at else 'M'}{at} {px(y(value))}H{at + 1}" for at, value in enumerate(numbers))
    return stretched(turns, columns.BOTTOM, el("path", d=line or "M0 0", cls="baseline"))


def _context_points(
    story: Story,
    parts: Sequence[Mapping[str, int]],
    names: Sequence[str],
    turns: int,
    baseline: Story | None,
    anchor: str,
) -> list[Point]:
    points = []
    for at, (turn, part) in enumerate(zip(story.turns, parts, strict=True)):
        told = [("", "Whole context", f"{turn.line.context_tokens:,}")]
        told += [
            (f"c-{_known(name)}", words.CATEGORIES.get(name, name), f"{part.get(name, 0):,}")
            for name in reversed(names)
        ]
        told += _compared(baseline, at, lambda line: line.context_tokens)
        told += [(event.kind, event.title, words.kept_of(event.detail)) for event in turn.events if event.is_cut]
        points.append(
            Point(columns.middle(at, turns), f"Turn {turn.line.turn}", told, f"{anchor}turn-{turn.line.turn}")
        )
    return points


def _compared(
    baseline: Story | None, at: int, number: Callable[[pb.TranscriptLine], int]
) -> list[tuple[str, str, str]]:
    if baseline is None:
        return []
    shown = f"{number(baseline.turns[at].line):,}" if at < len(baseline.turns) else "had ended"
    return [("baseline", "Baseline", shown)]


def _context_table(story: Story, parts: Sequence[Mapping[str, int]], names: Sequence[str]) -> Html:
    rows = [
        [
            str(turn.line.turn),
            *(f"{part.get(name, 0):,}" for name in names),
            f"{turn.line.context_tokens:,}",
            f"{turn.line.billed_tokens:,}",
        ]
        for turn, part in zip(story.turns, parts, strict=True)
    ]
    heads = ("Turn", *(words.CATEGORIES.get(name, name) for name in names), "Whole context", "Billed so far")
    return plots.table(heads, rows, "Context tokens by turn")


def _most_billed(story: Story) -> int:
    return max((turn.line.billed_tokens for turn in story.turns), default=0)


def _window(most: int, window: int) -> Html:
    """The window is far above what is drawn: how full it was, as a bar."""
    share = most / window
    bar = el(
        "svg",
        el("rect", width="100%", height="8", rx="4", cls="gauge"),
        el("rect", width=pc(max(0.4, share * 100)), height="8", rx="4", cls="gauge-full"),
        width="100%",
        height="8",
        role="img",
        aria_label=f"{share:.1%} of the window",
    )
    text = f"The window's limit of {window:,} tokens is {window / most:,.0f} times as high: "
    text += f"at most {share:.1%} of it was used."
    return el("span", text, bar, cls="window")

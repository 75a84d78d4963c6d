"""What all plots have in common: scales, grid lines, a legend, and what is shown under the pointer.

Positions along x are shares of the width, in percent, so that a plot fits any screen without its texts being stretched;
positions along y are pixels from the top.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from services.simulator.html.markup import Content, Html, data, el

_STEPS: Final = (1, 2, 5, 10)


@dataclass(frozen=True, slots=True)
class Point:
    """What is shown where the pointer is nearest to it.

    Attributes:
        x: In percent.
        title: The first line.
        rows: Each a colour's class (or nothing), a name and a value.
        target: Where a click leads, `#turn-7`.
    """

    x: float
    title: str
    rows: Sequence[tuple[str, str, str]]
    target: str = ""


@dataclass(frozen=True, slots=True)
class Key:
    """One entry of a legend: the class that colours it, name and shape (`box`, `line`, `dot`, `rhomb`, `cross`)."""

    cls: str
    name: str
    shape: str = "box"


def ticks(most: float, about: int = 4) -> list[float]:
    """Round values from 0 on, the last at or above `most`, about so many steps.

    >>> ticks(3766)
    [0.0, 1000.0, 2000.0, 3000.0, 4000.0]
    """
    if most <= 0:
        return [0.0, 1.0]
    rough = most / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(step * power for step in _STEPS if step * power >= rough * 0.999)
    return [step * at for at in range(math.ceil(most / step - 1e-9) + 1)]


def decades(least: float, most: float) -> list[float]:
    """Powers of ten around both."""
    low, high = math.floor(math.log10(max(least, 1e-9))), math.ceil(math.log10(max(most, least * 10, 1e-9)))
    return [10.0**power for power in range(low, high + 1)]


def turn_ticks(turns: int, about: int = 6) -> list[int]:
    """Numbers of turns to write under a plot: the first, round ones, and nothing twice."""
    step = max(1, int(ticks(turns, about)[1]))
    return sorted({1, *range(step, turns + 1, step)})


def pc(value: float) -> str:
    """A share in percent, as SVG takes it."""
    return f"{value:.2f}".rstrip("0").rstrip(".") + "%"


def px(value: float) -> str:
    """Pixels, as short as they can be."""
    return f"{value:.1f}".removesuffix(".0")


def anchor(x: float) -> str:
    """How a text at `x` percent is aligned so that it stays within the plot."""
    return "start" if x < 4 else "end" if x > 96 else "middle"  # noqa: PLR2004 - near an edge


def label(x: float, y: float, text: str, cls: str = "", align: str = "") -> Html:
    """A text in a plot."""
    return el("text", text, x=pc(x), y=px(y), cls=cls or None, text_anchor=align or anchor(x))


def level(y: float, text: str, cls: str = "grid") -> Html:
    """A grid line across the plot, with its value above its left end."""
    return Html(el("line", x1="0", x2="100%", y1=px(y), y2=px(y), cls=cls) + label(0, y - 4, text, f"{cls}-label"))


def stretched(width: float, height: float, *content: Content) -> Html:
    """A part of a plot with units of its own along x, stretched to the plot's width."""
    box, tall = f"0 0 {px(width)} {px(height)}", px(height)
    return el("svg", *content, viewBox=box, preserveAspectRatio="none", width="100%", height=tall)


def mark(x: float, y: float, shape: str, cls: str) -> Html:
    """A mark that keeps its shape at any width."""
    if shape == "dot":
        return el("circle", cx=pc(x), cy=px(y), r="5", cls=cls)
    ways = {"rhomb": "M0-6 6 0 0 6-6 0z", "box": "M-5-5H5V5H-5z", "cross": "M-4-4 4 4M4-4-4 4"}
    return el("svg", el("path", d=ways[shape], cls=cls), x=pc(x), y=px(y), overflow="visible")


def legend(keys: Sequence[Key]) -> Html:
    """What the colours and shapes are."""
    return el("ul", [_key(key) for key in keys], cls="legend")


def swatch(cls: str, shape: str = "box") -> Html:
    """A piece of a legend's colour in its shape."""
    drawn = (
        el("line", x1="0", x2="14", y1="7", y2="7", cls=cls)
        if shape == "line"
        else mark(50, 7, shape, cls)
        if shape != "box"
        else el("rect", x="1", y="1", width="12", height="12", rx="2", cls=cls)
    )
    return el("svg", drawn, cls="swatch", width="14", height="14", aria_hidden="true")


def figure(
    title: str,
    said: str,
    height: float,
    *content: Content,
    points: Sequence[Point],
    keys: Sequence[Key] = (),
    table: Content = None,
    caption: Content = None,
) -> Html:
    """A whole plot.

    Args:
        title: What it shows.
        said: The same for someone who cannot see it: what it comes to, in a sentence.
        height: In pixels.
        content: What is drawn.
        points: What is shown under the pointer, from left to right.
        keys: The legend.
        table: The same values in a table, folded away.
        caption: What must be said about it.
    """
    drawn = el("svg", *content, _cursor(height), width="100%", height=px(height), role="img", aria_label=said)
    rows = [[round(point.x, 2), point.title, [list(row) for row in point.rows], point.target] for point in points]
    field = el("div", drawn, data(rows), cls="plot", data_plot=True, tabindex="0", role="group", aria_label=title)
    folded = el("details", el("summary", "As a table"), table, cls="values") if table else None
    return el("figure", legend(keys) if keys else None, field, el("figcaption", caption) if caption else None, folded)


def table(headings: Sequence[str], rows: Sequence[Sequence[Content]], caption: str) -> Html:
    """A table whose first column names its rows; wider than the screen it moves by itself, not the page.

    The roles are said because a browser forgets them where a small screen lays a row out anew.
    """
    head = el("tr", [el("th", heading, scope="col", role="columnheader") for heading in headings], role="row")
    body = [_row(row) for row in rows]
    parts = [
        el("caption", caption, cls="hidden"),
        el("thead", head, role="rowgroup"),
        el("tbody", body, role="rowgroup"),
    ]
    return el("div", el("table", parts, role="table"), cls="wide", tabindex="0", role="region", aria_label=caption)


def _row(cells: Sequence[Content]) -> Html:
    rest = [el("td", cell, role="cell") for cell in cells[1:]]
    return el("tr", el("th", cells[0], scope="row", role="rowheader"), rest, role="row")


def _cursor(height: float) -> Html:
    return el("line", cls="cursor", x1="0", x2="0", y1="0", y2=px(height))


def _key(key: Key) -> Html:
    return el("li", swatch(key.cls, key.shape), key.name)

"""HTML that cannot be steered by what it shows: every text is escaped unless it was made here."""

import html
import json
import unicodedata
from collections.abc import Iterable
from typing import Final, TypeAlias


class Html(str):
    """Text that is markup already; made by `el`, `join` and `data` only."""

    __slots__ = ()


Content: TypeAlias = "str | Iterable[Content] | None"
"""What an element holds: text, markup, several of these, or nothing."""

_ALONE: Final = frozenset({"meta", "link", "br", "hr", "rect", "line", "circle", "path"})
"""Elements that hold nothing."""


def el(name: str, /, *content: Content, **attributes: str | float | bool | None) -> Html:
    """An element.

    Args:
        name: Of the element; the only thing that is not escaped.
        content: What it holds; nothing in an element that cannot hold any.
        attributes: By name, `cls` for `class`, `_` for `-`; None and False leave one out, True gives it no value.
    """
    shown = "".join(
        _attribute(key, value) for key, value in attributes.items() if value is not None and value is not False
    )
    return Html(f"<{name}{shown}/>" if name in _ALONE else f"<{name}{shown}>{join(content)}</{name}>")


def join(content: Content) -> Html:
    """Everything one after the other; texts are escaped."""
    if content is None:
        return Html()
    if isinstance(content, Html):
        return content
    if isinstance(content, str):  # text from outside
        return Html(html.escape(_printable(content)))
    return Html("".join(map(join, content)))


def data(value: object) -> Html:
    """A value for the page's own script, as JSON in an element that no browser executes.

    Nothing in it can end the element: every `<` is written as its number.
    """
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":")).replace("<", "\\u003c")
    return Html(f'<script type="application/json">{text}</script>')


def _attribute(key: str, value: object) -> str:
    name = "class" if key == "cls" else key.strip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{html.escape(_printable(str(value)))}"'


def _printable(text: str) -> str:
    """Without the control characters that HTML does not know, nor those that turn the direction of writing."""
    return "".join(char for char in text if char in "\t\n" or char.isprintable() or unicodedata.category(char) == "Zs")

"""YAML documents that people write: everything is read, everything that is wrong is told at once, each with its place.

A kind of document (persona, agent, fault plan, suite) has a function that makes one `Reader`, takes its fields from it
and calls `Reader.check` last. A getter never raises for a bad value: it notes the problem and returns a stand-in.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml

T = TypeVar("T")

_REQUIRED: Final = object()
_NOT_YAML: Final = (yaml.YAMLError, ValueError, LookupError, AttributeError, RecursionError)
"""What reading raises: the parser's own errors, and those of a date, a tag or a nesting that it cannot take."""
_HALVES: Final = re.compile("[\ud800-\udfff]")
"""Surrogates: half a character each, which no message can carry."""


class DocumentError(Exception):
    """A document that cannot be used.

    Args:
        kind: What it should be: ``persona``, ``agent``, ...
        source: The file, or the name it was asked for by.
        problems: One sentence each: the place in the document, what is wrong, what to do.
    """

    def __init__(self, kind: str, source: str, problems: Sequence[str]) -> None:
        self.kind = kind
        self.source = source
        self.problems = tuple(problems)
        super().__init__(f"{kind} {source}: {'; '.join(problems)}")

    @property
    def lines(self) -> list[str]:
        """One line a problem, each beginning with the file."""
        return [f"{self.source}: {problem}" for problem in self.problems]


def shipped(directory: Path) -> list[str]:
    """The names of the documents that come with the simulator in a directory."""
    return sorted(path.stem for path in directory.glob("*.yaml"))


def text_of(kind: str, directory: Path, name: str) -> str:
    """The text of a shipped document.

    Raises:
        DocumentError: There is none of that name.
    """
    if name not in shipped(directory):
        known = ", ".join(shipped(directory))
        raise DocumentError(
            kind, name, [f"there is none of that name; shipped are {known}; or give the path of a file"]
        )
    return (directory / f"{name}.yaml").read_text(encoding="utf-8")


@dataclass
class Reader:
    """Reads what can be read of one document and notes what cannot.

    Args:
        kind: What the document should be.
        source: What it is called in errors.
    """

    kind: str
    source: str
    problems: list[str] = field(default_factory=list)
    _lines: dict[str, int] = field(default_factory=dict)

    def load(self, text: str) -> "Fields":
        """The whole document.

        Raises:
            DocumentError: It is not YAML, or no mapping.
        """
        try:
            data = yaml.safe_load(text)
            root = yaml.compose(text, Loader=yaml.SafeLoader)
        except _NOT_YAML as error:
            raise DocumentError(self.kind, self.source, [f"is not YAML: {' '.join(str(error).split())}"]) from error
        if not isinstance(data, dict):
            raise DocumentError(self.kind, self.source, [f"must be a mapping, as in the {self.kind}s that are shipped"])
        self._find_lines(root, "", set())
        return Fields(self, data, "")

    def note(self, place: str, what: str) -> None:
        """Note a problem at a place of the document, or at the nearest one around it that is there."""
        there = place
        while there and there not in self._lines:
            there = there[: max(there.rfind("."), there.rfind("["), 0)]
        line = f" (line {self._lines[there]})" if there else ""
        self.problems.append(f"{place}: {what}{line}")

    def _find_lines(self, node: Any, place: str, seen: set[int]) -> None:  # noqa: ANN401 - a node of yaml's
        """Note on which line each field and each item begins, and fields that are there twice; YAML takes the last."""
        if id(node) in seen:
            return  # named again by an alias, within itself perhaps
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            for at, item in enumerate(node.value):
                self._lines[f"{place}[{at}]"] = item.start_mark.line + 1
                self._find_lines(item, f"{place}[{at}]", seen)
        elif isinstance(node, yaml.ScalarNode) and _HALVES.search(node.value):
            self.note(place, "holds half a character")
        elif isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                field_place = f"{place}.{key.value}" if place else str(key.value)
                twice = field_place in self._lines
                self._lines[field_place] = key.start_mark.line + 1
                if twice:
                    self.note(field_place, "is given twice")
                self._find_lines(value, field_place, seen)

    def check(self) -> None:
        """Raise what was found.

        Raises:
            DocumentError: Something was.
        """
        if self.problems:
            raise DocumentError(self.kind, self.source, self.problems)


@dataclass
class Fields:
    """One mapping of a document, at the place `where` in it."""

    reader: Reader
    data: Mapping[Any, Any]
    where: str

    def at(self, key: object) -> str:
        """The place of a field."""
        return f"{self.where}.{key}" if self.where else str(key)

    def wrong(self, key: object, what: str) -> None:
        """Note a problem with a field."""
        self.reader.note(self.at(key), what)

    def only(self, *known: str) -> None:
        """Note every field that is not one of these."""
        for key in self.data:
            if key not in known:
                self.wrong(key, f"is not a field of this; there are {', '.join(known)}")

    def has(self, key: str) -> bool:
        """Whether the field is there."""
        return self.data.get(key) is not None

    def text(self, key: str, default: Any = _REQUIRED) -> str:  # noqa: ANN401 - str, or the mark for none
        """A text that is not empty."""
        value: str = self._of(key, default, _text, "must be a text that is not empty", "")
        return value

    def number(self, key: str, default: Any = _REQUIRED, *, low: float, high: float) -> float:  # noqa: ANN401 - the same
        """A number within bounds."""
        value: float = self._of(key, default, _number(low, high), f"must be a number from {low:g} to {high:g}", low)
        return value

    def integer(self, key: str, default: Any = _REQUIRED, *, low: int, high: int) -> int:  # noqa: ANN401 - the same
        """A whole number within bounds."""
        value: int = self._of(key, default, _integer(low, high), f"must be a whole number from {low} to {high}", low)
        return value

    def flag(self, key: str, *, default: bool) -> bool:
        """Yes or no."""
        value: bool = self._of(key, default, _flag, "must be true or false", default)
        return value

    def choice(self, key: str, known: Sequence[str], default: Any = _REQUIRED) -> str:  # noqa: ANN401 - the same
        """One of a few words."""
        what = f"must be one of {', '.join(known)}"
        value: str = self._of(key, default, lambda given: given if given in known else None, what, known[0])
        return value

    def items(self, key: str, *, required: bool = True) -> list[tuple[str, Any]]:
        """The items of a list, each with its place; at least one where it is required."""
        value = self.data.get(key)
        if value is None and not required:
            return []
        if isinstance(value, list) and (value or not required):
            return [(f"{key}[{at}]", item) for at, item in enumerate(value)]
        self.wrong(key, "must be a list with at least one item" if required else "must be a list")
        return []

    def texts(self, key: str, *, required: bool = True) -> tuple[str, ...]:
        """A list of texts."""
        return tuple(self.one_text(place, item) for place, item in self.items(key, required=required))

    def one_text(self, place: str, value: object) -> str:
        """A text that is an item of a list."""
        text = _text(value)
        if text is None:
            self.wrong(place, "must be a text that is not empty")
        return text or ""

    def fields(self, key: str, *, required: bool = True) -> "Fields":
        """A mapping within this one; empty where it is not there."""
        return self.one_mapping(key, self.data.get(key), required=required)

    def mappings(self, key: str, *, required: bool = True) -> list["Fields"]:
        """A list of mappings."""
        return [self.one_mapping(place, item) for place, item in self.items(key, required=required)]

    def one_mapping(self, place: str, value: object, *, required: bool = True) -> "Fields":
        """A mapping at a place."""
        if isinstance(value, dict):
            return Fields(self.reader, value, self.at(place))
        if value is not None or required:
            self.wrong(place, "must be a mapping")
        return Fields(self.reader, {}, self.at(place))

    def _of(self, key: str, default: Any, read: Any, what: str, stand_in: Any) -> Any:  # noqa: ANN401 - any kind
        value = self.data.get(key)
        if value is None and default is not _REQUIRED:
            return default
        found = None if value is None else read(value)
        if found is None:
            self.wrong(key, what if value is None else f"{what}, not {_short(value)}")
            return stand_in
        return found


def _text(value: object) -> str | None:
    return value.strip() if isinstance(value, str) and value.strip() else None


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _number(low: float, high: float) -> Any:  # noqa: ANN401 - a reader of any value
    def read(value: object) -> float | None:
        fits = isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
        return float(value) if fits else None  # type: ignore[arg-type]  # just checked

    return read


def _integer(low: int, high: int) -> Any:  # noqa: ANN401 - a reader of any value
    return lambda value: (
        value if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high else None
    )


def _short(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."  # noqa: PLR2004 - a line's worth

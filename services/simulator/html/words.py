"""How the report says things: codes of the contract in words, numbers and times for a person."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

_SECOND: Final = 1000
_MINUTE: Final = 60
_HOUR: Final = 3600
_FEW: Final = 10

REASONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "go_away": "Gemini's time limit",
        "age": "old enough to be replaced",
        "stall": "Gemini had stopped answering",
        "false_resume": "resumed without its context",
        "context_pressure": "the context was nearly full",
        "rebase": "old advice was cleared out",
        "upstream_closed": "closed by Gemini",
        "handle_rejected": "Gemini refused the handle",
        "client": "asked for by the client",
        "cut": "cut without a word",
        "silent": "no greeting came",
    }
)
"""Why a connection was replaced, or a socket came back; close codes stand for themselves."""

KEPT: Final[Mapping[str, str]] = MappingProxyType(
    {
        "handle": "context kept by Gemini's handle",
        "rebased": "context rebuilt as planned",
        "transcript": "context rebuilt from the transcript",
        "none": "context lost",
    }
)
"""How the context survived."""

CATEGORIES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "instruction": "Instruction",
        "tools": "Tools",
        "user": "Prospect",
        "model": "Agent",
        "feedback_stale": "Advice, stale",
        "feedback_live": "Advice, live",
        "other": "Other",
    }
)
"""What tokens are for, from the bottom of a plot to its top."""


def reason(code: str) -> str:
    """Why, in words."""
    return REASONS.get(code, f"close code {code}" if code.isdecimal() else code.replace("_", " "))


def kept(continuity: str) -> str:
    """How the context survived, in words."""
    return KEPT.get(continuity, continuity.replace("_", " "))


def count(number: int, one: str, many: str = "") -> str:
    """A number of things: ``1 turn``, ``2 turns``."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def times(number: int) -> str:
    """How often: ``once``, ``7 times``."""
    return "once" if number == 1 else f"{number:,} times"


def enum(value: str, prefix: str) -> str:
    """A value of one of the contract's enums in words; empty where it is unspecified."""
    word = value.removeprefix(prefix).lower().replace("_", " ")
    return "" if word == "unspecified" else word


def gap(milliseconds: float) -> str:
    """A short time: ``14 ms``, ``1.73 s``."""
    if milliseconds < _SECOND:
        return f"{milliseconds:.0f} ms"
    return f"{milliseconds / _SECOND:.3g} s" if milliseconds < _SECOND * _MINUTE else duration(milliseconds / _SECOND)


def duration(seconds: float) -> str:
    """A longer time: ``8.4 s``, ``26 s``, ``3 min 5 s``, ``2 h 4 min``."""
    if seconds < _FEW:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    hours, minutes = whole // _HOUR, whole % _HOUR // _MINUTE
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % _MINUTE} s" if minutes else f"{whole} s"


def amount(value: float) -> str:
    """What a check has measured or allows: ``1``, ``0.95``, ``10,000``."""
    return f"{value:,.0f}" if value == int(value) else f"{value:,.3g}"


def change(before: float, after: float) -> str:
    """A difference with its sign: ``+12``, ``±0``."""
    step = after - before
    return f"{'+' if step > 0 else '−' if step < 0 else '±'}{amount(abs(step))}"  # noqa: RUF001 - a minus sign


def day(moment: Timestamp) -> str:
    """A moment in UTC; empty for none."""
    return f"{moment.ToDatetime():%d %B %Y, %H:%M} UTC" if moment.ByteSize() else ""


def between(start: Timestamp, end: Timestamp) -> float | None:
    """Seconds from one moment to another; None where either is not known."""
    if not (start.ByteSize() and end.ByteSize()):
        return None
    return (end.ToNanoseconds() - start.ToNanoseconds()) / 1e9


def kept_of(detail: str) -> str:
    """Of an event's words, those that say what was kept."""
    return detail.rpartition("; ")[2]

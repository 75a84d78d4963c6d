"""What a service tells of its work while it works: spans, and where in a trace a task is. No library is known here.

A task is somewhere in a trace: in a call that it answers, or in the turn that its conversation is in at this moment.
`here` says where; calls to other services and lines of the log name it. Tasks that are started inherit it.
`tracing_otel` exports what is told; it is imported only where tracing is on. Without a tracer nothing is anywhere.
"""

import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol

TRACEPARENT: Final = "traceparent"
"""The header of W3C Trace Context (https://www.w3.org/TR/trace-context/) that says where a caller is."""

Value = str | int | float | bool
Attributes = Mapping[str, Value]
"""What is told of a span or an event. Never audio, a word that was said, a handle, a token or a key."""

NONE: Final[Attributes] = MappingProxyType({})

_HEADER: Final = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
_SAMPLED: Final = 1


class Point(NamedTuple):
    """A place in a trace.

    Args:
        trace: The trace's id, not 0.
        span: The id of the span in it, not 0.
        sampled: Whether it is kept.
    """

    trace: int
    span: int
    sampled: bool = True

    @property
    def header(self) -> str:
        """As the value of `TRACEPARENT`."""
        return f"00-{self.trace:032x}-{self.span:016x}-{int(self.sampled):02x}"


def parse(header: str) -> Point | None:
    """Read the value of `TRACEPARENT`; None for one that is not as the standard has it."""
    found = _HEADER.fullmatch(header)
    if found is None:
        return None
    trace, span, flags = (int(part, 16) for part in found.groups())
    return Point(trace, span, bool(flags & _SAMPLED)) if trace and span else None


class Kind(StrEnum):
    """Which side of a call a span is."""

    INTERNAL = "internal"
    SERVER = "server"
    CLIENT = "client"


class Span(Protocol):
    """A piece of work that has begun."""

    @property
    def point(self) -> Point:
        """Where it is."""

    def tell(self, event: str, attributes: Attributes = NONE) -> None:
        """Something happened in it, now."""

    def note(self, attributes: Attributes) -> None:
        """More is known of it."""

    def end(self, failed: str = "") -> None:
        """It is over; `failed` says in a word why it did not do what it was for."""


class Tracer(Protocol):
    """Takes what is told."""

    def begin(
        self,
        name: str,
        parent: Point | None = None,
        attributes: Attributes = NONE,
        *,
        kind: Kind = Kind.INTERNAL,
        at: datetime | None = None,
    ) -> Span:
        """A piece of work begins.

        Args:
            name: Of the kind of work; of these there are few.
            parent: What it is a part of; None begins a trace.
            attributes: What is known of it already.
            kind: Which side of a call it is.
            at: When it began, in UTC; now if not given.
        """


Where = Callable[[], Point | None]
_where: ContextVar[Where | None] = ContextVar("filo_where", default=None)


def here() -> Point | None:
    """Where in a trace the running task is; None where it is in none."""
    where = _where.get()
    return None if where is None else where()


def enter(where: Where) -> None:
    """From now on the running task, and those that it starts, are where `where` says when it is asked."""
    _where.set(where)


@contextmanager
def within(where: Where) -> Iterator[None]:
    """As `enter`, until the block is left. Not around a `yield` of a generator: its callers would be there too."""
    token = _where.set(where)
    try:
        yield
    finally:
        _where.reset(token)


@contextmanager
def quietly() -> Iterator[None]:
    """Calls that are made within are in no trace that is kept: signs of life, of which there are too many."""
    if here() is None:
        yield
        return
    nowhere = Point(secrets.randbits(128) | 1, secrets.randbits(64) | 1, sampled=False)
    with within(lambda: nowhere):
        yield


@contextmanager
def during(tracer: Tracer | None, name: str, attributes: Attributes = NONE) -> Iterator[None]:
    """A span around a block, a part of what the running task is in; nothing without a tracer."""
    if tracer is None:
        yield
        return
    span = tracer.begin(name, here(), attributes)
    failed = "cancelled"
    try:
        with within(lambda: span.point):
            yield
        failed = ""
    except Exception as error:
        failed = str(getattr(error, "reason", type(error).__name__))
        raise
    finally:
        span.end(failed)

"""What can go wrong at Gemini's side, and when: the rows and the columns of the matrix, as data.

A row says how the connection ends (`ending`), what awaits the connections after it (`sequel`), what went wrong already
before (`before`), and what is to be told of the context afterwards. A column says what the conversation is doing, which
is a moment in the emulator's own life. Where the two make no sense together, the table says why.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from services.emulator import closes
from services.emulator.closes import Close
from services.emulator.faults import (
    CloseFault,
    CutFault,
    Fault,
    ForgetFault,
    GoAwayFault,
    Loss,
    Moment,
    StallFault,
    SuppressFault,
)


class Point(StrEnum):
    """What the conversation is doing when it happens."""

    IDLE = "idle"
    CLIENT = "client speaking"
    AGENT = "agent speaking"
    TOOL = "tool call pending"
    ROTATION = "during a rotation"
    SETUP = "during setup"


@dataclass(frozen=True, slots=True)
class When:
    """The moment of the emulator's that a point is, so many seconds later, after so many moments of its kind."""

    moment: Moment
    after: float = 0.0
    skip: int = 0


SETTLED: Final = 0.13
"""Seconds after a turn in which its handle has come (at most 70 ms) and is stored."""

WHEN: Final[Mapping[Point, When]] = MappingProxyType(
    {
        Point.IDLE: When(Moment.TURN, after=SETTLED),
        Point.CLIENT: When(Moment.ACTIVITY, after=0.01, skip=1),  # the first activity plants the facts
        Point.AGENT: When(Moment.ANSWER, after=0.02, skip=1),
        Point.TOOL: When(Moment.TOOL_CALL, after=0.01),
        Point.ROTATION: When(Moment.RESUME),
        Point.SETUP: When(Moment.SETUP),
    }
)


@dataclass(frozen=True, slots=True)
class Ending:
    """A fault that ends the connection, or announces its end; at a point it becomes one of the emulator's."""

    close: Close | None = None
    stall: bool = False
    go_away: tuple[float | None, float] | None = None

    def at(self, when: When, *, times: int = 1) -> Fault:
        """The emulator's fault that strikes at this moment."""
        where = {"when": when.moment, "after": when.after, "skip": when.skip, "times": times}
        if self.close is not None:
            return CloseFault(code=self.close.code, reason=self.close.reason, **where)  # type: ignore[arg-type]
        if self.go_away is not None:
            return GoAwayFault(time_left=self.go_away[0], ends_in=self.go_away[1], **where)  # type: ignore[arg-type]
        return StallFault(**where) if self.stall else CutFault(**where)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that can go wrong.

    Args:
        name: As the matrix shows it.
        ending: What happens at the point.
        continuity: How the context survives, as the client must be told.
        before: What went wrong already before the point.
        sequel: What awaits the next connections; during a rotation it comes by itself.
        stops: Gemini refuses for good: the client is told 4502, and the conversation waits for a new one.
        forgets: The false resume answers once before it is found out.
        at_setup: What a first connection of which this becomes is told: ``started``, or ``stops``.
        senseless: The points at which it makes no sense, and why.
    """

    name: str
    ending: Ending
    continuity: str = "handle"
    before: tuple[Fault, ...] = ()
    sequel: tuple[Fault, ...] = ()
    stops: bool = False
    forgets: bool = False
    at_setup: str = "started"
    senseless: Mapping[Point, str] = field(default_factory=dict)


def _refused(close: Close, *, times: int = 1, when: Moment = Moment.RESUME) -> tuple[Fault, ...]:
    return (CloseFault(when=when, code=close.code, reason=close.reason, times=times),)


UNTIL_REBUILT: Final = 99
"""How often what spoils a handle strikes: at every resume, until nothing is resumed any more.

Once would not do. On a busy machine the relay gives a dial up before Gemini's answer to it has come, and the one dial
that was spoilt is one that never came into use.
"""
CUT: Final = Ending()
STALL: Final = Ending(stall=True)
DEADLINE: Final = Close(1011, "Deadline expired")
QUOTA: Final = Close(1011, "Resource has been exhausted (e.g. check quota).")
_NO_HANDLE: Final = {Point.SETUP: "a first connection has no handle, and nothing to lose"}
_NOT_OPEN: Final = {
    Point.SETUP: "goAway is said to a session that is set up; right after it is the same as idle",
    Point.ROTATION: "two goAways in a row are two rotations; they are in the unit tests of the core",
}


def _close(code: int, reason: str = "", **more: object) -> Row:
    name = f"{code} {reason[:34]}".strip()
    return Row(name, Ending(Close(code, reason)), **more)  # type: ignore[arg-type]


ROWS: Final[tuple[Row, ...]] = (
    Row("TCP cut", CUT),
    Row("stall", STALL),
    _close(1000),
    _close(1001, closes.SHUTDOWN.reason),
    _close(1012),
    _close(1013),
    _close(1007, closes.KEY_INVALID.reason, stops=True, at_setup="stops"),
    _close(1007, "Invalid JSON payload received.", continuity="transcript", at_setup="stops"),
    _close(1007, closes.INVALID_ARGUMENT.reason, continuity="transcript", at_setup="stops"),
    _close(1007, closes.PRECONDITION.reason, continuity="transcript", at_setup="stops"),
    Row("1008 lifetime over, no goAway", Ending(closes.LIFETIME)),
    _close(1008, closes.HANDLE_NOT_FOUND.reason, continuity="transcript"),
    _close(1008, "Requested entity was not found.", continuity="transcript"),
    _close(1008, closes.KEY_MISSING.reason, stops=True, at_setup="stops"),
    _close(1008, "model not found", stops=True, at_setup="stops"),
    _close(1008, "Operation is not implemented", stops=True, at_setup="stops"),
    _close(1008, "The operation was aborted."),
    _close(1008, "A rule that nobody knows.", at_setup="stops"),
    _close(1011, closes.INTERNAL.reason),
    _close(1011, DEADLINE.reason),
    _close(1011, "RESOURCE_EXHAUSTED: quota exceeded"),
    Row("goAway, 0.4 s left", Ending(go_away=(0.4, 0.4)), senseless=_NOT_OPEN),
    Row("goAway, 20 ms left", Ending(go_away=(0.02, 0.02)), senseless=_NOT_OPEN),
    Row("goAway, no time told", Ending(go_away=(None, 0.3)), senseless=_NOT_OPEN),
    Row("goAway, says 9 s, ends at once", Ending(go_away=(9.0, 0.02)), senseless=_NOT_OPEN),
    Row("cut, then 1011: resumed too early", CUT, sequel=_refused(closes.STILL_OPEN), senseless=_NO_HANDLE),
    Row("cut, then quota twice", CUT, sequel=_refused(QUOTA, times=2), senseless=_NO_HANDLE),
    Row(
        "cut, then three resumes refused",
        CUT,
        "transcript",
        sequel=_refused(closes.INTERNAL, times=3),
        senseless=_NO_HANDLE,
    ),
    Row(
        "cut, then 1011 right after the resume",
        CUT,
        sequel=_refused(closes.INTERNAL, when=Moment.RESUMED),
        senseless=_NO_HANDLE,
    ),
    Row(
        "cut, then 1007 poison after the resume",
        CUT,
        "transcript",
        sequel=_refused(closes.PRECONDITION, when=Moment.RESUMED, times=UNTIL_REBUILT),
        senseless=_NO_HANDLE,
    ),
    Row(
        "1011 deadline, then the resume is 1007",
        Ending(DEADLINE),
        "transcript",
        sequel=_refused(closes.INVALID_ARGUMENT, times=UNTIL_REBUILT),
        senseless=_NO_HANDLE,
    ),
    Row(
        "cut, then the handle is dead",
        CUT,
        "transcript",
        sequel=_refused(closes.HANDLE_NOT_FOUND, times=UNTIL_REBUILT),
        senseless=_NO_HANDLE,
    ),
    Row(
        "cut, then a false resume, audio lost",
        CUT,
        "transcript",
        sequel=(ForgetFault(when=Moment.RESUME, what=Loss.AUDIO, times=UNTIL_REBUILT),),
        forgets=True,
        senseless=_NO_HANDLE,
    ),
    Row(
        "cut, then a false resume, all lost",
        CUT,
        "transcript",
        sequel=(ForgetFault(when=Moment.RESUME, what=Loss.ALL, times=UNTIL_REBUILT),),
        forgets=True,
        senseless=_NO_HANDLE,
    ),
    Row(
        "the last handle never came, then cut",
        CUT,
        before=(SuppressFault(when=Moment.UPDATE, skip=1),),
        senseless=_NO_HANDLE,
    ),
    Row(
        "no handle ever came, then cut",
        CUT,
        "transcript",
        before=(SuppressFault(when=Moment.UPDATE, times=99),),
        senseless=_NO_HANDLE,
    ),
)


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """A row at a point."""

    row: Row
    point: Point

    @property
    def name(self) -> str:
        """The row's name."""
        return self.row.name

    def __str__(self) -> str:
        return f"{self.name} @ {self.point}"

    @property
    def stops(self) -> bool:
        """Whether the client is sent away with 4502."""
        return self.row.at_setup == "stops" if self.point is Point.SETUP else self.row.stops

    @property
    def continuity(self) -> str:
        """What the client must be told of the context."""
        if self.point is Point.SETUP:
            return "none" if self.stops else "started"
        return "handle" if self.stops else self.row.continuity

    @property
    def unnoticed(self) -> bool:
        """Whether nothing shows before the client speaks."""
        return self.row.ending.stall and self.point is Point.IDLE

    @property
    def greetings(self) -> int:
        """Once, and once more out of a false resume before it is found out."""
        return 1 + sum(isinstance(fault, ForgetFault) for fault in self.row.sequel)

    @property
    def tool_runs(self) -> int:
        """Once; a relay that has let the conversation go has no memo of the turn."""
        return 1 + self.stops

    @property
    def hears_all(self) -> bool:
        """Every answer is heard out."""
        return True

    @property
    def plan(self) -> tuple[Fault, ...]:
        """The emulator's faults, to be planned before the facts are told."""
        row, when = self.row, WHEN[self.point]
        if self.point is not Point.ROTATION:
            return (*row.before, row.ending.at(when), *row.sequel)
        rotation = Ending(go_away=(0.4, 5.0)).at(When(Moment.TURN, after=SETTLED))
        times = UNTIL_REBUILT if row.continuity == "transcript" else 1
        return (*row.before, rotation, *(row.sequel or (row.ending.at(when, times=times),)))


CELLS: Final = tuple(Cell(row, point) for row in ROWS for point in Point if point not in row.senseless)
"""All that make sense."""

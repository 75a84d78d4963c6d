"""Every way in which a connection of a conversation is made again, or is not: the labels of one counter, as data.

A reconnect has a side (the client's socket, or the connection to Gemini), a reason, the class of the close code that
came before it, and an outcome; one that succeeded has a continuity besides. Not every combination can happen; those
that can are `ROWS`, and each is a series from the start, at 0.
"""

import itertools
from collections.abc import Iterator
from enum import StrEnum
from typing import Final, NamedTuple

from services.relay.core.model import Continuity, RotationReason


class Side(StrEnum):
    """Which of the two connections of a conversation."""

    CLIENT = "client"
    UPSTREAM = "upstream"


class CloseClass(StrEnum):
    """Close codes by what they say (RFC 6455 section 7.4)."""

    OWN = "own"
    """This relay closed it."""
    NORMAL = "normal"
    """1000, 1001: the peer wanted to, or went away."""
    REFUSED = "refused"
    """1002 to 1010 but 1006, and 4000 to 4999: a rule, a policy, a credential."""
    FAILED = "failed"
    """1011 to 1015: the peer, or what it needs, is in trouble."""
    CUT = "cut"
    """1006, or no code: no close frame came."""
    OTHER = "other"
    """A code that means nothing here, or a connection that another relay had."""


class ClientReturn(StrEnum):
    """How a client's socket came to a conversation that had one before."""

    RETURNED = "returned"
    """The one before was gone."""
    REPLACED = "replaced"
    """The one before was still open."""
    MOVED = "moved"
    """The one before was at another relay, or at this one before it gave the conversation back."""


class Outcome(StrEnum):
    """What came of it."""

    COMPLETED = "completed"
    FAILED = "failed"


class Row(NamedTuple):
    """One series."""

    side: Side
    reason: str
    close_class: CloseClass
    continuity: Continuity
    outcome: Outcome


_UNPLANNED: Final = frozenset({RotationReason.UPSTREAM_CLOSED, RotationReason.HANDLE_REJECTED})
"""Reasons that begin with a close by Gemini; with all others the relay closes."""
_PEERS: Final = tuple(row for row in CloseClass if row is not CloseClass.OWN)
_CLIENTS: Final = {
    ClientReturn.RETURNED: tuple(CloseClass),
    ClientReturn.REPLACED: (CloseClass.OWN,),
    ClientReturn.MOVED: (CloseClass.OTHER,),
}


def _causes() -> Iterator[tuple[Side, str, tuple[CloseClass, ...]]]:
    for reason in RotationReason:
        if reason is not RotationReason.CLIENT:  # the client's return is counted, on its side
            yield Side.UPSTREAM, reason.value, _PEERS if reason in _UNPLANNED else (CloseClass.OWN,)
    for returned, classes in _CLIENTS.items():
        yield Side.CLIENT, returned.value, classes


def _rows() -> Iterator[Row]:
    for side, reason, classes in _causes():
        for close_class, continuity in itertools.product(classes, Continuity):
            yield Row(side, reason, close_class, continuity, Outcome.COMPLETED)
        if side is Side.UPSTREAM or reason == ClientReturn.RETURNED:
            for close_class in classes:
                yield Row(side, reason, close_class, Continuity.NONE, Outcome.FAILED)


ROWS: Final = tuple(_rows())
"""Every combination that can happen."""

_RANGES: Final = (
    (range(1000, 1002), CloseClass.NORMAL),
    (range(1005, 1007), CloseClass.CUT),
    (range(1002, 1011), CloseClass.REFUSED),
    (range(1011, 1016), CloseClass.FAILED),
    (range(4000, 5000), CloseClass.REFUSED),
)
"""The first range that a code is in decides."""


def close_class(code: int | None) -> CloseClass:
    """The class of a peer's close code; None where there was none."""
    if code is None:
        return CloseClass.CUT
    return next((row for codes, row in _RANGES if code in codes), CloseClass.OTHER)


def upstream_class(reason: RotationReason, code: int) -> CloseClass:
    """The class of the close that a rotation began with."""
    return close_class(code) if reason in _UNPLANNED else CloseClass.OWN


UPSTREAM_CODES: Final = (1000, 1001, 1006, 1007, 1008, 1009, 1011, 1012, 1013)
"""Gemini's close codes that are told apart; the others are ``other``."""


def code_label(code: int) -> str:
    """One of Gemini's close codes as a label."""
    return str(code) if code in UPSTREAM_CODES else "other"

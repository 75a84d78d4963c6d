"""Programs that delete: what is due by its age, in bounded batches, and one conversation at somebody's word.

A conversation's turns may be many, so it goes in pieces: first it is ended and its handles revoked, so that nobody
attaches to half a transcript; then its oldest turns and feedback, piece by piece; then the record with the rest. An
erasure that is cut off between two pieces is due at once, and the sweeper's next round goes on with it.
"""

from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

from services.handles import decisions, programs, statements
from services.handles.codec import Unread
from services.handles.feedback.statements import DELETE_FEEDBACK
from services.handles.programs import SLOT, Ask, Program

PIECE: Final = 1000
"""Turns and items of feedback deleted in one transaction."""


_UNREAD: Final = Unread()


class Kind(StrEnum):
    """What is swept."""

    EXPIRED = "expired"
    ABANDONED = "abandoned"
    ENDED = "ended"


_DUE: Final = MappingProxyType(
    {
        Kind.EXPIRED: statements.DUE_EXPIRED,
        Kind.ABANDONED: statements.DUE_ABANDONED,
        Kind.ENDED: statements.DUE_ENDED,
    }
)


class Swept(NamedTuple):
    """What a batch did.

    Args:
        done: Conversations that were dealt with.
        more: Whether more may be due.
        oldest: Since when the longest overdue one that was found had been due; None when none was.
    """

    done: int
    more: bool
    oldest: datetime | None


def sweep(kind: Kind, due: datetime, now: datetime, most: int) -> Program[Swept]:
    """Deal with the conversations whose last sign of life, or end, came before `due`: at most `most`."""
    given = {"slot": programs.slot(due), "cut": due, "most": most}
    rows = (yield Ask(_DUE[kind], given)).rows
    pieces = PIECE
    done = 0
    for identity, _ in rows:
        if kind is Kind.ENDED:
            deleted = yield from _delete(identity, pieces)
            pieces -= deleted
            if pieces <= 0:
                break
        else:
            decide = decisions.bury(due) if kind is Kind.EXPIRED else decisions.abandon(due, now)
            after = yield from programs.change(identity, decide, None, _UNREAD)
            if after is not None:
                yield Ask(statements.DELETE_RESUME, {"id": identity, "number": after.handles_expired})
        done += 1
    oldest = next((_moment(at) for _, at in rows if at != decisions.ERASED), None)
    return Swept(done, more=len(rows) == most or done < len(rows), oldest=oldest)


def _moment(found: datetime | int) -> datetime:
    """When the slot of a number ended, or the moment itself."""
    if isinstance(found, datetime):
        return found
    return datetime.fromtimestamp((found + 1) * SLOT.total_seconds(), tz=UTC)


def seal_off(identity: str) -> Program[bool]:
    """End a conversation that is to be erased, whoever holds it; False when there is none."""
    return (yield from programs.change(identity, decisions.seal_off(), None, _UNREAD))


def delete_piece(identity: str) -> Program[bool]:
    """Delete the oldest turns and feedback, after the last of them the whole conversation; True when it is gone."""
    return (yield from _delete(identity, PIECE)) < PIECE


def _delete(identity: str, most: int) -> Program[int]:
    """As `delete_piece`; returns how many rows were deleted: `most` when the record is still there."""
    yield Ask(statements.LOCK, {"id": identity})
    gone = (yield Ask(statements.DELETE_TURNS, {"id": identity, "most": most})).changed
    if gone < most:
        gone += (yield Ask(DELETE_FEEDBACK, {"id": identity, "most": most - gone})).changed
    if gone < most:
        yield Ask(statements.DELETE, {"id": identity})
    return gone

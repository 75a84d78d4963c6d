"""The rules of the handle store: who owns what, what a handle is worth, who is fenced, which turns fit. No I/O.

**Resume handles.** A conversation numbers the resume handles it gives out: 1, 2, 3. The row of a handle never changes;
what it is worth follows from its number and three marks on the conversation::

      revoked      expired       superseded     newest
    |----------|--------------|--------------|---------|
    1   handles_revoked  handles_expired         handles_issued

Marks only move right, so a handle that has once expired or been revoked never comes back. On top of the marks every
handle of a conversation expires when the last sign of life is a TTL ago; the next sign of life moves the mark.

**Epochs.** An attach always wins and raises the epoch by one. A write is let in when it names the present epoch, and
no other: not an older one, and not one that the store never gave (a restored backup). Time plays no part in it.
"""

import hmac
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

from filo.handles.v1 import handles_pb2, resources_pb2
from filo.handles.v1.handles_pb2 import HandleResult
from filo.handles.v1.resources_pb2 import Mode
from services.common.errors import Reason, ServiceError, invalid
from services.handles.records import Conversation, Glance, Owner, OwnerKind, Standing, Turn, View

KEPT_RESUME_HANDLES: Final = 64
"""How many of a conversation's newest resume handles mean anything; an older one is unknown, whether it is stored still
or not."""

OWNER_KIND: Final[Mapping[Mode.ValueType, OwnerKind]] = MappingProxyType(
    {
        resources_pb2.MODE_SALES_AGENT: OwnerKind.SHARE_TOKEN,
        resources_pb2.MODE_CONSULTATION_INVITE: OwnerKind.SHARE_TOKEN,
        resources_pb2.MODE_ASSISTANT: OwnerKind.USER,
    }
)
"""Which owner a mode demands (R2.2)."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules that are settings.

    Args:
        handle_ttl: How long a handle outlives the last sign of life of its conversation.
        lease: How long a holder counts as alive after an attach, a heartbeat or a checkpoint.
    """

    handle_ttl: timedelta
    lease: timedelta

    @property
    def heartbeat(self) -> timedelta:
        """How often a holder says that it is alive: two may be lost before the lease runs out."""
        return self.lease / 3


@dataclass(frozen=True, slots=True)
class Retention:
    """How long what is over is kept.

    Args:
        expired: Expired handles, after their expiry.
        abandoned: A conversation that has not ended, after its last sign of life; then it is ended.
        ended: An ended conversation, after its end; then it is deleted.
    """

    expired: timedelta
    abandoned: timedelta
    ended: timedelta


class Redemption(StrEnum):
    """What a presented resume handle is, as counted inside."""

    VALID = "valid"
    SUPERSEDED = "superseded"
    UNKNOWN = "unknown"
    EXPIRED = "expired"
    REVOKED = "revoked"
    FOREIGN = "foreign"


OUTSIDE: Final[Mapping[Redemption, HandleResult.ValueType]] = MappingProxyType(
    {
        Redemption.VALID: handles_pb2.HANDLE_RESULT_VALID,
        Redemption.SUPERSEDED: handles_pb2.HANDLE_RESULT_SUPERSEDED,
        Redemption.UNKNOWN: handles_pb2.HANDLE_RESULT_INVALID,
        Redemption.EXPIRED: handles_pb2.HANDLE_RESULT_INVALID,
        Redemption.REVOKED: handles_pb2.HANDLE_RESULT_INVALID,
        Redemption.FOREIGN: handles_pb2.HANDLE_RESULT_INVALID,
    }
)
"""What is told outside: whoever guesses learns nothing from a refusal."""


class Facts(NamedTuple):
    """What can be said of a presented resume handle."""

    known: bool
    own: bool
    revoked: bool
    expired: bool
    newest: bool


class Rule(NamedTuple):
    """One row of `JUDGEMENT`: the handle is `result` when the fact has that value."""

    fact: str
    value: bool
    result: Redemption


JUDGEMENT: Final = (
    Rule("known", False, Redemption.UNKNOWN),  # noqa: FBT003 - a row of a table
    Rule("own", False, Redemption.FOREIGN),  # noqa: FBT003
    Rule("revoked", True, Redemption.REVOKED),  # noqa: FBT003
    Rule("expired", True, Redemption.EXPIRED),  # noqa: FBT003
    Rule("newest", False, Redemption.SUPERSEDED),  # noqa: FBT003
)
"""The first row that applies decides; where none does the handle is valid."""


def judge(view: View | Glance, mode: Mode.ValueType, owner: Owner, now: datetime, rules: Rules) -> Redemption:
    """Judge the presented resume handle of `view` for somebody who came with `mode` and proved to be `owner`."""
    facts = _facts(view, mode, owner, now, rules)
    for rule in JUDGEMENT:
        if getattr(facts, rule.fact) is rule.value:
            return rule.result
    return Redemption.VALID


def _facts(view: View | Glance, mode: Mode.ValueType, owner: Owner, now: datetime, rules: Rules) -> Facts:
    conversation, handle = view.conversation, view.presented
    if conversation is None or handle is None:
        return Facts(known=handle is not None, own=False, revoked=False, expired=False, newest=False)
    here = handle.conversation_id == conversation.id
    return Facts(
        known=not here or handle.number > conversation.handles_issued - KEPT_RESUME_HANDLES,
        own=here and mode == conversation.mode and owns(conversation, owner),
        revoked=handle.number <= conversation.handles_revoked,
        expired=handle.number <= conversation.handles_expired or expired(conversation, now, rules),
        newest=handle.number == conversation.handles_issued,
    )


def owns(conversation: Conversation | Standing, owner: Owner) -> bool:
    """Whether `owner` is the conversation's own, compared in constant time."""
    same = hmac.compare_digest(conversation.owner.key.encode(), owner.key.encode())
    return same and conversation.owner.kind is owner.kind


def expiry(conversation: Conversation | Standing, rules: Rules) -> datetime:
    """When the handles of the conversation expire if it gives no further sign of life."""
    return conversation.seen_at + rules.handle_ttl


def expired(conversation: Conversation | Standing, now: datetime, rules: Rules) -> bool:
    """Whether the last sign of life is a TTL ago, or longer."""
    return now >= expiry(conversation, rules)


def held(conversation: Conversation, now: datetime) -> bool:
    """Whether a relay holds the conversation and its lease has not run out. It routes, it never protects."""
    return conversation.lease_until is not None and now < conversation.lease_until


def admit(view: View, mode: Mode.ValueType, owner: Owner) -> Conversation:
    """Let in whoever has the right mode and owner; of an ended conversation only they learn that it has ended.

    Raises:
        ServiceError: CONVERSATION_NOT_FOUND, MODE_MISMATCH, OWNER_MISMATCH or CONVERSATION_ENDED, in this order.
    """
    conversation = existing(view)
    if mode != conversation.mode:
        raise ServiceError(Reason.MODE_MISMATCH, "The conversation has another mode.")
    if not owns(conversation, owner):
        raise ServiceError(Reason.OWNER_MISMATCH, "The conversation has another owner.")
    return active(conversation)


def existing(view: View) -> Conversation:
    """The conversation of `view`.

    Raises:
        ServiceError: CONVERSATION_NOT_FOUND.
    """
    if view.conversation is None:
        raise not_found()
    return view.conversation


def not_found() -> ServiceError:
    """What to tell of a conversation that does not exist."""
    return ServiceError(Reason.CONVERSATION_NOT_FOUND, "There is no such conversation.")


def fenced(view: View, epoch: int) -> Conversation:
    """The conversation of `view`, for a writer that names `epoch`.

    Raises:
        ServiceError: CONVERSATION_NOT_FOUND; EPOCH_FENCED unless `epoch` is the present one.
    """
    conversation = existing(view)
    if epoch != conversation.epoch:
        raise ServiceError(
            Reason.EPOCH_FENCED,
            f"Epoch {epoch} no longer holds the conversation; stop.",
            {"epoch": str(conversation.epoch)},
        )
    return conversation


def active(conversation: Conversation) -> Conversation:
    """The conversation, if it may go on.

    Raises:
        ServiceError: CONVERSATION_ENDED.
    """
    if conversation.ended_at is not None:
        raise ServiceError(Reason.CONVERSATION_ENDED, "The conversation has ended.")
    return conversation


def fitting(turn_count: int, turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """The turns that are new after `turn_count` stored ones; those stored already are passed over.

    The first write of a turn counts: a repetition with another text changes nothing.

    Raises:
        ServiceError: INVALID_ARGUMENT when the turns are out of order or would leave a hole.
    """
    for before, after in itertools.pairwise(turns):
        if after.number != before.number + 1:
            raise invalid(
                "turns", f"turn {after.number} follows turn {before.number}; send them in order, without holes"
            )
    if turns and turns[0].number > turn_count + 1:
        raise invalid("turns", f"turn {turns[0].number} would leave a hole: {turn_count} are stored")
    return tuple(turn for turn in turns if turn.number > turn_count)


def covering(turn_count: int, covers_turn: int) -> int:
    """What an upstream handle covers, if those turns are stored.

    Raises:
        ServiceError: INVALID_ARGUMENT when it is said to cover a turn that is not.
    """
    if covers_turn > turn_count:
        raise invalid("upstream_handle.covers_turn", f"turn {covers_turn} is not stored: {turn_count} are")
    return covers_turn


def same_request(stored: bytes, asked: bytes) -> None:
    """Pass a creation that repeats an earlier one.

    Raises:
        ServiceError: REQUEST_ID_REUSED when it asks for something else.
    """
    if not hmac.compare_digest(stored, asked):
        raise ServiceError(
            Reason.REQUEST_ID_REUSED,
            "The request id was used for another conversation; make a new one for each creation.",
            {"field": "request_id"},
        )

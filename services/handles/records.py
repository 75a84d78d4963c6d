"""What is stored, as decisions see it: frozen values without a database behind them."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

from filo.handles.v1.resources_pb2 import CONTINUITY_UNSPECIFIED, Continuity, Mode
from filo.handles.v1.resources_pb2 import Feedback as FeedbackMessage

_SHOWN_DIGITS: Final = 8


class OwnerKind(StrEnum):
    """What sort of proof makes somebody the owner."""

    USER = "user"
    SHARE_TOKEN = "share_token"  # noqa: S105 - a kind, not a token


class Owner(NamedTuple):
    """Who owns a conversation, with nothing secret in it.

    Args:
        kind: What the owner is known by.
        key: The user's id, or the keyed hash of the share token in hex.
    """

    kind: OwnerKind
    key: str

    def __str__(self) -> str:
        if self.kind is OwnerKind.USER:
            return f"users/{self.key}"
        return f"shareTokens/{self.key[:_SHOWN_DIGITS]}"


class Conversation(NamedTuple):
    """A conversation as a decision may read it: all but its agent and its turns.

    Args:
        id: 32 hex digits; the name is ``conversations/{id}``.
        mode: How it is entered.
        owner: Who owns it.
        test: Kept out of product figures.
        created_at: When it was created.
        seen_at: The last sign of life: attach, heartbeat, checkpoint or release.
        ended_at: When it ended; None while it is active.
        end_reason: Why it ended.
        epoch: The fencing number of the newest attach; 0 before the first.
        holder: The control address of the relay that holds it; empty when nobody does.
        lease_until: Until when the holder counts as alive; None when nobody holds it.
        turn_count: The newest stored turn.
        covered_seq: The newest client sequence number in the stored turns.
        handles_issued: The number of the newest resume handle; 0 when none was made.
        handles_expired: Resume handles up to this number were found expired, and stay so.
        handles_revoked: Resume handles up to this number are revoked.
        ledger: The newest ledger, serialized; None before the first.
        continuity: How the context survived the last rotation.
    """

    id: str
    mode: Mode.ValueType
    owner: Owner
    test: bool
    created_at: datetime
    seen_at: datetime
    ended_at: datetime | None = None
    end_reason: str = ""
    epoch: int = 0
    holder: str = ""
    lease_until: datetime | None = None
    turn_count: int = 0
    covered_seq: int = 0
    handles_issued: int = 0
    handles_expired: int = 0
    handles_revoked: int = 0
    ledger: bytes | None = None
    continuity: Continuity.ValueType = CONTINUITY_UNSPECIFIED

    @property
    def name(self) -> str:
        """``conversations/{id}``."""
        return f"conversations/{self.id}"


class Standing(NamedTuple):
    """As much of a conversation as tells what its handles are worth; the fields mean what `Conversation`'s do."""

    id: str
    mode: Mode.ValueType
    owner: Owner
    seen_at: datetime
    handles_issued: int = 0
    handles_expired: int = 0
    handles_revoked: int = 0


@dataclass(frozen=True, slots=True)
class UpstreamHandle:
    """Gemini's newest resumption secret and what it covers; kept out of its own ``repr``."""

    secret: str
    covers_turn: int
    created_at: datetime

    def __repr__(self) -> str:
        return f"UpstreamHandle(covers_turn={self.covers_turn}, created_at={self.created_at})"


class ResumeHandle(NamedTuple):
    """A resume handle as it is stored: whose it is, and the how-manieth of its conversation (from 1)."""

    conversation_id: str
    number: int


class Turn(NamedTuple):
    """A turn as it is stored: its number, and the serialized ``filo.handles.v1.Turn``."""

    number: int
    body: bytes


class FeedbackChange(NamedTuple):
    """What became of an item of feedback.

    Args:
        number: The item's, in its conversation.
        state: Its new state.
        turn: The turn that it served; 0 leaves what is stored, as nothing does in the fields below.
        tokens: Its tokens in the context.
        detail: By what.
        at: When.
    """

    number: int
    state: FeedbackMessage.State.ValueType
    turn: int
    tokens: int
    detail: str
    at: datetime


class NewConversation(NamedTuple):
    """What CreateConversation stores.

    Args:
        conversation: The record.
        request_id: Makes the creation safe to repeat.
        request_digest: A hash of all that the request asked for; tells a repetition from a reuse.
        agent: The serialized ``filo.handles.v1.AgentConfig``; it never changes.
    """

    conversation: Conversation
    request_id: str
    request_digest: bytes
    agent: bytes


class Created(NamedTuple):
    """What is stored under a request id: the conversation, and the digest of the request that made it."""

    conversation: Conversation
    request_digest: bytes


class View(NamedTuple):
    """What the store has, in one consistent look.

    Args:
        conversation: None when there is no such conversation.
        upstream: The newest upstream handle; None when there is none.
        presented: The resume handle that was asked for, whosever it is; None when it is unknown.
        spoiled: An upstream handle is stored that will never open: it counts as none, and goes with the next change.
    """

    conversation: Conversation | None
    upstream: UpstreamHandle | None = None
    presented: ResumeHandle | None = None
    spoiled: bool = False


class Glance(NamedTuple):
    """As much of a `View` as tells what a presented resume handle is worth, in one consistent look."""

    conversation: Standing | None
    presented: ResumeHandle | None


@dataclass(frozen=True, slots=True)
class Change:
    """What the store shall hold afterwards.

    Args:
        conversation: The record.
        upstream: The upstream handle; None deletes it.
        turns: New turns, in order.
        resume_digest: The keyed hash of a new resume handle, whose number is ``conversation.handles_issued``.
        feedback: What became of feedback.
    """

    conversation: Conversation
    upstream: UpstreamHandle | None
    turns: tuple[Turn, ...] = ()
    resume_digest: bytes | None = None
    feedback: tuple[FeedbackChange, ...] = ()

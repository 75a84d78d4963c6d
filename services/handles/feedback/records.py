"""Items of feedback as decisions see them: frozen values without a database behind them."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from filo.handles.v1.resources_pb2 import Feedback as Message
from services.handles.records import Conversation


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """An item of a conversation.

    Args:
        number: The how-manieth of its conversation, from 1; its id in decimal digits.
        text: The advice; empty where it was not asked for.
        state: As it is stored; `rules.state_at` judges what has expired.
        turn: The turn that it served; 0 before it is delivered.
        tokens: Its tokens in the context; 0 before it is delivered.
        detail: By what it came to its state.
        created_at: When it was given.
        expires_at: When it expires unless it is delivered before; None when it never does.
        updated_at: When its state was last stored.
    """

    number: int
    text: str = field(default="", repr=False)
    state: Message.State.ValueType = Message.STATE_ACCEPTED
    turn: int = 0
    tokens: int = 0
    detail: str = ""
    created_at: datetime
    expires_at: datetime | None = None
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class NewFeedback:
    """An item that is to be stored, with what makes its creation safe to repeat."""

    feedback: Feedback
    request_id: str
    request_digest: bytes


class AtHand(NamedTuple):
    """What a relay that attaches is told of.

    Args:
        items: Those that wait or are in the context, oldest first; bounded, the older ones without their texts.
        newest: The number of the newest item of all; 0 when there is none.
    """

    items: tuple[Feedback, ...] = ()
    newest: int = 0


class Given(NamedTuple):
    """An item that is stored under a request id, and the digest of the request that made it."""

    feedback: Feedback
    request_digest: bytes


class Shown(NamedTuple):
    """What the store has, in one consistent look.

    Args:
        conversation: None when there is no such conversation.
        same: What is stored under the request id.
        waiting: Items that wait, without their texts: as a rule one, or none.
        last: The number of the newest item; 0 when there is none.
    """

    conversation: Conversation | None
    same: Given | None = None
    waiting: tuple[Feedback, ...] = ()
    last: int = 0

"""What becomes of feedback. No I/O, no clock.

An item only moves forward, in the order of the numbers of the contract's `Feedback.State`: so a change may be told
again, and one that comes late is passed over. The delivery of an item that was superseded or has expired meanwhile is
let in: the relay had sent it before it knew.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from filo.handles.v1.resources_pb2 import Feedback as Message
from services.common.errors import Reason, ServiceError
from services.handles import policy
from services.handles.feedback.records import Feedback, NewFeedback, Shown
from services.handles.records import Conversation, View

MOST: Final = 10_000
"""Items of one conversation."""

AT_HAND: Final = (Message.STATE_ACCEPTED, Message.STATE_DELIVERED)
"""What a relay that attaches must know of: the item that waits, and those in the context."""


class Ask(NamedTuple):
    """What somebody asks to store.

    Args:
        text: The advice.
        time_to_live: How long it may wait; None for as long as the conversation lives.
        request_id: Makes the call safe to repeat.
        request_digest: A hash of all that was asked for; tells a repetition from a reuse.
    """

    text: str
    time_to_live: timedelta | None
    request_id: str
    request_digest: bytes


class Added(NamedTuple):
    """What the caller is told.

    Args:
        conversation: Whose it is.
        feedback: The item as it stands.
        superseded: The number of the item that made way; 0 when there was none.
        new: It was not stored before.
    """

    conversation: Conversation
    feedback: Feedback
    superseded: int = 0
    new: bool = False


class Decision(NamedTuple):
    """What shall be stored, and what the caller is told.

    Args:
        new: An item.
        moved: Number and new state of items that change.
        answer: To the caller.
    """

    new: NewFeedback | None
    moved: tuple[tuple[int, Message.State.ValueType], ...]
    answer: Added


Decide = Callable[[Shown], Decision]
"""Raises `ServiceError` to refuse."""


def state_at(feedback: Feedback, now: datetime) -> Message.State.ValueType:
    """The state of an item, judged at a moment: what waits too long has expired."""
    if feedback.state == Message.STATE_ACCEPTED and feedback.expires_at is not None and now >= feedback.expires_at:
        return Message.STATE_EXPIRED
    return feedback.state


def add(ask: Ask, now: datetime) -> Decide:
    """Store an item, unless its request id is taken; one that waits makes way for it."""

    def decide(shown: Shown) -> Decision:
        conversation = policy.existing(View(shown.conversation))
        if shown.same is not None:
            policy.same_request(shown.same.request_digest, ask.request_digest)
            return Decision(None, (), Added(conversation, shown.same.feedback))
        policy.active(conversation)
        if shown.last >= MOST:
            raise ServiceError(Reason.LIMIT_REACHED, f"The conversation has {MOST} items of feedback already.")
        item = Feedback(
            number=shown.last + 1,
            text=ask.text,
            created_at=now,
            expires_at=None if ask.time_to_live is None else now + ask.time_to_live,
            updated_at=now,
        )
        moved = tuple((old.number, _made_way(old, now)) for old in shown.waiting)
        superseded = max((number for number, state in moved if state == Message.STATE_SUPERSEDED), default=0)
        new = NewFeedback(item, ask.request_id, ask.request_digest)
        return Decision(new, moved, Added(conversation, item, superseded, new=True))

    return decide


def _made_way(old: Feedback, now: datetime) -> Message.State.ValueType:
    """What an item that waits becomes when a newer one comes."""
    expired = state_at(old, now) == Message.STATE_EXPIRED
    return Message.STATE_EXPIRED if expired else Message.STATE_SUPERSEDED

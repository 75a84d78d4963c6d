"""Feedback on the wire and in the core: one's values as the other's."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from filo.handles.v1 import resources_pb2 as resources
from filo.relay.v1 import relay_pb2 as pb
from services.common.clock import Clock
from services.relay.core.model import Feedback, FeedbackChange, FeedbackPolicy, FeedbackState

STATES: Final[Mapping[FeedbackState, resources.Feedback.State.ValueType]] = MappingProxyType(
    {
        FeedbackState.ACCEPTED: resources.Feedback.STATE_ACCEPTED,
        FeedbackState.SUPERSEDED: resources.Feedback.STATE_SUPERSEDED,
        FeedbackState.EXPIRED: resources.Feedback.STATE_EXPIRED,
        FeedbackState.DELIVERED: resources.Feedback.STATE_DELIVERED,
        FeedbackState.REMOVED: resources.Feedback.STATE_REMOVED,
    }
)
"""The core's states as the contract has them."""

_STATES_IN_CORE: Final = MappingProxyType({wire: state for state, wire in STATES.items()})

POLICIES: Final[Mapping[resources.FeedbackPolicy.ValueType, FeedbackPolicy]] = MappingProxyType(
    {
        resources.FEEDBACK_POLICY_AUTO: FeedbackPolicy.AUTO,
        resources.FEEDBACK_POLICY_APPEND: FeedbackPolicy.APPEND,
        resources.FEEDBACK_POLICY_JUST_IN_TIME: FeedbackPolicy.JUST_IN_TIME,
        resources.FEEDBACK_POLICY_REPLACE: FeedbackPolicy.REPLACE,
        resources.FEEDBACK_POLICY_REBASE: FeedbackPolicy.REBASE,
    }
)
"""The contract's policies as the core has them; one that is not here is the setting's."""


def feedback(message: resources.Feedback, clock: Clock) -> Feedback:
    """An item as the core has it.

    Args:
        message: From the store.
        clock: The driver's; the moment of expiry is told on its monotonic hand.
    """
    expires_at = None
    if message.HasField("expire_time"):
        left = message.expire_time.ToNanoseconds() / 1e9 - clock.now().timestamp()
        expires_at = clock.monotonic() + left
    return Feedback(
        message.id,
        message.text,
        _STATES_IN_CORE[message.state],
        message.turn,
        message.tokens,
        expires_at,
        message.detail,
    )


def feedback_changed(change: FeedbackChange) -> pb.FeedbackChanged:
    """What those who watch are told."""
    return pb.FeedbackChanged(
        id=change.id, state=STATES[change.state], turn=change.turn, tokens=change.tokens, detail=change.detail
    )


def change_message(change: FeedbackChange) -> resources.FeedbackChange:
    """What the store is told."""
    return resources.FeedbackChange(
        id=change.id, state=STATES[change.state], turn=change.turn, tokens=change.tokens, detail=change.detail
    )

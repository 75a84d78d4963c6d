"""Feedback as the contract has it and as the core has it: nothing is lost on the way."""

from datetime import timedelta

import pytest

from filo.handles.v1 import resources_pb2 as resources
from services.relay.core.model import FeedbackChange, FeedbackPolicy, FeedbackState
from services.relay.feedback import POLICIES, STATES, change_message, feedback, feedback_changed
from tests.support.clock import ManualClock


def test_every_state_and_policy_has_its_like() -> None:
    """By its name; what the contract leaves open has none."""
    named = {state: resources.Feedback.State.Value(f"STATE_{state.value.upper()}") for state in FeedbackState}
    assert dict(STATES) == named
    assert set(named.values()) == set(resources.Feedback.State.values()) - {resources.Feedback.STATE_UNSPECIFIED}
    policies = {
        resources.FeedbackPolicy.Value(f"FEEDBACK_POLICY_{policy.value.upper()}"): policy for policy in FeedbackPolicy
    }
    assert dict(POLICIES) == policies
    assert set(policies) == set(resources.FeedbackPolicy.values()) - {resources.FEEDBACK_POLICY_UNSPECIFIED}


def test_states_are_in_the_order_of_the_contract() -> None:
    """Forward means the same on both sides."""
    assert [STATES[state] for state in FeedbackState] == sorted(STATES.values())


@pytest.mark.parametrize("seconds", [0.25, 90.0, -3.0])
def test_expiry_is_told_on_the_monotonic_hand(seconds: float) -> None:
    """As far ahead, or back, as it is by the wall clock."""
    clock = ManualClock()
    message = resources.Feedback(id="3", text="advice", state=resources.Feedback.STATE_ACCEPTED)
    assert feedback(message, clock).expires_at is None
    message.expire_time.FromDatetime(clock.now() + timedelta(seconds=seconds))
    found = feedback(message, clock).expires_at
    assert found == pytest.approx(clock.monotonic() + seconds, abs=1e-5)


def test_an_item_keeps_all_that_the_core_asks_for() -> None:
    """Also where it is, by the detail it was delivered with."""
    message = resources.Feedback(
        id="3", text="advice", state=resources.Feedback.STATE_DELIVERED, turn=4, tokens=9, detail="replace"
    )
    item = feedback(message, ManualClock())
    assert (item.id, item.text, item.state) == ("3", "advice", FeedbackState.DELIVERED)
    assert (item.turn, item.tokens, item.detail) == (4, 9, "replace")
    assert "advice" not in repr(item)


@pytest.mark.parametrize("state", FeedbackState)
def test_watchers_and_the_store_are_told_the_same(state: FeedbackState) -> None:
    """Number, state, turn, tokens, by what."""
    change = FeedbackChange("3", state, turn=4, tokens=9, detail="by 5")
    for message in (change_message(change), feedback_changed(change)):
        told = (message.id, message.state, message.turn, message.tokens, message.detail)
        assert told == ("3", STATES[state], 4, 9, "by 5")

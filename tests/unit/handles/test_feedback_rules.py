"""What becomes of feedback, decided without a database."""

from datetime import timedelta

import pytest

from filo.handles.v1.resources_pb2 import Feedback as Message
from filo.handles.v1.resources_pb2 import Ledger
from services.common.errors import Reason, ServiceError
from services.handles import limits, models
from services.handles.feedback import rules
from services.handles.feedback.records import Feedback, Given, Shown
from services.handles.feedback.rules import MOST, Ask
from tests.support.conversations import NOW, conversation

ASK = Ask("advice", timedelta(seconds=60), "r", b"digest")


def item(number: int, **fields: object) -> Feedback:
    """An item that waits."""
    return Feedback(**{"number": number, "created_at": NOW, "updated_at": NOW, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize("state", [state for state in Message.State.values() if state])
def test_only_what_waits_expires(state: Message.State.ValueType) -> None:
    """From the moment on that it names; without one, never."""
    expires = NOW + timedelta(seconds=60)
    dated = item(1, state=state, expires_at=expires)
    late = Message.STATE_EXPIRED if state == Message.STATE_ACCEPTED else state
    assert rules.state_at(dated, expires - timedelta(microseconds=1)) == state
    assert rules.state_at(dated, expires) == late
    assert rules.state_at(item(1, state=state), NOW + timedelta(days=1000)) == state


def test_the_states_are_numbered_in_the_order_they_come_in() -> None:
    """A change is let in by comparing numbers: what waits comes first, what is gone from the context last."""
    assert [name.removeprefix("STATE_") for name in Message.State.keys()] == [  # noqa: SIM118 - an enum's own
        "UNSPECIFIED",
        "ACCEPTED",
        "SUPERSEDED",
        "EXPIRED",
        "DELIVERED",
        "REMOVED",
    ]
    assert str(models.FEEDBACK_AT_HAND) == f"state IN ({', '.join(str(state) for state in rules.AT_HAND)})"


def test_a_conversation_takes_so_many() -> None:
    """One more is refused for good; a repetition of one that is stored is not."""
    shown = Shown(conversation(), last=MOST - 1)
    assert rules.add(ASK, NOW)(shown).answer.feedback.number == MOST
    with pytest.raises(ServiceError) as caught:
        rules.add(ASK, NOW)(shown._replace(last=MOST))
    assert caught.value.reason is Reason.LIMIT_REACHED
    again = rules.add(ASK, NOW)(shown._replace(last=MOST, same=Given(item(3), b"digest")))
    assert (again.new, again.moved, again.answer.feedback.number) == (None, (), 3)


def test_all_that_wait_make_way() -> None:
    """Each into the state that is true of it at this moment; the newest that was superseded is named."""
    old = item(1, expires_at=NOW)
    decision = rules.add(ASK, NOW)(Shown(conversation(), waiting=(old, item(2), item(3)), last=3))
    assert decision.moved == (
        (1, Message.STATE_EXPIRED),
        (2, Message.STATE_SUPERSEDED),
        (3, Message.STATE_SUPERSEDED),
    )
    assert decision.answer.superseded == 3
    assert decision.new is not None
    assert decision.new.feedback == item(4, text="advice", expires_at=NOW + timedelta(seconds=60))


def test_what_was_saved_may_be_less_than_nothing() -> None:
    """Of all counts in a ledger only these: the others are counts."""
    less = Ledger(saved_context_tokens=-1, saved_billed_tokens=-5)
    assert limits.ledger(less) is less
    with pytest.raises(ServiceError) as caught:
        limits.ledger(Ledger(estimated_tokens_by_category={"user": -1}))
    assert caught.value.metadata["field"] == "ledger.estimated_tokens_by_category"

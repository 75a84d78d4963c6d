"""What an operator sees and takes back."""

from datetime import timedelta

import pytest

from services.common.errors import Reason, ServiceError
from services.handles import operating
from services.handles.policy import KEPT_RESUME_HANDLES
from services.handles.records import Conversation, UpstreamHandle, View
from tests.support.conversations import NOW, RULES, conversation

HELD = conversation(
    epoch=2, holder="127.0.0.1:7401", lease_until=NOW + RULES.lease, turn_count=5, handles_issued=5, handles_revoked=2
)


def summary(record: Conversation) -> dict[str, object]:
    """A conversation in one line."""
    return operating.summary(record, NOW, RULES)


def test_a_holder_is_shown_while_its_lease_runs() -> None:
    """Held, then idle, then ended; a lease that has run out names nobody."""
    assert (summary(HELD)["state"], summary(HELD)["holder"]) == ("held", "127.0.0.1:7401")
    late = HELD._replace(lease_until=NOW)
    assert (summary(late)["state"], summary(late)["holder"]) == ("idle", "")
    assert summary(HELD._replace(ended_at=NOW))["state"] == "ended"


@pytest.mark.parametrize(
    ("record", "live"),
    [
        (HELD, 3),
        (HELD._replace(handles_expired=4), 1),
        (HELD._replace(handles_revoked=5), 0),
        (HELD._replace(handles_issued=500), KEPT_RESUME_HANDLES),
        (HELD._replace(seen_at=NOW - RULES.handle_ttl), 0),
        (HELD._replace(ended_at=NOW), 0),
    ],
)
def test_live_handles_are_those_that_are_worth_something(record: Conversation, live: int) -> None:
    """Between the marks and the newest, as many as are kept, while the conversation lives."""
    assert summary(record)["handles_live"] == live


def test_revoking_moves_the_mark_and_nothing_else() -> None:
    """All handles that were given out are revoked; epoch, holder and upstream handle stay."""
    upstream = UpstreamHandle("gemini", 5, NOW - timedelta(seconds=1))
    decision = operating.revoke()(View(HELD, upstream))
    assert decision.change is not None
    assert decision.change.conversation == HELD._replace(handles_revoked=5)
    assert decision.change.upstream is upstream
    with pytest.raises(ServiceError) as caught:
        operating.revoke()(View(None))
    assert caught.value.reason is Reason.CONVERSATION_NOT_FOUND


@pytest.mark.parametrize("text", ["0" * 32, "conversations/" + "0" * 32])
def test_a_conversation_is_named_in_two_ways(text: str) -> None:
    """By its name or by the id alone."""
    assert operating.identity(text) == "0" * 32

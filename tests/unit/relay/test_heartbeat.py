"""A holder's sign of life, and what it asks for after the store was away."""

from typing import Any, cast

import pytest
import structlog

from filo.handles.v1 import handles_pb2
from filo.handles.v1.resources_pb2 import Feedback
from services.common.errors import Reason, ServiceError
from services.relay.core import events as on
from services.relay.heartbeat import Heartbeat
from tests.support.clock import ManualClock

NAME = "conversations/1"
AWAY = ServiceError(Reason.STORE_UNAVAILABLE, "away")


class Store:
    """Refuses what it is told to, and has one page of feedback."""

    def __init__(self) -> None:
        self.error: ServiceError | None = None
        self.items: list[Feedback] = []
        self.calls: list[str] = []

    async def heartbeat(self, name: str, epoch: int) -> None:
        """A sign of life."""
        assert (name, epoch) == (NAME, 3)
        self.calls.append("heartbeat")
        if self.error:
            raise self.error

    async def list_feedback(self, request: handles_pb2.ListFeedbackRequest) -> handles_pb2.ListFeedbackResponse:
        """The newest item."""
        assert (request.name, request.page_size) == (NAME, 1)
        self.calls.append("list")
        return handles_pb2.ListFeedbackResponse(feedback=self.items)


class Scene:
    """A heartbeat, its store, and what was told of it."""

    def __init__(self) -> None:
        self.store = Store()
        self.told: list[on.Event] = []
        log = structlog.stdlib.get_logger("test")
        self.heartbeat = Heartbeat(NAME, 3, cast("Any", self.store), ManualClock(), self.told.append, log)


async def test_while_all_is_well_nothing_else_is_asked() -> None:
    """One call a beat."""
    scene = Scene()
    for _ in range(3):
        await scene.heartbeat.beat()
    assert (scene.store.calls, scene.told) == (["heartbeat"] * 3, [])


@pytest.mark.parametrize("state", [state for state in Feedback.State.values() if state])
async def test_after_the_store_was_away_what_waits_is_looked_for(state: Feedback.State.ValueType) -> None:
    """Once; and only an item that waits is told."""
    scene = Scene()
    scene.store.items = [Feedback(id="7", text="advice", state=state)]
    scene.store.error = AWAY
    await scene.heartbeat.beat()
    await scene.heartbeat.beat()
    scene.store.error = None
    await scene.heartbeat.beat()
    await scene.heartbeat.beat()
    assert scene.store.calls == ["heartbeat"] * 3 + ["list", "heartbeat"]
    told = [event.feedback.id for event in scene.told if isinstance(event, on.FeedbackGiven)]
    assert told == (["7"] if state == Feedback.STATE_ACCEPTED else [])
    assert len(scene.told) == len(told)


@pytest.mark.parametrize(
    ("reason", "event"),
    [
        (Reason.EPOCH_FENCED, on.Fenced()),
        (Reason.CONVERSATION_NOT_FOUND, on.EndedElsewhere()),
        (Reason.CALLER_NOT_ALLOWED, on.StoreRefused()),
    ],
)
async def test_a_refusal_ends_the_hold(reason: Reason, event: on.Event) -> None:
    """It is told as a refused write is."""
    scene = Scene()
    scene.store.error = ServiceError(reason, "no")
    await scene.heartbeat.beat()
    assert scene.told == [event]

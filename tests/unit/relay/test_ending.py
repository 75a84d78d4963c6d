"""A platform ends a conversation that nobody holds, in the moment in which somebody takes it."""

from types import SimpleNamespace
from typing import Any

import pytest

from filo.handles.v1 import handles_pb2
from filo.handles.v1 import resources_pb2 as resources
from filo.relay.v1 import relay_pb2 as pb
from services.common.errors import Reason, ServiceError
from services.relay.control.servicer import RelayServicer


def servicer(refusal: Reason) -> RelayServicer:
    """A relay whose store refuses the end."""

    async def get(name: str) -> handles_pb2.GetConversationResponse:
        stored = resources.Conversation(name=name, epoch=1, state=resources.Conversation.STATE_ACTIVE)
        return handles_pb2.GetConversationResponse(conversation=stored)

    async def end(_name: str, epoch: int, _reason: str) -> None:
        assert epoch == 1
        raise ServiceError(refusal, "no")

    async def end_elsewhere(_name: str, _reason: str) -> bool:
        return False

    parts: tuple[Any, ...] = (
        SimpleNamespace(get=get, end=end),
        None,
        SimpleNamespace(find=lambda _name: None),
        SimpleNamespace(end_elsewhere=end_elsewhere),
        None,
    )
    return RelayServicer(*parts)


@pytest.mark.parametrize(
    ("refusal", "told"),
    [(Reason.EPOCH_FENCED, Reason.SERVICE_UNAVAILABLE), (Reason.STORE_UNAVAILABLE, Reason.STORE_UNAVAILABLE)],
)
@pytest.mark.asyncio
async def test_a_relay_takes_it_in_this_moment(refusal: Reason, told: Reason) -> None:
    """The platform is told to repeat the call, which then reaches the holder; not that it may not."""
    context: Any = SimpleNamespace(invocation_metadata=lambda: ())
    with pytest.raises(ServiceError) as caught:
        await servicer(refusal).EndSession(pb.EndSessionRequest(conversation="conversations/x"), context)
    assert (caught.value.reason, caught.value.meaning.retryable) == (told, True)

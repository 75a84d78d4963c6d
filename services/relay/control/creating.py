"""Holds each API key to its quotas of conversations."""

from collections.abc import Sequence

from filo.handles.v1 import resources_pb2 as resources
from services.common.api_keys import Keys
from services.common.clock import Clock
from services.common.errors import Reason, ServiceError
from services.common.grpc_wrapping import Wrap
from services.common.quotas import Quotas, Standing
from services.relay.control.servicer import SERVICE
from services.relay.registry import Registry
from services.relay.store import Store


def held_to_quotas(keys: Keys | None, clock: Clock, registry: Registry, store: Store) -> Sequence[Wrap]:
    """What is put around the control API's calls; nothing without keys.

    Args:
        keys: Who calls.
        clock: Tells when.
        registry: What is held here.
        store: Knows what is held elsewhere.
    """
    if keys is None:
        return ()

    async def standing(name: str) -> Standing:
        if registry.find(name) is not None:
            return Standing.BUSY
        try:
            found = await store.get(name)
        except ServiceError as error:
            return Standing.OVER if error.reason is Reason.CONVERSATION_NOT_FOUND else Standing.BUSY
        if found.conversation.state == resources.Conversation.STATE_ENDED:
            return Standing.OVER
        return Standing.BUSY if found.attached else Standing.IDLE

    return (Quotas(keys, clock, standing).limited(f"/{SERVICE}/CreateSession", lambda answer: answer.conversation),)

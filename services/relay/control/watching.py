"""How a conversation stands, and what happens to it, at whichever replica it is held."""

from collections.abc import AsyncIterator
from typing import Final

from google.protobuf import timestamp_pb2

from filo.handles.v1 import resources_pb2 as resources
from filo.relay.v1 import relay_pb2 as pb
from filo.relay.v1 import relay_pb2_grpc as rpc
from services.common import grpc_client
from services.common.clock import Clock
from services.common.config import parse_address
from services.common.tls import Transport
from services.relay.control.journal import epoch_of, sequence
from services.relay.ledgers import ledger_message
from services.relay.live import LiveConversation
from services.relay.registry import Registry
from services.relay.store import CONTINUITY, Store

FORWARDED: Final = "x-filo-forwarded"
"""Metadata of a call that another replica passes on: it is not passed on again."""
_BETWEEN_HOLDERS: Final = 1.0
"""Seconds between two looks for somebody who holds the conversation."""

_BEFORE_ANY: Final = 1
"""Asks for every event of the holder, as 0 does not: nothing ever happens in the epoch before the first."""


class Watch:
    """Shows conversations.

    Args:
        store: The handle store.
        registry: What is held here.
        clock: Says when.
        transport: What encrypts the calls to other replicas.
    """

    def __init__(self, store: Store, registry: Registry, clock: Clock, transport: Transport) -> None:
        self._transport = transport
        self._store = store
        self._registry = registry
        self._clock = clock

    async def session(self, name: str) -> pb.Session:
        """How a conversation stands."""
        await self._registry.settled(name)
        stored = await self._store.get(name)
        conversation = stored.conversation
        session = pb.Session(
            conversation=conversation.name,
            mode=conversation.mode,
            test=conversation.test,
            state=conversation.state,
            turn_count=conversation.turn_count,
            ledger=stored.ledger if stored.HasField("ledger") else None,
            create_time=conversation.create_time,
            end_time=conversation.end_time if conversation.HasField("end_time") else None,
        )
        live = self._registry.find(name)
        if live is not None:
            _add_live(session, live)
        return session

    async def follow(self, name: str, after: int, *, forwarded: bool) -> AsyncIterator[pb.WatchSessionResponse]:
        """What happens to a conversation, until it ends.

        Args:
            name: The conversation.
            after: The newest event that the watcher has got, or 0.
            forwarded: Another replica asks.

        Raises:
            ServiceError: It does not exist, or the replica that held it has just gone.
        """
        fresh = not after
        while True:
            await self._registry.settled(name)
            async for event in self._events(name, None if fresh else after, forwarded=forwarded):
                after, fresh = event.sequence, False
                yield event
                if event.HasField("ended"):
                    return
            if forwarded:  # whoever asks looks for the next holder itself
                return
            await self._clock.sleep(_BETWEEN_HOLDERS)

    async def _events(self, name: str, after: int | None, *, forwarded: bool) -> AsyncIterator[pb.WatchSessionResponse]:
        """The events of whoever holds the conversation now; none when nobody does."""
        live = self._registry.find(name)
        if live is None:
            if not forwarded:
                async for event in self._elsewhere(name, after):
                    yield event
            return
        if after is None or epoch_of(after) != live.epoch:
            after = live.journal.last if after is None else sequence(live.epoch, 0)
            yield await self._snapshot(name, after)
        async for event in live.journal.follow(after):
            yield event

    async def _elsewhere(self, name: str, after: int | None) -> AsyncIterator[pb.WatchSessionResponse]:
        stored = await self._store.get(name)
        conversation = stored.conversation
        if conversation.state == resources.Conversation.STATE_ENDED:
            number = max(after or 0, sequence(conversation.epoch, 0)) + 1
            yield pb.WatchSessionResponse(
                sequence=number, time=conversation.end_time, ended=pb.Ended(reason=conversation.end_reason)
            )
        elif stored.holder and stored.holder != self._store.holder:
            async for event in self._ask(stored.holder, name, 0 if after is None else max(after, _BEFORE_ANY)):
                yield event
        elif after is None:
            yield await self._snapshot(name, sequence(conversation.epoch, 0))

    async def _snapshot(self, name: str, number: int) -> pb.WatchSessionResponse:
        now = timestamp_pb2.Timestamp()
        now.FromDatetime(self._clock.now())
        return pb.WatchSessionResponse(sequence=number, time=now, session=await self.session(name))

    async def _ask(self, holder: str, name: str, after: int) -> AsyncIterator[pb.WatchSessionResponse]:
        request = pb.WatchSessionRequest(conversation=name, after_sequence=after)
        async with grpc_client.channel(parse_address(holder), "relay", self._transport) as channel:
            stub: rpc.RelayServiceAsyncStub = rpc.RelayServiceStub(channel)
            async for event in stub.WatchSession(request, metadata=((FORWARDED, "1"),)):
                yield event


def _add_live(session: pb.Session, live: LiveConversation) -> None:
    session.attached = True
    session.client_connected = live.client_connected
    session.turn_count = live.core.talk.last
    session.rotation_count = live.core.rotations
    session.reconnect_count = max(0, live.joins - 1)
    if live.core.continuity is not None:
        session.continuity = CONTINUITY[live.core.continuity]
    if live.core.coverage.ledger.context:
        session.ledger.CopyFrom(ledger_message(live.core.coverage.ledger))

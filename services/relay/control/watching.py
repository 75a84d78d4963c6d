"""How a conversation stands, and what happens to it, at whichever replica it is held."""

from collections.abc import AsyncIterator
from typing import Final

from google.protobuf import timestamp_pb2

from filo.handles.v1 import resources_pb2 as resources
from filo.relay.v1 import relay_pb2 as pb
from services.common.clock import Clock
from services.common.errors import ServiceError
from services.relay.control.journal import epoch_of, sequence
from services.relay.ledgers import ledger_message
from services.relay.live import LiveConversation
from services.relay.peers import MARK, Peers
from services.relay.registry import Registry
from services.relay.store import CONTINUITY, Store

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
        peers: The other replicas.
    """

    def __init__(self, store: Store, registry: Registry, clock: Clock, peers: Peers) -> None:
        self._peers = peers
        self._store = store
        self._registry = registry
        self._clock = clock

    async def session(self, name: str, *, forwarded: bool = True) -> pb.Session:
        """How a conversation stands, by whoever holds it.

        Args:
            name: The conversation.
            forwarded: Another replica asks, or nobody else is to be asked.

        Raises:
            ServiceError: It does not exist, or the replica that held it has just gone.
        """
        await self._registry.settled(name)
        stored = await self._store.get(name)
        if not forwarded and self._registry.find(name) is None and stored.holder not in {"", self._store.holder}:
            async with self._peers.calling(stored.holder) as relay:
                asked = pb.GetSessionRequest(conversation=name)
                return (await relay.GetSession(asked, metadata=MARK)).session
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

    async def end_elsewhere(self, name: str, reason: str) -> bool:
        """End a conversation at the replica that holds it.

        Returns:
            Whether that was done. One that cannot be reached learns of the end from the store.
        """
        holder = (await self._store.get(name)).holder
        if holder in {"", self._store.holder}:
            return False
        try:
            async with self._peers.calling(holder) as relay:
                await relay.EndSession(pb.EndSessionRequest(conversation=name, reason=reason), metadata=MARK)
        except ServiceError as error:
            if not error.meaning.retryable:
                raise
            return False
        return True

    async def follow(self, name: str, after: int, *, forwarded: bool) -> AsyncIterator[pb.WatchSessionResponse]:
        """What happens to a conversation, until it ends.

        When nobody holds it any more, how it stands then is told once; the next holder's events follow.

        Args:
            name: The conversation.
            after: The newest event that the watcher has got, or 0.
            forwarded: Another replica asks.

        Raises:
            ServiceError: It does not exist, or the replica that held it has just gone.
        """
        fresh, left = not after, False
        while True:
            await self._registry.settled(name)
            silent = True
            async for event in self._events(name, None if fresh else after, forwarded=forwarded):
                after, fresh, silent = event.sequence, False, False
                yield event
                if event.HasField("ended"):
                    return
            if forwarded:  # whoever asks looks for the next holder itself
                return
            if silent and not left:
                standing = await self._standing(name, after)
                after, fresh = standing.sequence, False
                yield standing
            left = silent
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

    async def _standing(self, name: str, after: int) -> pb.WatchSessionResponse:
        """How a conversation stands that nobody holds; nothing has happened to it since the event `after`."""
        epoch = (await self._store.get(name)).conversation.epoch
        return await self._snapshot(name, max(after, sequence(epoch, 0)))

    async def _snapshot(self, name: str, number: int) -> pb.WatchSessionResponse:
        now = timestamp_pb2.Timestamp()
        now.FromDatetime(self._clock.now())
        return pb.WatchSessionResponse(sequence=number, time=now, session=await self.session(name))

    async def _ask(self, holder: str, name: str, after: int) -> AsyncIterator[pb.WatchSessionResponse]:
        request = pb.WatchSessionRequest(conversation=name, after_sequence=after)
        async with self._peers.calling(holder) as relay:
            async for event in relay.WatchSession(request, metadata=MARK):
                yield event


def _add_live(session: pb.Session, live: LiveConversation) -> None:
    session.attached = True
    session.client_connected = live.reception.occupied
    session.turn_count = live.core.talk.last
    session.rotation_count = live.core.rotations
    session.reconnect_count = max(0, live.reception.joins - 1)
    if live.core.continuity is not None:
        session.continuity = CONTINUITY[live.core.continuity]
    if live.core.coverage.ledger.context:
        session.ledger.CopyFrom(ledger_message(live.core.coverage.ledger))

"""`WatchSession`: what happens to a conversation, for whoever asks, at whichever replica."""

import asyncio
from pathlib import Path

import pytest

from filo.handles.v1.resources_pb2 import CONTINUITY_HANDLE, CONTINUITY_NONE
from filo.relay.v1 import relay_pb2 as pb
from services.common.errors import Reason, ServiceError
from tests.support.client import PATIENCE, Client, Speaker
from tests.support.relay import RunningRelay, another_relay, running_relay


class Watcher:
    """One stream, read as it comes."""

    def __init__(self, relay: RunningRelay, conversation: str, after: int = 0) -> None:
        request = pb.WatchSessionRequest(conversation=conversation, after_sequence=after)
        self._stream = relay.control.WatchSession(request)
        self.events: list[pb.WatchSessionResponse] = []

    async def until(self, kind: str) -> pb.WatchSessionResponse:
        """Read up to the next event of a kind."""
        async with asyncio.timeout(PATIENCE):
            async for event in self._stream:
                self.events.append(event)
                if event.WhichOneof("event") == kind:
                    return event
        raise AssertionError(f"the stream ended before {kind}")

    async def standing(self, *, attached: bool) -> pb.WatchSessionResponse:
        """Read up to the next word of how the conversation stands that says this."""
        while (event := await self.until("session")).session.attached is not attached:
            pass
        return event

    @property
    def in_order(self) -> bool:
        """Whether each event has a number above the last, and how things stand that of the last event before it."""
        happened = [event.sequence for event in self.events if not event.HasField("session")]
        numbers = [event.sequence for event in self.events]
        return happened == sorted(set(happened)) and numbers == sorted(numbers)

    @property
    def kinds(self) -> list[str]:
        """The kinds of what was read."""
        return [event.WhichOneof("event") or "" for event in self.events]


async def test_a_watcher_sees_it_all(tmp_path: Path) -> None:
    """How it stands, the client's coming and going, turns, tokens, rotations, the end; numbers grow."""
    async with running_relay(tmp_path, emulator={"lifetime": 1.5}) as relay:
        session = await relay.create()
        watcher = Watcher(relay, session.conversation)
        assert (await watcher.until("session")).session.turn_count == 0
        async with Client(relay.socket(session)) as client:
            joined = await watcher.until("client_joined")
            assert joined.client_joined.continuity == CONTINUITY_NONE
            await client.turn(Speaker(41), "My company is Brightwater.")
            assert (await watcher.until("turn_completed")).turn_completed.turn == 1
            rotated = (await watcher.until("rotation_completed")).rotation_completed
            assert (rotated.reason, rotated.continuity) == ("go_away", CONTINUITY_HANDLE)
        await watcher.until("client_left")
        await relay.control.EndSession(pb.EndSessionRequest(conversation=session.conversation, reason="done"))
        assert (await watcher.until("ended")).ended.reason == "done"
    assert {"ledger", "rotation_started"} <= set(watcher.kinds)
    assert watcher.in_order


async def test_a_broken_stream_is_taken_up_again(tmp_path: Path) -> None:
    """After the last number that was seen, nothing is missed and nothing comes twice."""
    async with running_relay(tmp_path) as relay:
        session = await relay.create()
        async with Client(relay.socket(session)) as client:
            await client.wait("session:started")
            whole = Watcher(relay, session.conversation)
            await whole.until("session")
            await client.turn(Speaker(42), "My company is Brightwater.")
            seen = await whole.until("turn_completed")
            await client.turn(Speaker(43), "My budget is small.")
            await whole.until("turn_completed")
            again = Watcher(relay, session.conversation, after=seen.sequence)
            await again.until("turn_completed")
    rest = [event.sequence for event in whole.events if event.sequence > seen.sequence]
    assert [event.sequence for event in again.events] == rest


async def test_any_replica_will_do(tmp_path: Path) -> None:
    """Asked at another replica, the stream comes from the one that holds it, and follows a change of holder."""
    async with running_relay(tmp_path) as first, another_relay(first) as second:
        session = await first.create()
        async with Client(first.socket(session)) as client:
            await client.wait("session:started")
            watcher = Watcher(second, session.conversation)
            assert (await watcher.until("session")).session.attached
            await client.turn(Speaker(44), "My company is Brightwater.")
            await watcher.until("turn_completed")
            await client.wait_handles(2)
            await first.where.registry.drain()
        async with Client(second.socket(session)) as client:
            await client.wait("session:resumed")
            standing = await watcher.standing(attached=True)
            assert standing.session.turn_count == 1
            joined = await watcher.until("client_joined")
            assert joined.client_joined.continuity == CONTINUITY_HANDLE
    assert watcher.in_order


async def test_a_watcher_is_told_that_nobody_holds_it(tmp_path: Path) -> None:
    """Once, at the end of the holder and at the beginning of a stream; the next holder's events follow."""
    async with running_relay(tmp_path) as first, another_relay(first) as second:
        session = await first.create()
        async with Client(first.socket(session)) as client:
            await client.wait("session:started")
            watcher = Watcher(second, session.conversation)
            await watcher.standing(attached=True)
            await client.turn(Speaker(45), "My company is Brightwater.")
            await client.wait_handles(2)
            await first.where.registry.drain()
        told = await watcher.standing(attached=False)
        assert told.session.turn_count == 1
        again = Watcher(first, session.conversation, after=told.sequence)
        assert (await again.until("session")).session == told.session
        async with Client(second.socket(session)) as client:
            await client.wait("session:resumed")
            await watcher.until("client_joined")
            await again.until("client_joined")
    assert watcher.in_order
    assert again.in_order
    assert again.kinds == ["session", "session", "client_joined"], (
        "it stands as it stands: told once, and once attached"
    )


async def test_what_does_not_exist_cannot_be_watched(tmp_path: Path) -> None:
    """The documented refusal; an ended conversation is told as ended at once."""
    async with running_relay(tmp_path) as relay:
        with pytest.raises(ServiceError) as refused:
            await Watcher(relay, f"conversations/{'0' * 32}").until("session")
        assert refused.value.reason is Reason.CONVERSATION_NOT_FOUND
        session = await relay.create()
        await relay.control.EndSession(pb.EndSessionRequest(conversation=session.conversation, reason="done"))
        assert (await Watcher(relay, session.conversation).until("ended")).ended.reason == "done"

"""Two relays and one conversation: it goes where its client goes, and the relay before gives it back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from filo.handles.v1.resources_pb2 import CONTINUITY_HANDLE, Conversation
from filo.relay.v1 import relay_pb2 as pb
from services.common.config import Address
from services.common.errors import Reason, ServiceError
from services.relay.config import DrainPolicy
from services.relay.store import Attached, Store
from tests.support.client import PATIENCE, Client, Speaker
from tests.support.handles import until
from tests.support.relay import RunningRelay, another_relay, running_relay

NOBODY = Address("127.0.0.1", 9)
"""Where no relay listens."""


@asynccontextmanager
async def two_relays(
    tmp_path: Path,
    *,
    reachable: bool = True,
    **settings: Any,  # noqa: ANN401 - any field of Settings
) -> AsyncIterator[tuple[RunningRelay, RunningRelay]]:
    """Two replicas; the second may or may not be able to reach the first."""
    settings |= {} if reachable else {"advertise_address": NOBODY}
    async with running_relay(tmp_path, **settings) as first:
        there = replace(first, settings=replace(first.settings, advertise_address=None))
        async with another_relay(there) as second:
            yield first, second


async def known(relay: RunningRelay, speaker: Speaker) -> None:
    """By the emulator's account: everything that was said is in its context, once."""
    found = relay.emulator.account.voice(speaker.stream)
    assert found is not None
    heard = [entry["text"].strip() for entry in found["context"] if entry["role"] == "user"]
    assert heard == speaker.lines
    assert (found["frames"]["missing_in_context"], found["frames"]["repeated_in_context"]) == (0, 0)
    assert found["greetings"] == 1


async def test_a_conversation_goes_where_its_client_goes(tmp_path: Path) -> None:
    """The holder closes its upstream, stores what is not stored, closes the old socket; Gemini's context goes on."""
    async with two_relays(tmp_path) as (first, second):
        session = await first.create()
        speaker = Speaker(81)
        async with Client(first.socket(session)) as client:
            await client.turn(speaker, "My company is Brightwater.")
            await client.wait_handles(2)
            async with Client(second.socket(session, lastSeen=client.last_seen)) as back:
                await back.wait("session:resumed", continuity="handle", epoch=2)
                assert await client.wait_closed() == (4409, "the conversation goes on elsewhere")
                assert "Brightwater" in await back.turn(speaker, "What is my company?")
            assert first.where.registry.find(session.conversation) is None
        await known(second, speaker)
        assert second.metric("filo_relay_takeovers_total", result="released") == 1


@pytest.mark.parametrize(("last_turn", "missed"), [("0", [1]), ("1", []), ("9" * 18, [])])
async def test_a_client_is_told_of_the_turns_that_it_was_not_told_of(
    tmp_path: Path, last_turn: str, missed: list[int]
) -> None:
    """By the newest turn that it names, whatever messages it has got: its relay may die before the word of the end."""
    async with two_relays(tmp_path) as (first, second):
        session = await first.create()
        speaker = Speaker(81)
        async with Client(first.socket(session)) as client:
            await client.turn(speaker, "My company is Brightwater.")
            await client.wait_handles(2)
            async with Client(second.socket(session, lastSeen=client.last_seen, lastTurn=last_turn)) as back:
                await back.wait("session:resumed", epoch=2, turn=1)
                await back.turn(speaker, "What is my company?")
                assert [message["turn"] for message in back.all("turn:missed")] == missed


async def test_in_the_middle_of_an_answer(tmp_path: Path) -> None:
    """The answer is withdrawn; the client sends again what is not covered, and the turn begins again."""
    async with two_relays(tmp_path, emulator={"speed": 2.0}) as (first, second):
        session = await first.create()
        speaker = Speaker(82)
        async with Client(first.socket(session)) as client:
            await client.turn(speaker, "My company is Brightwater.")
            await client.wait_handles(2)
            spoken = speaker.say("What is my company?")
            await client.speak(spoken)
            await client.wait("transcript", role="agent", turn=2)
            async with Client(second.socket(session, lastSeen=client.last_seen)) as back:
                resumed = await back.wait("session:resumed", continuity="handle", turn=1)
                await back.send(type="seq", next=resumed["nextSeq"])
                await back.speak(spoken)
                await back.wait("turn:complete", turn=2)
                assert "Brightwater" in back.said(2)
        await known(second, speaker)


async def test_a_holder_that_cannot_be_reached_is_fenced(tmp_path: Path) -> None:
    """Attach wins all the same; the old holder learns of it by its next heartbeat, and stops."""
    async with two_relays(tmp_path, reachable=False, handles={"FILO_HANDLES_LEASE": "1s"}) as (first, second):
        session = await first.create()
        speaker = Speaker(83)
        async with Client(first.socket(session)) as client:
            await client.turn(speaker, "My company is Brightwater.")
            await client.wait_handles(2)
            async with Client(second.socket(session)) as back:
                await back.wait("session:resumed", epoch=2)
                assert await client.wait_closed() == (4409, "the conversation went on elsewhere")
                assert "Brightwater" in await back.turn(speaker, "What is my company?")
        assert second.metric("filo_relay_takeovers_total", result="unreachable") == 1


async def test_a_client_that_has_left_meanwhile_takes_nothing_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relay that was slow or paused finds a socket that its client has long given up for another relay's."""
    get, asked, answer = Store.get, asyncio.Event(), asyncio.Event()
    async with two_relays(tmp_path) as (first, second):

        async def slow(self: Store, name: str) -> Any:  # noqa: ANN401 - as it is
            if self.holder == str(second.where.control_address):
                asked.set()
                await answer.wait()
            return await get(self, name)

        monkeypatch.setattr(Store, "get", slow)
        session = await first.create()
        speaker = Speaker(84)
        async with Client(second.socket(session)):
            await asked.wait()
        async with Client(first.socket(session)) as client:
            await client.turn(speaker, "My company is Brightwater.")
            answer.set()
            assert "Brightwater" in await client.turn(speaker, "What is my company?")
            assert client.closed is None
        assert second.where.registry.find(session.conversation) is None


async def test_somebody_else_cannot_have_it_released(tmp_path: Path) -> None:
    """A share token that is not the conversation's is refused by the holder, which goes on."""
    async with two_relays(tmp_path) as (first, second):
        session = await first.create()
        async with Client(first.socket(session)) as client:
            await client.wait("session:started")
            async with Client(second.socket(session, shareToken="another")) as thief:
                assert (await thief.wait_closed())[0] == 4403
            await client.send(type="ping")
            await client.wait("pong")


async def test_a_conversation_is_shown_and_ended_at_any_replica(tmp_path: Path) -> None:
    """GetSession tells what the holder knows; EndSession ends it there, and the client is told."""
    async with two_relays(tmp_path) as (first, second):
        session = await first.create()
        asked = pb.GetSessionRequest(conversation=session.conversation)
        async with Client(first.socket(session)) as client:
            await client.wait("session:started")
            shown = (await second.control.GetSession(asked)).session
            assert (shown.attached, shown.client_connected) == (True, True)
            end = pb.EndSessionRequest(conversation=session.conversation, reason="done")
            ended = (await second.control.EndSession(end)).session
            assert ended.state == Conversation.STATE_ENDED
            await client.wait("conversation_end", reason="done")
            assert (await client.wait_closed())[0] == 1000


async def test_a_holder_that_has_gone_is_an_error_that_may_be_retried(tmp_path: Path) -> None:
    """Never silence; and an end is stored all the same, where the holder finds it."""
    async with two_relays(tmp_path, reachable=False, handles={"FILO_HANDLES_LEASE": "1s"}) as (first, second):
        session = await first.create()
        async with Client(first.socket(session)) as client:
            await client.wait("session:started")
            with pytest.raises(ServiceError) as caught:
                await second.control.GetSession(pb.GetSessionRequest(conversation=session.conversation))
            assert (caught.value.reason, caught.value.meaning.retryable) == (Reason.SERVICE_UNAVAILABLE, True)
            with pytest.raises(ServiceError) as caught:
                async for _ in second.control.WatchSession(pb.WatchSessionRequest(conversation=session.conversation)):
                    pass
            assert caught.value.reason is Reason.SERVICE_UNAVAILABLE
            end = pb.EndSessionRequest(conversation=session.conversation, reason="done")
            assert (await second.control.EndSession(end)).session.state == Conversation.STATE_ENDED
            await client.wait("conversation_end")
            assert (await client.wait_closed())[0] == 1000


async def ready(relay: RunningRelay) -> tuple[int, bool]:
    """What a load balancer and a probe are told."""
    stub: Any = health_pb2_grpc.HealthStub(relay.channel)
    health = await stub.Check(health_pb2.HealthCheckRequest())
    url = f"http://{relay.where.client_address}/ready"
    async with aiohttp.ClientSession() as http, http.get(url) as answer:
        return answer.status, health.status == health_pb2.HealthCheckResponse.SERVING


async def test_a_relay_that_stops_takes_nobody_and_lets_turns_end(tmp_path: Path) -> None:
    """An answer is heard to its end, then the client is sent elsewhere with its handle; whoever comes is sent too."""
    drain = DrainPolicy(timeout=10.0, spread=0.0)
    async with two_relays(tmp_path, emulator={"speed": 4.0}, drain=drain) as (first, second):
        sessions = [await first.create() for _ in range(2)]
        speaker = Speaker(84)
        async with Client(first.socket(sessions[0])) as talking, Client(first.socket(sessions[1])) as idle:
            await idle.wait_handles(1)
            await talking.speak(speaker.say("My company is Brightwater."))
            await talking.wait("transcript", role="agent")
            draining = asyncio.create_task(first.where.registry.drain())
            assert (await idle.wait_closed())[0] == 1001
            assert not draining.done(), "an answer is being spoken"
            async with Client(first.socket(sessions[1])) as refused:
                assert await refused.wait_closed() == (1001, "this relay is going away")
            assert (await talking.wait_closed())[0] == 1001
            await asyncio.wait_for(draining, PATIENCE)
        assert talking.all("turn:complete"), "the turn was let end"
        assert talking.messages[-1]["type"] == "session_expiring"
        assert talking.messages[-1]["reason"] == "drain"
        assert talking.messages[-2]["type"] == "session_resumption_update"
        handle = talking.messages[-2]["handle"]
        async with Client(second.socket(sessions[0], resumeHandle=handle, lastSeen=talking.last_seen)) as back:
            await back.wait("session:resumed", continuity="handle", turn=1)
            assert not back.all("turn:missed")
            assert "Brightwater" in await back.turn(speaker, "What is my company?")
        await known(second, speaker)
        shown = await second.control.GetSession(pb.GetSessionRequest(conversation=sessions[0].conversation))
        assert shown.session.continuity == CONTINUITY_HANDLE


async def test_a_drain_comes_to_its_end_whatever_hangs(tmp_path: Path) -> None:
    """Gemini does not answer the close, and the store does not answer at all: what is left is dropped in time."""
    slow = {"close_delay": 30.0}
    drain = DrainPolicy(timeout=1.0, spread=0.0)
    async with running_relay(tmp_path, emulator=slow, drain=drain, close_timeout=20.0) as relay:
        session = await relay.create()
        async with Client(relay.socket(session)) as client:
            await client.wait_handles(1)
            await relay.stop_store()
            began = asyncio.get_running_loop().time()
            await relay.where.registry.drain()
            assert asyncio.get_running_loop().time() - began < 3.0
            assert (await client.wait_closed())[0] == 1001
        await until(lambda: relay.where.registry.find(session.conversation) is None)


async def test_a_drain_that_begins_during_an_attach_misses_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is being attached is sent elsewhere at once, and given back."""
    attach = Store.attach

    async def slow(self: Store, *given: Any, **named: Any) -> Attached:  # noqa: ANN401 - whatever attach takes
        attached = await attach(self, *given, **named)
        await first.where.registry.drain()
        return attached

    async with two_relays(tmp_path) as (first, second):
        session = await first.create()
        with monkeypatch.context() as patched:
            patched.setattr(Store, "attach", slow)
            async with Client(first.socket(session)) as client:
                assert await client.wait_closed() == (1001, "this relay is going away")
        assert first.where.registry.find(session.conversation) is None
        asked = pb.GetSessionRequest(conversation=session.conversation)
        assert not (await second.control.GetSession(asked)).session.attached, "given back, or the call would fail"
        async with Client(second.socket(session)) as back:
            await back.wait("session:resumed", epoch=2)


async def test_who_comes_as_a_conversation_is_let_go_of_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is let in, and meanwhile the conversation ends: it is sent away rather than left without a word."""
    validate = Store.validate

    async with running_relay(tmp_path) as relay:
        session = await relay.create()
        async with Client(relay.socket(session)) as client:
            handle = await client.wait_handles(1)
        live = relay.where.registry.find(session.conversation)
        assert live is not None

        async def end_first(*args: Any) -> Any:  # noqa: ANN401 - as it is
            await relay.control.EndSession(pb.EndSessionRequest(conversation=session.conversation))
            await live.finished.wait()
            return await validate(*args)

        monkeypatch.setattr(Store, "validate", end_first)
        async with Client(relay.socket(session, resumeHandle=handle)) as late:
            assert await late.wait_closed() == (1012, "the conversation was let go of meanwhile")
        async with Client(relay.socket(session)) as later:
            assert (await later.wait_closed())[0] == 4410


async def test_readiness_comes_with_the_store_and_goes_with_the_drain(tmp_path: Path) -> None:
    """A relay may be started before the handle store: it waits, unready, and does not fall over."""
    async with running_relay(tmp_path) as first:
        await until(lambda: _is_ready(first))
        assert await ready(first) == (200, True)
        await first.stop_store()
        async with another_relay(first) as second:
            assert await ready(second) == (503, False)
            assert await ready(first) == (200, True), "all replicas would be unready at once"


async def _is_ready(relay: RunningRelay) -> bool:
    return (await ready(relay))[0] == 200

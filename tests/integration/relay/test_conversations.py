"""A conversation through relay, handle store and emulator, over real sockets: what survives, and what is told."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from google.protobuf.json_format import ParseDict

from filo.handles.v1.resources_pb2 import AgentConfig, Conversation
from filo.relay.v1 import relay_pb2 as pb
from services.common import voice
from services.relay.transport import LIBRARIES
from tests.support.client import PATIENCE, Client, Speaker
from tests.support.relay import AGENT, RunningRelay, another_relay, running_relay

FACTS = {"company": "Brightwater", "budget": "42 thousand euros", "deadline": "the third of March"}
PLANTING = sum(len(Speaker(0).say(f"My {name} is {value}.")) for name, value in FACTS.items())
"""Inputs, frames and pauses, that it takes to tell the facts."""


@pytest.fixture(params=LIBRARIES, autouse=True)
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole conversation is the same with every library that carries its sockets."""
    monkeypatch.setattr("tests.support.relay.LIBRARY", request.param)


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[RunningRelay]:
    """A relay in front of an emulator whose connections live for long."""
    async with running_relay(tmp_path) as running:
        yield running


async def account(relay: RunningRelay, speaker: Speaker) -> dict[str, Any]:
    """What the emulator really has of a voice."""
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"{relay.emulator.control_url}/v1/voices/{speaker.stream}") as response,
    ):
        assert response.status == 200
        found: dict[str, Any] = await response.json()
        return found


async def nothing_lost(relay: RunningRelay, speaker: Speaker, *, as_text: bool = False) -> dict[str, Any]:
    """By the emulator's account, its context holds everything that was said exactly once, in order.

    Args:
        relay: Where the emulator is.
        speaker: Who spoke.
        as_text: Some turns may be there as text; otherwise every single spoken frame is.
    """
    found = await account(relay, speaker)
    heard = [entry for entry in found["context"] if entry["role"] == "user"]
    assert [entry["text"].strip() for entry in heard] == speaker.lines
    assert found["frames"]["repeated_in_context"] == 0
    if not as_text:
        assert {entry["kind"] for entry in heard} == {"audio"}
        assert found["frames"]["missing_in_context"] == 0
        assert found["frames"]["in_context"] == speaker.frames
    return found


def frames_of(audio: list[bytes]) -> list[voice.Heard]:
    """The spoken frames in the agent's voice."""
    return [event for event in voice.Listener(24_000).feed(b"".join(audio)) if isinstance(event, voice.Heard)]


async def plant(client: Client, speaker: Speaker) -> None:
    """Tell the agent every fact."""
    for name, value in FACTS.items():
        await client.turn(speaker, f"My {name} is {value}.")


async def recall(client: Client, speaker: Speaker) -> None:
    """Ask for every fact."""
    for name, value in FACTS.items():
        assert value in await client.turn(speaker, f"What is my {name}?")


async def test_an_audio_turn(relay: RunningRelay) -> None:
    """Speech goes up, speech comes down; transcripts, tokens, a handle, and what is covered are told."""
    session = await relay.create()
    speaker = Speaker(1)
    async with Client(relay.socket(session)) as client:
        answer = await client.turn(speaker, "My company is Brightwater.")
        assert answer.startswith("Hello, this is Ada from Threadworks.")
        assert client.said(1, "user") == "My company is Brightwater."
        update = await client.wait("session_resumption_update")
        covered = await client.wait("covered", turn=1)
        usage = await client.wait("usage", turn=1)
        heard = [
            event for event in voice.Listener(24_000).feed(b"".join(client.audio)) if isinstance(event, voice.Heard)
        ]
    assert "".join(event.text for event in heard).strip() == answer
    assert [event.frame for event in heard] == list(range(len(heard)))
    assert update["resumable"] is True
    assert update["handle"].startswith("rh_")
    assert update["sessionToken"].count(".") == 2
    assert speaker.frames <= covered["seq"]
    assert usage["contextTokens"] == sum(usage["byCategory"].values())
    await nothing_lost(relay, speaker)


async def test_a_typed_turn(relay: RunningRelay) -> None:
    """Text is a turn like any other, and is remembered."""
    session = await relay.create()
    async with Client(relay.socket(session)) as client:
        await client.wait("session:started")
        await client.send(type="text", text="My budget is 42 thousand euros.")
        await client.wait("turn:complete", turn=1)
        await client.send(type="text", text="What is my budget?")
        await client.wait("turn:complete", turn=2)
        assert "42 thousand euros" in client.said(2)
        await client.send(type="ping")
        await client.wait("pong")


async def test_the_client_ends_it(relay: RunningRelay) -> None:
    """`end`: the client is told, the socket closes with 1000, and the store knows."""
    session = await relay.create()
    async with Client(relay.socket(session)) as client:
        await client.wait("session:started")
        await client.send(type="end", reason="done")
        await client.wait("conversation_end", reason="done")
        assert await client.wait_closed() == (1000, "done")
    shown = await relay.control.GetSession(pb.GetSessionRequest(conversation=session.conversation))
    assert shown.session.state == Conversation.STATE_ENDED


async def test_the_relay_rotates_under_an_open_socket(tmp_path: Path) -> None:
    """Connections of 1.5 s: every goAway is answered by a rotation, and nothing is lost, doubled or greeted again."""
    async with running_relay(tmp_path, emulator={"lifetime": 1.5}) as relay:
        session = await relay.create()
        speaker = Speaker(2)
        async with Client(relay.socket(session)) as client:
            await plant(client, speaker)
            while len(client.all("session:rotated")) < 3:
                await client.turn(speaker, f"Tell me about point {len(speaker.lines)}.")
            await recall(client, speaker)
            shown = await relay.control.GetSession(pb.GetSessionRequest(conversation=session.conversation))
            assert client.closed is None
        for rotating, rotated in zip(client.all("session:rotating"), client.all("session:rotated"), strict=True):
            assert rotating["reason"] == rotated["reason"]
            assert rotated["reason"] in {"go_away", "upstream_closed"}, "a busy machine may miss a margin of 0.1 s"
            assert rotated["continuity"] == "handle"
            assert rotated["gapMs"] < 1000
        assert not client.all("session_expiring"), "with rotation=relay the client has nothing to do"
        found = await nothing_lost(relay, speaker, as_text=True)
    assert found["greetings"] == 1
    assert [connection["continued"] for connection in found["connections"]][:3] == ["new", "handle", "handle"]
    assert shown.session.rotation_count == len(client.all("session:rotated"))
    assert shown.session.turn_count == len(speaker.lines) == len(client.all("turn:complete"))
    assert relay.metric("filo_relay_rotations_total", reason="go_away", continuity="handle", test="yes") >= 3


async def test_the_client_rotates_as_the_plans_describe(tmp_path: Path) -> None:
    """rotation=client, message by message: the handle again, session_expiring, goAway; session:resumed (R2.4, R2.6)."""
    async with running_relay(tmp_path, emulator={"lifetime": 4.0, "goaway_lead": 1.0}) as relay:
        session = await relay.create()
        speaker = Speaker(3)
        async with Client(relay.socket(session, rotation="client")) as client:
            await client.wait("session:started", rotation="client")
            await client.turn(speaker, "My company is Brightwater.")
            await client.wait("goAway")
        kinds = [message["type"] for message in client.messages]
        end = kinds.index("goAway")
        assert kinds[end - 2 : end + 1] == ["session_resumption_update", "session_expiring", "goAway"]
        again, expiring, go_away = client.messages[end - 2 : end + 1]
        newest = client.all("session_resumption_update")[-2]
        assert (again["handle"], again["resumable"]) == (newest["handle"], True)
        assert expiring["hasHandle"] is True
        assert 0 < expiring["timeLeft"] == go_away["timeLeft"] <= 1.0
        assert expiring["message"]
        query = {"rotation": "client", "resumeHandle": again["handle"], "lastSeen": client.last_seen}
        async with Client(relay.socket(session, **query)) as back:
            resumed = await back.wait("session:resumed", continuity="handle")
            assert (resumed["epoch"], resumed["turn"]) == (1, 1)
            assert "Brightwater" in await back.turn(speaker, "What is my company?")
        found = await nothing_lost(relay, speaker)
        assert [connection["continued"] for connection in found["connections"]] == ["new", "handle"]
    assert relay.metric("filo_relay_resume_handles_total", result="valid") == 1


async def test_a_client_that_ignores_go_away_is_closed_with_1012(tmp_path: Path) -> None:
    """With rotation=client and an idle client, the socket closes with 1012 at the limit, and it can come back."""
    async with running_relay(tmp_path, emulator={"lifetime": 0.8}) as relay:
        session = await relay.create()
        async with Client(relay.socket(session, rotation="client")) as client:
            code, reason = await client.wait_closed()
        assert code == 1012
        assert "1008" in reason
        async with Client(relay.socket(session, rotation="client")) as back:
            await back.wait("session:resumed")


async def returned(relay: RunningRelay, session: pb.CreateSessionResponse, client: Client, **query: str) -> Client:
    """The client's next socket, with all that it knows."""
    updates = client.all("session_resumption_update")
    known = {"resumeHandle": updates[-1]["handle"]} if updates else {}
    return Client(relay.socket(session, lastSeen=client.last_seen, **known, **query))


async def test_a_client_that_is_cut_in_its_speech_comes_back(relay: RunningRelay) -> None:
    """Cut without a close frame: it sends again from nextSeq, on the same upstream; not a frame is lost or doubled."""
    session = await relay.create()
    speaker = Speaker(4)
    sent: list[bytes] = []
    async with Client(relay.socket(session)) as client:
        await plant(client, speaker)
        frames = speaker.say("What is my company, and please be quick about it?")
        sent = frames[: len(frames) // 3]
        before = (await client.wait("covered", turn=3))["seq"]
        await client.speak(sent)
        client.cut()
        await client.wait_closed()
    async with await returned(relay, session, client) as back:
        resumed = await back.wait("session:resumed", continuity="handle", epoch=1)
        assert before < resumed["nextSeq"] <= 1 + PLANTING + len(sent)
        already = resumed["nextSeq"] - 1 - PLANTING
        await back.send(type="seq", next=resumed["nextSeq"] - 2)  # two that the relay has: dropped
        await back.speak(frames[max(0, already - 2) :])
        await back.wait("turn:complete", turn=4)
    found = await nothing_lost(relay, speaker)
    assert len(found["connections"]) == 1
    assert relay.metric("filo_relay_inputs_duplicate_total") == 2


async def test_a_client_that_is_cut_in_an_answer_gets_the_rest(tmp_path: Path) -> None:
    """What came while it was away is sent again, audio included: the answer is heard whole, once."""
    async with running_relay(tmp_path, emulator={"speed": 4.0}) as relay:
        session = await relay.create()
        speaker = Speaker(5)
        async with Client(relay.socket(session)) as client:
            await client.speak(speaker.say("Tell me about pricing."))
            await client.wait("transcript", role="agent")
            client.cut()
            await client.wait_closed()
        async with await returned(relay, session, client) as back:
            await back.wait("turn:complete", turn=1)
        heard = frames_of(client.audio + back.audio)
    assert [event.frame for event in heard] == list(range(len(heard)))
    assert heard[-1].last
    assert client.said(1) + back.said(1) == "".join(event.text for event in heard).strip()


async def test_a_second_socket_is_told_of_the_call_that_is_pending(relay: RunningRelay) -> None:
    """The newer socket wins, learns what the agent waits for, by the same id, and answers in the older one's place."""
    agent = AgentConfig(model=AGENT.model, system_instruction=AGENT.system_instruction)
    ParseDict({"functionDeclarations": [{"name": "lookup", "description": "Looks a price up."}]}, agent.tools.add())
    session = await relay.create(agent=agent)
    speaker = Speaker(9)
    async with Client(relay.socket(session)) as first:
        await first.speak(speaker.say("Use the tool lookup with sku is A7."))
        asked = await first.wait("tool_call")
        async with Client(relay.socket(session)) as second:
            assert (await first.wait_closed())[0] == 4409
            told = await second.wait("tool_call")
            assert told["calls"] == asked["calls"]
            (call,) = told["calls"]
            for _ in range(2):
                await second.send(type="tool_result", id=call["id"], name="lookup", result={"price": "17 euros"})
            await second.wait("turn:complete", turn=1)
            assert "17 euros" in second.said(1)
            await second.turn(speaker, "My company is Brightwater.")
        results = [entry for entry in (await account(relay, speaker))["context"] if entry["kind"] == "tool"]
    assert sum("17 euros" in entry["text"] for entry in results) == 1


async def test_another_relay_goes_on_where_the_first_one_stopped(tmp_path: Path) -> None:
    """A relay that stops gives the handle back; the next one attaches, with Gemini's own context and a new epoch."""
    async with running_relay(tmp_path) as first, another_relay(first) as second:
        session = await first.create()
        speaker = Speaker(6)
        async with Client(first.socket(session)) as client:
            await plant(client, speaker)
            await client.wait_handles(4)
            await asyncio.wait_for(first.where.registry.drain(), PATIENCE)
            assert (await client.wait_closed())[0] == 1001
            assert (await client.wait("session_expiring"))["reason"] == "drain"
        async with await returned(second, session, client) as back:
            resumed = await back.wait("session:resumed", continuity="handle", epoch=2)
            assert resumed["turn"] == 3
            assert not back.all("turn:missed")
            await recall(back, speaker)
        found = await nothing_lost(second, speaker)
    assert found["greetings"] == 1


async def test_on_vertex_as_well(tmp_path: Path) -> None:
    """Another path, an access token, another name of the response's tokens, handles that tell what they hold."""
    async with running_relay(tmp_path, emulator={"lifetime": 1.2}, backend="vertex", access_token="ya29.t") as relay:
        session = await relay.create()
        speaker = Speaker(7)
        async with Client(relay.socket(session)) as client:
            await plant(client, speaker)
            while len(client.all("session:rotated")) < 2:
                await client.turn(speaker, f"Tell me about point {len(speaker.lines)}.")
            await recall(client, speaker)
            usage = (await client.wait("usage", turn=1))["byCategory"]
            assert usage["model"] > 0
        found = await nothing_lost(relay, speaker, as_text=True)
    assert {mark["continuity"] for mark in client.all("session:rotated")} == {"handle"}
    assert found["greetings"] == 1


async def test_test_mode_is_a_label(relay: RunningRelay) -> None:
    """R2.1: `testMode` marks a conversation that was not created as a test, in the store and in the figures."""
    session = await relay.create(test=False)
    speaker = Speaker(8)
    async with Client(relay.socket(session)) as client:
        await client.turn(speaker, "My company is Brightwater.")
    assert relay.metric("filo_relay_turns_total", test="no") == 1
    await relay.where.registry.drain()
    async with another_relay(relay) as second:
        async with Client(second.socket(session, testMode="true")) as client:
            await client.turn(speaker, "My budget is small.")
        assert second.metric("filo_relay_turns_total", test="yes") == 1
        assert second.metric("filo_relay_turns_total", test="no") == 0
        shown = await second.control.GetSession(pb.GetSessionRequest(conversation=session.conversation))
    assert shown.session.test

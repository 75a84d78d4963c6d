"""Advice from a platform, through real services: stored first, delivered in time, told and asked for at any replica."""

import asyncio
import os
import re
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import structlog
from google.protobuf.duration_pb2 import Duration
from websockets.asyncio.client import connect

from filo.handles.v1 import resources_pb2 as resources
from filo.handles.v1.handles_pb2 import AttachConversationRequest
from filo.handles.v1.resources_pb2 import AgentConfig, Feedback, FeedbackPolicy
from filo.relay.v1 import relay_pb2 as pb
from services.common.errors import MEANING, Reason, ServiceError
from tests.support.client import PATIENCE, Client, Speaker
from tests.support.handles import until
from tests.support.relay import AGENT, QUICK, SHARED, RunningRelay, another_relay, running_relay

ACCEPTED, SUPERSEDED, EXPIRED = Feedback.STATE_ACCEPTED, Feedback.STATE_SUPERSEDED, Feedback.STATE_EXPIRED
DELIVERED, REMOVED = Feedback.STATE_DELIVERED, Feedback.STATE_REMOVED
ADVICE = "Mention the Zanzibar discount."
FOLLOWED = "As advised (1): Mention the Zanzibar discount"
NOBODY = "127.0.0.1:1"
_START = 60.0
"""Seconds for a process to import everything and be ready, on a busy machine."""


def agent(policy: FeedbackPolicy.ValueType = resources.FEEDBACK_POLICY_JUST_IN_TIME) -> AgentConfig:
    """The usual agent, with a policy for its advice."""
    made = AgentConfig()
    made.CopyFrom(AGENT)
    made.feedback_policy = policy
    return made


async def send(
    relay: RunningRelay,
    session: pb.CreateSessionResponse,
    text: str = ADVICE,
    **fields: Any,  # noqa: ANN401
) -> Feedback:
    """Give advice as a platform does."""
    given = {"conversation": session.conversation, "request_id": str(uuid.uuid4()), "text": text, **fields}
    return (await relay.control.SendFeedback(pb.SendFeedbackRequest(**given))).feedback


async def listed(relay: RunningRelay, session: pb.CreateSessionResponse) -> list[Feedback]:
    """All items, the oldest first."""
    page = await relay.control.ListFeedback(pb.ListFeedbackRequest(conversation=session.conversation))
    return list(page.feedback)[::-1]


async def states(relay: RunningRelay, session: pb.CreateSessionResponse) -> list[Feedback.State.ValueType]:
    """The states of all items, the oldest first."""
    return [item.state for item in await listed(relay, session)]


async def until_states(relay: RunningRelay, session: pb.CreateSessionResponse, *expected: int) -> None:
    """Wait for the store to have them: a change is stored with the turn in which it happens."""

    async def reached() -> bool:
        return await states(relay, session) == list(expected)

    await until(reached)


class Changes:
    """What those who watch are told of feedback."""

    def __init__(self, relay: RunningRelay, session: pb.CreateSessionResponse) -> None:
        self._stream = relay.control.WatchSession(pb.WatchSessionRequest(conversation=session.conversation))
        self.seen: list[tuple[str, int]] = []

    async def until(self, number: str, state: int) -> pb.FeedbackChanged:
        """Read up to a change."""
        async with asyncio.timeout(PATIENCE):
            async for event in self._stream:
                change = event.feedback_changed
                if event.HasField("feedback_changed"):
                    self.seen.append((change.id, change.state))
                if (change.id, change.state) == (number, state):
                    return change
        raise AssertionError(f"the stream ended after {self.seen}")


async def test_advice_is_followed_told_and_counted(tmp_path: Path) -> None:
    """Given while nobody speaks, it waits for the client's next words; the agent has it then, in that very turn."""
    async with running_relay(tmp_path) as relay:
        session = await relay.create(agent=agent())
        changes = Changes(relay, session)
        async with Client(relay.socket(session)) as client:
            speaker = Speaker(61)
            assert "As advised" not in await client.turn(speaker, "My company is Brightwater.")
            given = await send(relay, session)
            assert (given.id, given.text, given.state) == ("1", ADVICE, ACCEPTED)
            await changes.until("1", ACCEPTED)
            assert await states(relay, session) == [ACCEPTED]
            assert FOLLOWED in await client.turn(speaker, "And what do you sell?")
            delivered = await changes.until("1", DELIVERED)
            assert (delivered.turn, delivered.detail) == (2, "just_in_time")
            assert delivered.tokens > 5
            await until_states(relay, session, DELIVERED)
            (item,) = await listed(relay, session)
            assert (item.turn, item.tokens) == (2, delivered.tokens)
            shown = await relay.control.GetSession(pb.GetSessionRequest(conversation=session.conversation))
            assert shown.session.ledger.feedback_live_tokens + shown.session.ledger.feedback_stale_tokens > 5
            assert not [m for m in client.messages if "Zanzibar" in str(m) and m["type"] != "transcript"]
        assert relay.metric("filo_relay_feedback_total", state="accepted") == 1
        assert relay.metric("filo_relay_feedback_total", state="delivered") == 1


async def test_advice_for_a_client_that_says_when_it_speaks(tmp_path: Path) -> None:
    """Its `activity_start` is the moment, however silent it is then; and it may have nothing to say after all."""
    async with running_relay(tmp_path) as relay:
        manual = agent()
        manual.manual_activity = True
        session = await relay.create(agent=manual)
        changes = Changes(relay, session)
        async with Client(relay.socket(session)) as client:
            await client.wait("session:started")
            await send(relay, session)
            await client.send(type="activity_start")
            await changes.until("1", DELIVERED)
            await client.send(type="activity_end")
            await client.send(type="activity_start")
            await client.speak(Speaker(73).say("What do you sell?"))
            assert not client.all("turn:complete"), "the end of an activity is the client's to tell"
            await client.send(type="activity_end")
            await client.wait("turn:complete", turn=1)
            assert FOLLOWED in client.said(1)
            assert not client.all("session:rotating")


async def test_activity_is_not_marked_unless_that_was_agreed(tmp_path: Path) -> None:
    """Gemini would end the connection, since it listens itself; the relay says so before."""
    async with running_relay(tmp_path) as relay, Client(relay.socket(await relay.create())) as client:
        await client.wait("session:started")
        await client.send(type="activity_start")
        code, reason = await client.wait_closed()
        assert (code, "manual_activity" in reason) == (MEANING[Reason.MALFORMED_MESSAGE].close, True)


async def test_what_was_delivered_is_removed(tmp_path: Path) -> None:
    """By a rebuilt session, here at once: watched, asked for, and no longer followed."""
    policy = replace(QUICK, rebase_tokens=1, rebase_interval=0.0, rebase_reserve=0)
    async with running_relay(tmp_path, policy=policy) as relay:
        session = await relay.create(agent=agent(resources.FEEDBACK_POLICY_REBASE))
        changes = Changes(relay, session)
        async with Client(relay.socket(session)) as client:
            speaker = Speaker(62)
            await client.turn(speaker, "My company is Brightwater.")
            await send(relay, session)
            assert FOLLOWED in await client.turn(speaker, "And what do you sell?")
            await client.wait("session:rotated", continuity="rebased")
            assert "As advised" not in await client.turn(speaker, "Who uses it?")
            removed = await changes.until("1", REMOVED)
            assert removed.turn == 2
            await until_states(relay, session, REMOVED)
            shown = await relay.control.GetSession(pb.GetSessionRequest(conversation=session.conversation))
            ledger = shown.session.ledger
            assert (ledger.rebase_count, ledger.feedback_live_tokens, ledger.feedback_stale_tokens) == (1, 0, 0)
            assert ledger.saved_context_tokens == removed.tokens
            assert ledger.billed_tokens > ledger.saved_billed_tokens >= removed.tokens
        assert relay.metric("filo_relay_feedback_tokens_saved_total") == ledger.saved_billed_tokens
        assert relay.metric("filo_relay_feedback_total", state="removed") == 1
    assert [state for _, state in changes.seen] == [ACCEPTED, DELIVERED, REMOVED]


async def test_advice_waits_for_whoever_attaches(tmp_path: Path) -> None:
    """Given before any client came, and counted; only the newest is delivered."""
    async with running_relay(tmp_path) as relay:
        session = await relay.create(agent=agent())
        await send(relay, session, "Speak of the weather.")
        request = str(uuid.uuid4())
        for _ in range(3):  # the same call, repeated
            await send(relay, session, request_id=request)
        assert await states(relay, session) == [SUPERSEDED, ACCEPTED]
        assert relay.metric("filo_relay_feedback_total", state="accepted") == 2
        assert relay.metric("filo_relay_feedback_total", state="superseded") == 1
        async with Client(relay.socket(session)) as client:
            assert FOLLOWED in await client.turn(Speaker(63), "What do you sell?")
            await until_states(relay, session, SUPERSEDED, DELIVERED)


async def test_the_newest_wins(tmp_path: Path) -> None:
    """Of several that are given between two turns, also when they are given at once and at different replicas."""
    async with running_relay(tmp_path) as relay, another_relay(relay) as other:
        session = await relay.create(agent=agent())
        changes = Changes(other, session)
        async with Client(relay.socket(session)) as client:
            await client.wait("session:started")
            given = await asyncio.gather(
                *(send(at, session, f"Advice of replica {n}.") for n, at in enumerate((relay, other) * 4))
            )
            newest = max(given, key=lambda item: int(item.id))
            answer = await client.turn(Speaker(64), "What do you sell?")
            assert f"As advised (1): {newest.text[:-1]}" in answer
            await until_states(relay, session, *[SUPERSEDED] * 7, DELIVERED)
            await changes.until(newest.id, DELIVERED)
    assert ("8", ACCEPTED) in changes.seen


async def test_advice_expires(tmp_path: Path) -> None:
    """Before the client speaks: it is told, stored, and never delivered."""
    async with running_relay(tmp_path) as relay:
        session = await relay.create(agent=agent())
        changes = Changes(relay, session)
        async with Client(relay.socket(session)) as client:
            await client.wait("session:started")
            await send(relay, session, time_to_live=Duration(seconds=1))
            await changes.until("1", EXPIRED)
            assert "As advised" not in await client.turn(Speaker(65), "What do you sell?")
            await until_states(relay, session, EXPIRED)
        assert relay.metric("filo_relay_feedback_total", state="expired") == 1


async def test_a_call_may_be_repeated(tmp_path: Path) -> None:
    """The same request gives the same item as it stands, delivered once; other words under its id are refused."""
    async with running_relay(tmp_path) as relay:
        session = await relay.create(agent=agent())
        request = str(uuid.uuid4())
        async with Client(relay.socket(session)) as client:
            speaker = Speaker(66)
            await client.wait("session:started")
            for _ in range(2):
                await send(relay, session, request_id=request)
            assert FOLLOWED in await client.turn(speaker, "What do you sell?")
            await until_states(relay, session, DELIVERED)
            assert (await send(relay, session, request_id=request)).state == DELIVERED
            with pytest.raises(ServiceError) as caught:
                await send(relay, session, "else", request_id=request)
            assert caught.value.reason is Reason.REQUEST_ID_REUSED
            assert FOLLOWED in await client.turn(speaker, "And what else?")
        assert relay.metric("filo_relay_feedback_total", state="delivered") == 1


async def test_any_replica_takes_advice(tmp_path: Path) -> None:
    """It reaches the one that holds the conversation, and is listed everywhere."""
    async with running_relay(tmp_path) as relay, another_relay(relay) as other:
        session = await relay.create(agent=agent())
        async with Client(relay.socket(session)) as client:
            await client.wait("session:started")
            await send(other, session)
            assert FOLLOWED in await client.turn(Speaker(67), "What do you sell?")
            await until_states(other, session, DELIVERED)
        assert other.metric("filo_relay_feedback_total", state="accepted") == 1, "counted where it was given"
        assert relay.metric("filo_relay_feedback_total", state="accepted") == 0
        assert relay.metric("filo_relay_feedback_total", state="delivered") == 1


async def test_no_moment_of_an_attach_is_too_early_or_too_late(tmp_path: Path) -> None:
    """Advice that is given while a conversation is being attached, at either replica, is in its first turn."""

    async def told(relay: RunningRelay, other: RunningRelay, number: int) -> str:
        session = await relay.create(agent=agent())

        async def give() -> None:
            await asyncio.sleep(number * 0.004)
            await send(relay if number % 2 else other, session)

        giving = asyncio.create_task(give())
        async with Client(relay.socket(session)) as client:
            await giving
            return await client.turn(Speaker(80 + number), "What do you sell?")

    async with running_relay(tmp_path) as relay, another_relay(relay) as other:
        answers = await asyncio.gather(*(told(relay, other, number) for number in range(12)))
    assert [FOLLOWED in answer for answer in answers] == [True] * 12


async def test_a_holder_that_has_gone_is_told_of(tmp_path: Path) -> None:
    """The item is stored, the caller may repeat, and whoever attaches next delivers it."""
    async with running_relay(tmp_path) as relay:
        session = await relay.create(agent=agent())
        await relay.handles.stub.AttachConversation(
            AttachConversationRequest(
                name=session.conversation, mode=resources.MODE_SALES_AGENT, owner=SHARED, holder=NOBODY
            )
        )
        request = str(uuid.uuid4())
        for _ in range(2):
            with pytest.raises(ServiceError) as caught:
                await send(relay, session, request_id=request)
            assert caught.value.reason is Reason.SERVICE_UNAVAILABLE
            assert caught.value.meaning.retryable
            assert caught.value.metadata["feedback"] == "1"
        assert await states(relay, session) == [ACCEPTED]
        async with Client(relay.socket(session)) as client:
            await client.wait("session:resumed")
            assert (await send(relay, session, request_id=request)).state == ACCEPTED
            assert FOLLOWED in await client.turn(Speaker(68), "What do you sell?")


async def test_what_cannot_be_taken_is_refused(tmp_path: Path) -> None:
    """With the reasons of the contract, and the names of its fields."""
    async with running_relay(tmp_path) as relay:
        session = await relay.create(agent=agent())
        unknown = f"conversations/{'0' * 32}"
        await relay.control.EndSession(pb.EndSessionRequest(conversation=(await relay.create()).conversation))
        for fields, reason, field in (
            ({"text": ""}, Reason.INVALID_ARGUMENT, "text"),
            ({"conversation": "x"}, Reason.INVALID_ARGUMENT, "conversation"),
            ({"request_id": "x"}, Reason.INVALID_ARGUMENT, "request_id"),
            ({"time_to_live": Duration()}, Reason.INVALID_ARGUMENT, "time_to_live"),
            ({"conversation": unknown}, Reason.CONVERSATION_NOT_FOUND, None),
        ):
            with pytest.raises(ServiceError) as caught:
                await send(relay, session, **fields)
            assert (caught.value.reason, caught.value.metadata.get("field")) == (reason, field)
        await relay.control.EndSession(pb.EndSessionRequest(conversation=session.conversation))
        with pytest.raises(ServiceError) as caught:
            await send(relay, session)
        assert caught.value.reason is Reason.CONVERSATION_ENDED
        assert await states(relay, session) == []


async def test_no_word_of_it_is_logged(tmp_path: Path) -> None:
    """Its length and its number at debug level, nothing more (R1.1)."""
    with structlog.testing.capture_logs() as logs:
        async with running_relay(tmp_path) as relay:
            session = await relay.create(agent=agent())
            async with Client(relay.socket(session)) as client:
                await client.wait("session:started")
                await send(relay, session)
                await client.turn(Speaker(69), "What do you sell?")
    told = [entry for entry in logs if entry["event"] == "feedback" and entry["room"] == "relay"]
    assert [(entry["log_level"], entry["feedback"], entry["characters"]) for entry in told] == [
        ("debug", "1", len(ADVICE))
    ]
    assert "Zanzibar" not in str(logs)


async def test_context_series_come_and_go_with_the_session(tmp_path: Path) -> None:
    """Each category of one session, bounded in number; gone at its end."""
    async with running_relay(tmp_path, session_metrics=1) as relay:
        session, other = await relay.create(agent=agent()), await relay.create(agent=agent())
        labels = {"session": session.conversation.partition("/")[2], "category": "feedback_live"}
        async with Client(relay.socket(session)) as client, Client(relay.socket(other)) as neighbour:
            await client.wait("session:started")
            await send(relay, session)
            await client.turn(Speaker(70), "What do you sell?")
            await until(
                lambda: relay.registry.get_sample_value("filo_relay_session_context_tokens", labels) is not None
            )
            assert relay.metric("filo_relay_session_context_tokens", **{**labels, "category": "instruction"}) > 5
            await neighbour.turn(Speaker(71), "What do you sell?")
            await relay.control.EndSession(pb.EndSessionRequest(conversation=session.conversation))
        for name in (session, other):
            gone = {**labels, "session": name.conversation.partition("/")[2]}
            assert relay.registry.get_sample_value("filo_relay_session_context_tokens", gone) is None


async def test_advice_survives_a_killed_relay(tmp_path: Path) -> None:
    """Given and not delivered, then SIGKILL: the next relay that is asked for the conversation delivers it."""
    async with running_relay(tmp_path) as relay:
        session = await relay.create(agent=agent())
        async with (
            relay_process(relay, tmp_path) as (process, where),
            Client(connect(relay.socket(session).uri.replace(str(relay.where.client_address), where))) as client,
        ):
            speaker = Speaker(72)
            await client.turn(speaker, "My company is Brightwater.")
            await client.wait_handles(2)
            await send(relay, session)
            process.kill()
            await client.wait_closed()
        async with Client(relay.socket(session)) as client:
            await client.wait("session:resumed")
            assert FOLLOWED in await client.turn(speaker, "And what do you sell?")
            await until_states(relay, session, DELIVERED)


@asynccontextmanager
async def relay_process(
    beside: RunningRelay, directory: Path, **settings: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A relay in a process of its own, with the address of its clients' sockets; killed at the end at the latest."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("FILO_", "GEMINI_"))}
    environ = own | {
        "FILO_RELAY_CLIENT_ADDRESS": "127.0.0.1:0",
        "FILO_RELAY_CONTROL_ADDRESS": "127.0.0.1:0",
        "FILO_RELAY_METRICS_ADDRESS": "127.0.0.1:0",
        "FILO_HANDLES_ADDRESS": str(beside.handles.address),
        "FILO_RELAY_UPSTREAM_URL": beside.emulator.url,
        "FILO_RELAY_UPSTREAM_CA": str(beside.emulator.ca_path),
        "FILO_RELAY_SESSION_KEYS": str(directory / "session.key"),
        "GEMINI_API_KEY": "emulator",
        **settings,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.cli.main", "relay", env=environ, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(_START):
            ready = (await process.stdout.readline()).decode()
        found = re.search(r"ws://([\d.:]+)", ready)
        assert found, ready
        yield process, found[1]
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()

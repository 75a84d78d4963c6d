"""Advice is followed in its turn and has no effect after it, across rotations and killed relays; long talk is text."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from filo.handles.v1 import resources_pb2 as resources
from filo.handles.v1.resources_pb2 import AgentConfig, Feedback, FeedbackPolicy
from filo.relay.v1 import relay_pb2 as pb
from services.emulator.faults import GoAwayFault, Moment
from tests.integration.relay.test_feedback import relay_process, send
from tests.support.client import PAUSE_FRAMES, Client, Speaker
from tests.support.handles import until
from tests.support.relay import AGENT, QUICK, RunningRelay, running_relay

REPLACE, REBASE = resources.FEEDBACK_POLICY_REPLACE, resources.FEEDBACK_POLICY_REBASE
MODEL = "models/gemini-live-2.5-flash"
AT_ONCE = replace(QUICK, rebase_tokens=1, rebase_interval=0.0)
"""Whatever is stale is stripped as soon as the turn is over."""
AT_ONCE_ON_VERTEX: Mapping[str, str] = {
    "FILO_RELAY_BACKEND": "vertex",
    "FILO_RELAY_ACCESS_TOKEN": "emulator",
    "FILO_RELAY_REBASE_TOKENS": "1",
    "FILO_RELAY_REBASE_INTERVAL": "0",
}
"""The same for a relay in a process of its own."""
VERTEX: Mapping[str, Any] = {"backend": "vertex", "access_token": "emulator", "api_key": ""}
"""Where both policies work."""


def agent(policy: FeedbackPolicy.ValueType, **fields: Any) -> AgentConfig:  # noqa: ANN401 - any field of AgentConfig
    """The usual agent on a model whose instruction can be replaced on Vertex."""
    made = AgentConfig()
    made.CopyFrom(AGENT)
    made.MergeFrom(AgentConfig(model=MODEL, feedback_policy=policy, **fields))
    return made


class Talk:
    """One conversation, turn by turn, with advice before each."""

    def __init__(self, relay: RunningRelay, session: pb.CreateSessionResponse, speaker: Speaker) -> None:
        self.relay = relay
        self.session = session
        self.speaker = speaker
        self.number = 0

    def uri_at(self, where: str) -> str:
        """The client's address at another relay."""
        return self.relay.socket(self.session).uri.replace(str(self.relay.where.client_address), where)

    async def advised(self, client: Client, text: str) -> None:
        """A turn with advice: it is followed, and no other is known of."""
        self.number += 1
        await send(self.relay, self.session, text)
        answer = await client.turn(self.speaker, f"Tell me about part {self.number}.")
        assert f"As advised (1): {text.rstrip('.')}" in answer

    async def unadvised(self, client: Client) -> None:
        """A turn without: nothing is followed."""
        self.number += 1
        assert "As advised" not in await client.turn(self.speaker, f"Tell me about part {self.number}.")

    async def settled(self, client: Client, policy: FeedbackPolicy.ValueType, rebuilt: int) -> None:
        """Where advice is stripped by a rebuild: that one is over."""
        if policy == REBASE:
            await until(lambda: sum(m["continuity"] == "rebased" for m in client.all("session:rotated")) >= rebuilt)


@pytest.mark.parametrize("policy", [REPLACE, REBASE])
async def test_advice_has_no_effect_after_its_turn(tmp_path: Path, policy: FeedbackPolicy.ValueType) -> None:
    """Advice n is followed in turn n and not in turn n + 1, also if a rotation lies between."""
    async with running_relay(tmp_path, policy=AT_ONCE, **VERTEX) as relay:
        talk = Talk(relay, await relay.create(agent=agent(policy)), Speaker(81))
        async with Client(relay.socket(talk.session)) as client:
            for number in range(1, 4):
                await talk.advised(client, f"Mention discount {number}.")
                await talk.settled(client, policy, number)
            await talk.unadvised(client)
        ledger = await ledger_of(relay, talk.session)
        assert (ledger.feedback_live_tokens, ledger.feedback_stale_tokens) == (0, 0)
        assert (ledger.rebase_count > 0, ledger.unverified_removal_count) == (policy == REBASE, 0)


@pytest.mark.parametrize("policy", [REPLACE, REBASE])
async def test_advice_across_rotations(tmp_path: Path, policy: FeedbackPolicy.ValueType) -> None:
    """A connection a turn, ended in speech or after the answer: advice is never lost, doubled or kept."""
    async with running_relay(tmp_path, policy=AT_ONCE, **VERTEX) as relay:
        talk = Talk(relay, await relay.create(agent=agent(policy)), Speaker(82))
        async with Client(relay.socket(talk.session)) as client:
            for number, moment in enumerate((Moment.ACTIVITY, Moment.TURN) * 3, start=1):
                async with rotating(relay, client, moment):
                    await talk.advised(client, f"Mention discount {number}.")
                async with rotating(relay, client, moment):
                    await talk.unadvised(client)
        assert (await ledger_of(relay, talk.session)).unverified_removal_count == 0


@asynccontextmanager
async def rotating(relay: RunningRelay, client: Client, moment: Moment) -> AsyncIterator[None]:
    """What is done in here sees the end of a connection announced at a moment; in the end it is replaced."""
    before = len(client.all("session:rotated"))
    relay.emulator.faults.add([GoAwayFault(when=moment, time_left=0.3, ends_in=1.0)])
    yield
    await until(lambda: len(client.all("session:rotated")) > before)


@pytest.mark.parametrize("policy", [REPLACE, REBASE])
async def test_advice_across_a_killed_relay(tmp_path: Path, policy: FeedbackPolicy.ValueType) -> None:
    """SIGKILL after advice was followed: the next relay has a context, or makes one, in which it has no effect."""
    async with running_relay(tmp_path, policy=AT_ONCE, **VERTEX) as relay:
        talk = Talk(relay, await relay.create(agent=agent(policy)), Speaker(83))
        async with (
            relay_process(relay, tmp_path, **AT_ONCE_ON_VERTEX) as (process, where),
            Client(connect(talk.uri_at(where))) as client,
        ):
            await talk.unadvised(client)
            await talk.advised(client, "Mention the first discount.")
            await client.wait("covered", turn=2)
            process.kill()
            await client.wait_closed()
        async with Client(relay.socket(talk.session)) as client:
            await client.wait("session:resumed")
            await talk.unadvised(client)
            await talk.advised(client, "Mention the second discount.")
            await talk.settled(client, policy, 1)
            await talk.unadvised(client)


@pytest.mark.parametrize("policy", [REPLACE, REBASE])
async def test_advice_for_a_turn_that_a_killed_relay_never_answered(
    tmp_path: Path, policy: FeedbackPolicy.ValueType
) -> None:
    """SIGKILL between delivery and answer: the next relay delivers it again for the same turn, once."""
    async with running_relay(tmp_path, policy=AT_ONCE, **VERTEX) as relay:
        talk = Talk(relay, await relay.create(agent=agent(policy)), Speaker(85))
        async with (
            relay_process(relay, tmp_path, **AT_ONCE_ON_VERTEX) as (process, where),
            Client(connect(talk.uri_at(where))) as client,
        ):
            await talk.unadvised(client)
            await client.wait("covered", turn=1)
            before = await ledger_of(relay, talk.session)
            await send(relay, talk.session, "Mention the first discount.")
            question = talk.speaker.say("Tell me about part 2.")
            await client.speak(question[:-PAUSE_FRAMES])
            await until(lambda: _state(relay, talk.session, Feedback.STATE_DELIVERED))
            process.kill()
            await client.wait_closed()
            next_seq = client.all("covered")[-1]["seq"] + 1
        async with Client(relay.socket(talk.session)) as client:
            resumed = await client.wait("session:resumed")
            assert resumed["nextSeq"] == next_seq, "what was said is not stored"
            assert (await ledger_of(relay, talk.session)).billed_tokens == before.billed_tokens > 0
            await client.speak(question)
            await client.wait("turn:complete", turn=2)
            assert "As advised (1): Mention the first discount" in client.said(2)
            await talk.settled(client, policy, 1)
            await talk.unadvised(client)
            await client.wait("covered", turn=3)
            after = await ledger_of(relay, talk.session)
        assert (after.feedback_live_tokens, after.feedback_stale_tokens) == (0, 0)


async def _state(relay: RunningRelay, session: pb.CreateSessionResponse, state: int) -> bool:
    page = await relay.control.ListFeedback(pb.ListFeedbackRequest(conversation=session.conversation))
    return [item.state for item in page.feedback] == [state]


async def test_a_long_talk_becomes_text(tmp_path: Path) -> None:
    """Context pressure without any advice: what was spoken is told to a new session in writing, and still known."""
    policy = replace(QUICK, context_limit=300)
    async with running_relay(tmp_path, policy=policy) as relay:
        session, speaker = await relay.create(), Speaker(86)
        async with Client(relay.socket(session)) as client:
            await client.turn(speaker, "My company is Brightwater.")
            while (large := await ledger_of(relay, session)).context_tokens < policy.context_limit:
                assert not client.all("session:rotated")
                await client.turn(speaker, "Tell me more about it, please, as much as you can.")
                await client.wait("covered", turn=len(client.all("turn:complete")))
            await client.wait("session:rotated", reason="context_pressure", continuity="rebased")
            assert "Brightwater" in await client.turn(speaker, "What is my company?")
            await client.wait("covered", turn=len(client.all("turn:complete")))
            small = await ledger_of(relay, session)
    assert large.context_tokens >= policy.context_limit > small.context_tokens
    assert (small.rebase_count, small.billed_tokens > large.billed_tokens) == (1, True)
    assert small.prompt_tokens_by_modality["AUDIO"] < large.prompt_tokens_by_modality["AUDIO"]


async def ledger_of(relay: RunningRelay, session: pb.CreateSessionResponse) -> resources.Ledger:
    """As a platform is told it."""
    request = pb.GetSessionRequest(conversation=session.conversation)
    return (await relay.control.GetSession(request)).session.ledger

"""What goes wrong around a conversation: handles that are no good, an upstream that refuses, a store that is away."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from filo.relay.v1 import relay_pb2 as pb
from services.common import logs
from services.common.errors import Reason, ServiceError
from tests.support.client import Client, Speaker
from tests.support.relay import AGENT, QUICK, SHARE_TOKEN, another_relay, running_relay


@pytest.mark.parametrize("handle", ["rh_" + "x" * 43, "nonsense", "x" * 5000])
async def test_a_resume_handle_that_is_not_valid_is_ignored_and_counted(tmp_path: Path, handle: str) -> None:
    """The conversation goes on from what is there, and all kinds of bad handles are met alike."""
    async with running_relay(tmp_path) as relay:
        session = await relay.create()
        speaker = Speaker(21)
        async with Client(relay.socket(session, resumeHandle=handle)) as client:
            await client.wait("session:started")
            await client.turn(speaker, "My company is Brightwater.")
        async with Client(relay.socket(session, resumeHandle=handle)) as client:
            await client.wait("session:resumed", continuity="handle")
            assert "Brightwater" in await client.turn(speaker, "What is my company?")
        assert relay.metric("filo_relay_resume_handles_total", result="invalid") == 2


async def test_somebody_elses_resume_handle_is_no_better_than_none(tmp_path: Path) -> None:
    """A valid handle of another conversation gives no right and tells nothing."""
    async with running_relay(tmp_path) as relay:
        mine, other = await relay.create(), await relay.create()
        async with Client(relay.socket(other)) as client:
            foreign = await client.wait_handles(1)
        async with Client(relay.socket(mine, resumeHandle=foreign)) as client:
            await client.wait("session:started", conversation=mine.conversation)
        assert relay.metric("filo_relay_resume_handles_total", result="invalid") == 1


async def test_a_superseded_resume_handle_means_the_newest(tmp_path: Path) -> None:
    """A client that missed the last update still resumes."""
    async with running_relay(tmp_path) as relay:
        session = await relay.create()
        speaker = Speaker(22)
        async with Client(relay.socket(session)) as client:
            old = await client.wait_handles(1)
            await client.turn(speaker, "My company is Brightwater.")
            await client.wait_handles(2)
        async with Client(relay.socket(session, resumeHandle=old)) as client:
            await client.wait("session:resumed", continuity="handle")
        assert relay.metric("filo_relay_resume_handles_total", result="superseded") == 1


async def test_a_dead_upstream_handle_is_replaced_by_the_transcript(tmp_path: Path) -> None:
    """Gemini has forgotten the session: the conversation is rebuilt from what was said, and the client is told so."""
    async with running_relay(tmp_path, emulator={"handle_lifetime": 0.0}) as first:
        session = await first.create()
        speaker = Speaker(23)
        async with Client(first.socket(session)) as client:
            await client.turn(speaker, "My company is Brightwater.")
            await client.wait_handles(2)
            await first.where.registry.drain()
        async with another_relay(first) as second:
            async with Client(second.socket(session)) as client:
                await client.wait("session:resumed", continuity="transcript", turn=1)
                assert "Brightwater" in await client.turn(speaker, "What is my company?")
                assert "Hello, this is" not in client.said(2)
                await client.wait_handles(1)
            shown = await second.control.GetSession(pb.GetSessionRequest(conversation=session.conversation))
    assert shown.session.turn_count == 2


async def test_an_upstream_that_refuses_the_configuration_is_4502(tmp_path: Path) -> None:
    """An unknown model: no attempt helps, and the client is told why at once."""
    async with running_relay(tmp_path) as relay:
        unknown = type(AGENT)()
        unknown.CopyFrom(AGENT)
        unknown.model = "models/of-tomorrow"
        session = await relay.create(agent=unknown)
        async with Client(relay.socket(session)) as client:
            code, reason = await client.wait_closed()
        assert code == 4502
        assert "models/of-tomorrow" in reason


async def test_an_upstream_that_is_not_there_is_1013_after_bounded_attempts(tmp_path: Path) -> None:
    """Nobody answers: a few dials with growing waits, then the client is told to come back later."""
    policy = replace(QUICK, dials_a_drop=3, retry_base=0.01)
    async with running_relay(tmp_path, upstream_url="wss://127.0.0.1:9", policy=policy) as relay:
        session = await relay.create()
        async with Client(relay.socket(session)) as client:
            code, reason = await client.wait_closed()
        assert code == 1013
        assert "cannot be reached" in reason


async def test_without_the_store_nobody_is_let_in_and_a_live_conversation_goes_on(tmp_path: Path) -> None:
    """Only new attaches need the store at once; what is live talks on, and nothing is called covered meanwhile."""
    async with running_relay(tmp_path) as relay:
        session, other = await relay.create(), await relay.create()
        speaker = Speaker(24)
        async with Client(relay.socket(session)) as client:
            await client.turn(speaker, "My company is Brightwater.")
            await client.wait("covered", turn=1)
            await relay.stop_store()
            assert "Brightwater" in await client.turn(speaker, "What is my company?")
            assert not [message for message in client.all("covered") if message["turn"] == 2]
            async with Client(relay.socket(other)) as refused:
                assert (await refused.wait_closed())[0] == 1013
            with pytest.raises(ServiceError) as away:
                await relay.create()
            assert away.value.reason in {Reason.SERVICE_UNAVAILABLE, Reason.STORE_UNAVAILABLE}


@pytest.fixture
def logged(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """What the services log at the finest level, as they would in production."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    logs.configure("DEBUG")
    yield lambda: capsys.readouterr().err
    root.handlers[:], root.level = handlers, level


async def test_no_secret_is_in_any_log(tmp_path: Path, logged: Callable[[], str]) -> None:
    """Tokens, share tokens, resume handles and upstream handles: none in what is logged at the finest level."""
    async with running_relay(tmp_path, emulator={"lifetime": 1.0}) as relay:
        session = await relay.create()
        async with Client(relay.socket(session)) as client:
            await client.turn(Speaker(25), "My company is Brightwater.")
            handle = await client.wait_handles(2)
            await client.wait("session:rotated")
            tokens = [message["sessionToken"] for message in client.all("session_resumption_update")]
            live = relay.where.registry.find(session.conversation)
            assert live is not None
            assert live.core.coverage.handle is not None
            upstream = live.core.coverage.handle.secret
        query = {"resumeHandle": handle, "shareToken": "a-wrong-token"}
        async with connect(relay.url({"mode": "sales_agent", "sessionToken": tokens[0], **query}), proxy=None) as other:
            await other.wait_closed()
            assert other.close_code == 4403
    text = logged()
    assert "rotated" in text
    for secret in (session.session_token, *tokens, SHARE_TOKEN, "a-wrong-token", handle, upstream):
        assert secret not in text

"""Who is let in at the client's door, and what the others are told."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from http import HTTPStatus
from pathlib import Path

import aiohttp
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from filo.handles.v1.resources_pb2 import MODE_ASSISTANT, Owner
from filo.relay.v1 import relay_pb2 as pb
from services.common.errors import Reason, ServiceError
from services.relay.client.server import READY_PATH
from services.relay.client.session_tokens import Claims, SessionTokens
from tests.support.client import Client
from tests.support.clock import ManualClock
from tests.support.relay import SHARE_TOKEN, RunningRelay, running_relay


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[RunningRelay]:
    """A relay that gives a late first message little time."""
    async with running_relay(tmp_path, auth_timeout=0.3) as running:
        yield running


async def closed(relay: RunningRelay, query: dict[str, str], *messages: str) -> tuple[int, str]:
    """How a socket with these parameters and first messages ends."""
    async with connect(relay.url(query), proxy=None) as socket:
        for message in messages:
            await socket.send(message)
        async with asyncio.timeout(10):
            await socket.wait_closed()
        assert socket.close_code is not None
        return socket.close_code, socket.close_reason or ""


async def test_a_token_in_the_url_opens_the_door(relay: RunningRelay) -> None:
    """The plan's own way in: token and share token in the query."""
    session = await relay.create()
    assert session.websocket_path == "/ws/ai-voice?mode=sales_agent"
    async with Client(relay.socket(session)) as client:
        started = await client.wait("session:started")
        assert (started["conversation"], started["turn"], started["nextSeq"]) == (session.conversation, 0, 1)


async def test_a_token_as_a_subprotocol_opens_the_door(relay: RunningRelay) -> None:
    """A browser can keep the token out of the URL; the token itself is not selected."""
    session = await relay.create()
    url = relay.url({"mode": "sales_agent", "shareToken": SHARE_TOKEN})
    offered = ["filo.v1", f"filo.token.{session.session_token}"]
    async with Client(connect(url, subprotocols=offered, proxy=None)) as client:  # type: ignore[arg-type]
        await client.wait("session:started")
        assert client.socket.subprotocol == "filo.v1"


async def test_a_token_in_the_first_message_opens_the_door(relay: RunningRelay) -> None:
    """Nothing secret is in the URL."""
    session = await relay.create()
    async with Client(connect(relay.url({"mode": "sales_agent"}), proxy=None)) as client:
        await client.send(type="auth", sessionToken=session.session_token, shareToken=SHARE_TOKEN)
        await client.wait("session:started")


@pytest.mark.parametrize("token", ["", "nonsense", "a.b.c"])
async def test_a_token_that_is_none_is_4401(relay: RunningRelay, token: str) -> None:
    """Missing or malformed: a close with a sentence, after the upgrade."""
    query = {"mode": "sales_agent", "sessionToken": token, "shareToken": SHARE_TOKEN}
    code, reason = await closed(relay, query, *([] if token else ['{"type": "text", "text": "hi"}']))
    assert code == 4401
    assert "session token" in reason


async def test_no_token_in_time_is_4401(relay: RunningRelay) -> None:
    """Who opens the door and says nothing does not hold it open."""
    assert await closed(relay, {"mode": "sales_agent"}) == (4401, "no session token came in time")


async def test_a_forged_and_an_expired_token_are_4401(relay: RunningRelay, tmp_path: Path) -> None:
    """A token of another key, and one of the right key whose time is over."""
    session = await relay.create()
    ring = json.loads((tmp_path / "session.key").read_text())
    past = SessionTokens(ring["keys"], ring["newest"], 60.0, ManualClock())
    foreign = SessionTokens({ring["newest"]: "x" * 43}, ring["newest"], 1e9, ManualClock())
    for tokens in (past, foreign):
        token, _ = tokens.sign(Claims(session.conversation, "sales_agent"))
        query = {"mode": "sales_agent", "sessionToken": token, "shareToken": SHARE_TOKEN}
        assert (await closed(relay, query))[0] == 4401


@pytest.mark.parametrize("change", [{"shareToken": "somebody-else"}, {"shareToken": ""}, {"mode": "assistant"}])
async def test_what_is_not_the_conversations_is_4403(relay: RunningRelay, change: dict[str, str]) -> None:
    """A share token or a mode of somebody else, at a conversation that is not held and at one that is."""
    session = await relay.create()
    query = {"mode": "sales_agent", "sessionToken": session.session_token, "shareToken": SHARE_TOKEN, **change}
    assert (await closed(relay, query))[0] == 4403
    async with Client(relay.socket(session)) as client:
        await client.wait("session:started")
        assert (await closed(relay, query))[0] == 4403
        assert client.closed is None


async def test_a_users_conversation_needs_no_share_token(relay: RunningRelay) -> None:
    """R2.2: other modes belong to a user id, which the token carries."""
    session = await relay.create(mode=MODE_ASSISTANT, owner=Owner(user_id="u-17"))
    query = {"mode": "assistant", "sessionToken": session.session_token}
    async with Client(connect(relay.url(query), proxy=None)) as client:
        await client.wait("session:started", mode="assistant")


async def test_another_path_is_404(relay: RunningRelay) -> None:
    """The door is at one path only."""
    with pytest.raises(InvalidStatus) as refused:
        await connect(f"ws://{relay.where.client_address}/ws/other", proxy=None)
    assert refused.value.response.status_code == 404


async def test_a_target_that_cannot_be_read_is_404(relay: RunningRelay) -> None:
    """It is a request like any other, not a fault of the relay's."""
    with pytest.raises(InvalidStatus) as refused:
        await connect(f"ws://{relay.where.client_address}//[", proxy=None)
    assert refused.value.response.status_code == 404


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("not json", "not a message of this protocol"),
        ('{"type": "dance"}', "not a message of this protocol"),
        ('{"type": "text"}', "not a message of this protocol"),
        ('{"type": "text", "text": "  "}', "text must not be empty"),
        ('{"type": "text", "text": "a", "seq": 0}', "from 1 to"),
        ('{"type": "auth", "sessionToken": "x"}', "first message"),
        ('{"type": "auth"}', "first message"),
        (b"\x01\x02\x03", "even number of bytes"),
        (b"\x00" * (64 * 1024 + 2), "at most 65536 bytes"),
    ],
)
async def test_a_malformed_message_is_1007(relay: RunningRelay, message: str | bytes, told: str) -> None:
    """A close with a sentence; the conversation itself is unharmed and takes the client back."""
    session = await relay.create()
    async with Client(relay.socket(session)) as client:
        await client.wait("session:started")
        await client.socket.send(message)
        code, reason = await client.wait_closed()
    assert code == 1007
    assert told in reason
    async with Client(relay.socket(session)) as client:
        await client.wait("session:resumed", continuity="handle")


async def test_the_newer_socket_wins(relay: RunningRelay) -> None:
    """Two sockets for one conversation: the older one is closed with 4409, the newer one goes on."""
    session = await relay.create()
    async with Client(relay.socket(session)) as older:
        await older.wait("session:started")
        async with Client(relay.socket(session)) as newer:
            await newer.wait("session:resumed")
            assert (await older.wait_closed())[0] == 4409
            await newer.send(type="text", text="Tell me about pricing.")
            await newer.wait("turn:complete", turn=1)


async def test_an_ended_conversation_is_4410(relay: RunningRelay) -> None:
    """What is over stays over."""
    session = await relay.create()
    await relay.control.EndSession(pb.EndSessionRequest(conversation=session.conversation))
    query = {"mode": "sales_agent", "sessionToken": session.session_token, "shareToken": SHARE_TOKEN}
    assert (await closed(relay, query))[0] == 4410


async def test_sessions_over_grpc(relay: RunningRelay) -> None:
    """CreateSession is idempotent by request_id, and every refusal has its reason."""
    one, two = (
        pb.CreateSessionRequest(request_id=str(uuid.uuid4()), mode=MODE_ASSISTANT, owner=Owner(user_id="u")),
        pb.CreateSessionRequest(request_id="", mode=MODE_ASSISTANT, owner=Owner(user_id="u")),
    )
    one.agent.model = two.agent.model = "models/gemini-2.5-flash-native-audio"
    first, again = await relay.control.CreateSession(one), await relay.control.CreateSession(one)
    assert first.conversation == again.conversation
    one.agent.model = "models/another"
    for request, reason in ((one, Reason.REQUEST_ID_REUSED), (two, Reason.INVALID_ARGUMENT)):
        with pytest.raises(ServiceError) as refused:
            await relay.control.CreateSession(request)
        assert refused.value.reason is reason
    with pytest.raises(ServiceError) as refused:
        await relay.control.GetSession(pb.GetSessionRequest(conversation=f"conversations/{'0' * 32}"))
    assert refused.value.reason is Reason.CONVERSATION_NOT_FOUND


async def test_a_first_message_without_a_token_is_4401(relay: RunningRelay) -> None:
    """A token that is not there is met like one that is wrong."""
    code, _ = await closed(relay, {"mode": "sales_agent"}, '{"type": "auth"}')
    assert code == 4401


@pytest.mark.parametrize("parameter", [{"testMode": "maybe"}, {"rotation": "both"}, {"lastSeen": "newest"}])
async def test_a_parameter_that_means_nothing_is_1007(relay: RunningRelay, parameter: dict[str, str]) -> None:
    """A typing error is told, not taken for something else."""
    code, reason = await closed(relay, {"mode": "sales_agent", **parameter})
    assert (code, next(iter(parameter)) in reason) == (1007, True)


async def test_a_conversation_that_has_no_such_name_is_told_by_its_field(relay: RunningRelay) -> None:
    """The field that the caller filled, not the one that the store knows it by."""
    with pytest.raises(ServiceError) as refused:
        await relay.control.GetSession(pb.GetSessionRequest(conversation="conversations/none"))
    assert refused.value.metadata == {"field": "conversation"}
    assert refused.value.detail.startswith("conversation: ")


async def test_a_full_relay_says_when_to_come_again(tmp_path: Path) -> None:
    """Beyond its limit a newcomer is told how long to wait and gets 1013; whoever is in may leave and come back."""
    async with running_relay(tmp_path, conversations=1) as relay:
        first, second = await relay.create(), await relay.create()
        async with Client(relay.socket(first)) as client:
            await client.wait("session:started")
            assert await ready(relay) == HTTPStatus.SERVICE_UNAVAILABLE
            async with connect(relay.url(query_of(second)), proxy=None) as socket:
                told = json.loads(await socket.recv())
                await socket.wait_closed()
            assert (told["code"], told["retryable"], told["retryAfter"]) == (Reason.RELAY_FULL, True, 5.0)
            assert socket.close_code == 1013
            assert "come again in 5 s" in (socket.close_reason or "")
        async with Client(relay.socket(first)) as client:
            await client.wait("session:resumed")
            await client.send(type="end")
            await client.wait("conversation_end")
        async with Client(relay.socket(second)) as client:
            await client.wait("session:started")


async def test_a_crowd_gets_no_more_places_than_there_are(tmp_path: Path) -> None:
    """As when a neighbour goes: all of them come before the first one is in. Each gets its place, or is told."""
    async with running_relay(tmp_path, conversations=3) as relay:
        sessions = [await relay.create() for _ in range(12)]
        async with AsyncExitStack() as sockets:

            async def come(session: pb.CreateSessionResponse) -> str:
                socket = await sockets.enter_async_context(connect(relay.url(query_of(session)), proxy=None))
                told = json.loads(await socket.recv())
                return str(told.get("code", told["type"]))

            told = await asyncio.gather(*map(come, sessions))
            assert sorted(told) == [Reason.RELAY_FULL] * 9 + ["session:started"] * 3
        for session, was in zip(sessions, told, strict=True):
            if was == "session:started":
                await relay.control.EndSession(pb.EndSessionRequest(conversation=session.conversation))
        async with Client(relay.socket(sessions[told.index(Reason.RELAY_FULL)])) as client:
            await client.wait("session:started")


async def ready(relay: RunningRelay) -> int:
    """What a load balancer is told at /ready."""
    url = f"http://{relay.where.client_address}{READY_PATH}"
    async with aiohttp.ClientSession() as http, http.get(url) as answer:
        return answer.status


def query_of(session: pb.CreateSessionResponse) -> dict[str, str]:
    """The parameters of a session's socket."""
    return {"mode": "sales_agent", "sessionToken": session.session_token, "shareToken": SHARE_TOKEN}

"""Mutual TLS over real sockets: who is let in, who may call what, and what a renewed certificate needs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from filo.handles.v1 import handles_pb2 as pb
from filo.handles.v1 import handles_pb2_grpc
from services.common.errors import Reason, ServiceError
from services.common.grpc_access import Caller
from services.common.grpc_client import channel
from services.common.tls import Transport
from services.handles.access import CALLERS
from tests.support.certificates import Authority, environ
from tests.support.handles import RunningHandles, running_handles

NOBODY = pb.GetConversationRequest(name="conversations/" + "0" * 32)
_METHODS = pb.DESCRIPTOR.services_by_name["HandlesService"].methods
_TIMEOUT = 10.0


@pytest.fixture(name="authority", scope="module")
def _authority() -> Authority:
    return Authority()


@pytest.fixture(name="handles")
async def _handles(tmp_path: Path, authority: Authority) -> AsyncIterator[RunningHandles]:
    transport = authority.issue(tmp_path / "handles", "handles")
    async with running_handles(tmp_path, environ=environ(transport)) as handles:
        yield handles


@asynccontextmanager
async def caller(
    handles: RunningHandles, transport: Transport, service: str = "handles"
) -> AsyncIterator[RunningHandles]:
    """A client with a certificate."""
    async with channel(handles.address, service, transport) as to:
        yield RunningHandles(handles.address, handles.settings, handles.registry, to)


async def reason(handles: RunningHandles) -> Reason:
    """What an innocent question is answered with."""
    with pytest.raises(ServiceError) as caught:
        await handles.stub.GetConversation(NOBODY, timeout=_TIMEOUT)
    return caught.value.reason


async def test_a_relay_does_all_that_a_relay_does(
    handles: RunningHandles, authority: Authority, tmp_path: Path
) -> None:
    """Create, attach, checkpoint, validate and stream, encrypted."""
    async with caller(handles, authority.issue(tmp_path / "relay", "relay", "relay.example")) as relay:
        created = await relay.create()
        await relay.attach(created)
        stored = await relay.checkpoint(created, 1, 1, secret="gemini")
        assert await relay.validate(created, stored.resume_handle) == pb.HANDLE_RESULT_VALID
        assert [turn.number for turn in await relay.turns(created)] == [1]


@pytest.mark.parametrize(
    ("names", "common_name"),
    [(("simulator",), "relay"), (("relay.example",), ""), ((), "nobody"), (("operator",), "relay")],
)
async def test_who_is_no_relay_is_refused_every_call_of_a_relay(
    handles: RunningHandles, authority: Authority, tmp_path: Path, names: tuple[str, ...], common_name: str
) -> None:
    """Before the request is even looked at; a common name does not make a relay of somebody with other names."""
    known = {Caller(name) for name in names if name in set(Caller)}
    async with caller(handles, authority.issue(tmp_path / "other", *names, common_name=common_name)) as other:
        for method in _METHODS:
            if known & CALLERS[method.name]:
                continue
            with pytest.raises(ServiceError) as caught:
                await _call(other.channel, method.name)
            assert caught.value.reason is Reason.CALLER_NOT_ALLOWED, method.name
            assert caught.value.metadata["call"] == method.name
    assert handles.metric("filo_handles_checkpoints_total", result="caller_not_allowed") == 1


async def _call(to: grpc.aio.Channel, name: str) -> None:
    """Make a call with an empty request."""
    ask = getattr(pb, f"{name}Request")()
    stub = handles_pb2_grpc.HandlesServiceStub(to)
    if name == "StreamTurns":
        async for _ in stub.StreamTurns(ask):
            pass
    else:
        await getattr(stub, name)(ask)


async def test_an_operator_may_look_and_end(handles: RunningHandles, authority: Authority, tmp_path: Path) -> None:
    """And is told apart from a relay by its certificate alone."""
    async with caller(handles, authority.issue(tmp_path / "relay", "relay")) as relay:
        created = await relay.create()
    async with caller(handles, authority.issue(tmp_path / "operator", common_name="operator")) as operator:
        await operator.stub.GetConversation(pb.GetConversationRequest(name=created.name))
        await operator.stub.EndConversation(pb.EndConversationRequest(name=created.name, reason="asked to"))


async def test_every_certificate_may_ask_for_health_and_reflection(
    handles: RunningHandles, authority: Authority, tmp_path: Path
) -> None:
    """They tell nothing about a conversation."""
    async with caller(handles, authority.issue(tmp_path / "probe", "probe")) as probe:
        health: Any = health_pb2_grpc.HealthStub(probe.channel)
        answer = await health.Check(health_pb2.HealthCheckRequest(), timeout=_TIMEOUT)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        ask: Any = reflection_pb2.ServerReflectionRequest
        reflection: Any = reflection_pb2_grpc.ServerReflectionStub(probe.channel)  # type: ignore[arg-type]  # typed for sync channels
        async with asyncio.timeout(_TIMEOUT):
            assert [one async for one in reflection.ServerReflectionInfo(iter([ask(list_services="")]))]


@pytest.mark.parametrize("kind", ["foreign", "expired", "clear", "none"])
async def test_strangers_do_not_get_in(
    handles: RunningHandles, authority: Authority, tmp_path: Path, kind: str
) -> None:
    """Another authority's certificate, an expired one, no TLS, and TLS without a certificate: no call is answered."""
    if kind == "clear":
        async with channel(handles.address) as to:
            assert await reason(RunningHandles(handles.address, handles.settings, handles.registry, to)) in _AWAY
        return
    if kind == "none":
        bare = grpc.ssl_channel_credentials((tmp_path / "handles" / "ca.crt").read_bytes())
        options = (("grpc.ssl_target_name_override", "handles"),)
        async with grpc.aio.secure_channel(str(handles.address), bare, options) as to:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await handles_pb2_grpc.HandlesServiceStub(to).GetConversation(NOBODY, timeout=_TIMEOUT)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        return
    mine = authority.issue(tmp_path / "mine", "relay", expired=kind == "expired")
    if kind == "foreign":
        theirs = Authority().issue(tmp_path / "theirs", "relay")
        mine = Transport(theirs.certificate, theirs.key, mine.authority)
    async with caller(handles, mine) as stranger:
        assert await reason(stranger) in _AWAY


_AWAY = (Reason.SERVICE_UNAVAILABLE, Reason.DEADLINE_EXCEEDED)


async def test_a_client_speaks_only_to_whom_it_means(
    handles: RunningHandles, authority: Authority, tmp_path: Path
) -> None:
    """A service of another name, and one of another authority, get no request at all."""
    mine = authority.issue(tmp_path / "mine", "relay")
    async with caller(handles, mine, service="relay") as mistaken:
        assert await reason(mistaken) in _AWAY
    foreign = Authority().issue(tmp_path / "foreign", "relay")
    async with caller(handles, Transport(mine.certificate, mine.key, foreign.authority)) as wary:
        assert await reason(wary) in _AWAY


async def test_renewed_certificates_need_no_restart(tmp_path: Path) -> None:
    """Server and client change to a new authority while both run: new connections use it, and only it."""
    old, new = Authority("old"), Authority("new")
    server, client = tmp_path / "handles", tmp_path / "relay"
    async with running_handles(tmp_path, environ=environ(old.issue(server, "handles"))) as handles:
        async with caller(handles, old.issue(client, "relay")) as relay:
            assert await reason(relay) is Reason.CONVERSATION_NOT_FOUND
            new.issue(server, "handles")
            assert await reason(relay) is Reason.CONVERSATION_NOT_FOUND  # on the connection that is there
            async with caller(handles, old.issue(tmp_path / "late", "relay")) as late:
                assert await reason(late) in _AWAY
            new.issue(client, "relay")
            assert await reason(relay) is Reason.CONVERSATION_NOT_FOUND
        async with caller(handles, new.issue(tmp_path / "newcomer", "relay")) as newcomer:
            assert await reason(newcomer) is Reason.CONVERSATION_NOT_FOUND


async def test_a_stream_survives_the_renewal_of_its_client(
    handles: RunningHandles, authority: Authority, tmp_path: Path
) -> None:
    """What was under way ends where it began."""
    async with caller(handles, authority.issue(tmp_path / "relay", "relay")) as relay:
        created = await relay.create()
        await relay.attach(created)
        await relay.checkpoint(created, 1, *range(1, 101))
        stream = aiter(relay.stub.StreamTurns(pb.StreamTurnsRequest(name=created.name)))
        first = await anext(stream)
        authority.issue(tmp_path / "relay", "relay")
        assert await reason(relay) is Reason.CONVERSATION_NOT_FOUND
        assert first.turn.number + sum([1 async for _ in stream]) == 100

"""Every service with a certificate of its own, over real sockets: what relays may do, and nobody else; and renewal."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest
from cryptography import x509
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status

from filo.handles.v1 import handles_pb2 as pb
from filo.handles.v1 import handles_pb2_grpc
from filo.handles.v1.resources_pb2 import UpstreamHandle
from filo.simulator.v1 import simulator_pb2
from services.common import grpc_client
from services.common.tls import Transport
from tests.support.certificates import Authority, environ
from tests.support.handles import HOLDER, OWNER, RunningHandles, running_handles
from tests.support.relay import RunningRelay, running_relay
from tests.support.simulator import RunningSimulator, running_simulator

_TIMEOUT = 10.0
_SERVICES = ("handles", "relay", "simulator")


class Files(NamedTuple):
    """Where each service's certificate, key and authority are."""

    handles: Transport
    relay: Transport
    simulator: Transport


def issue(authority: Authority, directory: Path) -> Files:
    """Certificates as a platform issues them: the service's name, and the names that it is dialled by."""
    names = ((name, f"filo-{name}", f"filo-{name}.filo.svc") for name in _SERVICES)
    return Files(*(authority.issue(directory / "tls" / given[0], *given) for given in names))


@asynccontextmanager
async def house(directory: Path, files: Files) -> AsyncIterator[tuple[RunningRelay, RunningSimulator]]:
    """All services, which speak to each other by mutual TLS alone."""
    async with (
        running_relay(directory, handles=environ(files.handles), transport=files.relay) as relay,
        running_simulator(
            directory,
            control=relay.where.control_address,
            client_url=f"ws://{relay.where.client_address}",
            transport=files.simulator,
        ) as simulator,
        grpc_client.channel(simulator.where.address, "simulator", files.simulator) as own,
    ):
        yield relay, RunningSimulator(simulator.where, simulator.registry, own)


async def test_a_run_passes_before_and_after_all_certificates_change(tmp_path: Path) -> None:
    """Simulator to relay to handle store; then all get another authority's, none restarts, and the next run passes."""
    files = issue(Authority("old"), tmp_path)
    async with house(tmp_path, files) as (relay, simulator):
        first = await simulator.run(turns=3, seed=1)
        assert first.outcome == simulator_pb2.OUTCOME_COMPLETED
        issue(Authority("new"), tmp_path)
        second = await simulator.run(turns=3, seed=2)
        assert second.outcome == simulator_pb2.OUTCOME_COMPLETED
        assert relay.handles.metric("filo_handles_attaches_total", result="attached") == 2
        assert relay.handles.metric("filo_handles_attaches_total", result="caller_not_allowed") == 0


@asynccontextmanager
async def stored(directory: Path, files: Files) -> AsyncIterator[tuple[RunningHandles, pb.AttachConversationRequest]]:
    """A handle store with a conversation that a relay has attached, and what would redeem its newest resume handle."""
    async with (
        running_handles(directory, environ=environ(files.handles)) as handles,
        grpc_client.channel(handles.address, "handles", files.relay) as channel,
    ):
        relay = RunningHandles(handles.address, handles.settings, handles.registry, channel)
        created = await relay.create()
        await relay.attach(created)
        made = await relay.checkpoint(created, 1, 1, secret="gemini", covers_turn=1)
        yield (
            relay,
            pb.AttachConversationRequest(
                name=created.name, mode=created.mode, owner=OWNER, holder=HOLDER, resume_handle=made.resume_handle
            ),
        )


def calls(ask: pb.AttachConversationRequest) -> dict[str, Any]:
    """Whatever redeems, writes or reads: each would be answered, if a relay asked."""
    return {
        "ValidateHandle": pb.ValidateHandleRequest(
            name=ask.name, mode=ask.mode, owner=ask.owner, resume_handle=ask.resume_handle
        ),
        "Checkpoint": pb.CheckpointRequest(name=ask.name, epoch=1, upstream_handle=UpstreamHandle(secret="mine")),
        "HeartbeatConversation": pb.HeartbeatConversationRequest(name=ask.name, epoch=1),
        "GetConversation": pb.GetConversationRequest(name=ask.name),
        "AttachConversation": ask,
    }


@asynccontextmanager
async def bare(handles: RunningHandles, files: Transport) -> AsyncIterator[Callable[[str, Any], Any]]:
    """Calls as any program makes them, with these files and without a line of this project's."""
    assert files.certificate
    assert files.key
    assert files.authority
    credentials = grpc.ssl_channel_credentials(
        files.authority.read_bytes(), files.key.read_bytes(), files.certificate.read_bytes()
    )
    options = (("grpc.ssl_target_name_override", "handles"),)
    async with grpc.aio.secure_channel(str(handles.address), credentials, options) as channel:
        stub = handles_pb2_grpc.HandlesServiceStub(channel)
        yield lambda name, request: getattr(stub, name)(request, timeout=_TIMEOUT)


@pytest.mark.parametrize("who", ["simulator", "platform", "handles", "stranger"])
async def test_only_a_relay_redeems(tmp_path: Path, who: str) -> None:
    """With everything right but the certificate: PERMISSION_DENIED, CALLER_NOT_ALLOWED, and nothing has happened."""
    authority = Authority()
    files = issue(authority, tmp_path)
    async with stored(tmp_path, files) as (relay, ask):
        own = authority.issue(tmp_path / "who", who, f"{who}.filo.svc", common_name="relay")
        async with bare(relay, own) as call:
            for name, request in calls(ask).items():
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await call(name, request)
                assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
                assert reason(caught.value) == "CALLER_NOT_ALLOWED"
                assert "gemini" not in str(caught.value)
        answer = await relay.stub.AttachConversation(ask)
        assert (answer.conversation.epoch, answer.handle_result) == (2, pb.HANDLE_RESULT_VALID)
        assert answer.upstream_handle.secret == "gemini"


@pytest.mark.parametrize(
    "name", [x509.UniformResourceIdentifier("relay"), x509.RFC822Name("relay"), x509.IPAddress(ip_address("127.0.0.1"))]
)
async def test_only_a_dns_name_makes_a_relay(tmp_path: Path, name: x509.GeneralName) -> None:
    """The same word as an e-mail address or a URI, or the address of a relay, with a relay's common name: nobody."""
    authority = Authority()
    files = issue(authority, tmp_path)
    async with stored(tmp_path, files) as (relay, ask):
        async with bare(relay, authority.issue(tmp_path / "who", name, common_name="relay")) as call:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call("AttachConversation", ask)
        assert reason(caught.value) == "CALLER_NOT_ALLOWED"


@pytest.mark.parametrize("kind", ["another authority", "expired"])
async def test_who_is_not_of_the_house_gets_no_connection(tmp_path: Path, kind: str) -> None:
    """A certificate in a relay's name that the authority did not sign, or whose time is over."""
    authority = Authority()
    files = issue(authority, tmp_path)
    async with stored(tmp_path, files) as (relay, ask):
        signer = Authority() if kind == "another authority" else authority
        theirs = signer.issue(tmp_path / "theirs", "relay", expired=kind == "expired")
        mine = Transport(theirs.certificate, theirs.key, files.relay.authority)
        async with bare(relay, mine) as call:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call("AttachConversation", ask)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert (await relay.stub.AttachConversation(ask)).conversation.epoch == 2


def reason(error: grpc.aio.AioRpcError) -> str:
    """What the error's details say."""
    status: Any = rpc_status.from_call(error)  # type: ignore[arg-type]  # typed for sync calls
    info = ErrorInfo()
    assert status is not None
    assert status.details[0].Unpack(info)
    return str(info.reason)

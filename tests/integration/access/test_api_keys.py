"""API keys over real gRPC: who is let in, what it may do, how much of it, and that relays still find each other."""

import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
import structlog

from filo.relay.v1 import relay_pb2 as pb
from filo.relay.v1 import relay_pb2_grpc as rpc
from services.common import api_keys, callers, grpc_client
from services.common.api_keys import Access, Keys
from services.common.errors import Reason, ServiceError
from services.common.grpc_access import Caller
from services.common.tls import Transport
from services.contract import checks as contract
from services.contract.target import Target
from services.relay.control.access import TABLE
from tests.support.handles import until
from tests.support.relay import RunningRelay, another_relay, running_relay
from tests.support.simulator import running_simulator
from tests.support.stack import FILO

SHOP, RELAY, SIMULATOR = "filo_key-of-the-shop", "filo_key-of-the-relays", "filo_key-of-the-simulator"
UNLIMITED, BOTH = "filo_key-of-the-desk", "filo_key-of-the-tests"
REPLICA = "filo.relay.v1.ReplicaService"
NOBODY = "conversations/" + "0" * 32
LINES = "\n".join(
    [
        api_keys.line("shop", SHOP, conversations=2, creations=5),
        api_keys.line("relay", RELAY, Caller.RELAY),
        api_keys.line("simulator", SIMULATOR, Caller.SIMULATOR),
        api_keys.line("desk", UNLIMITED),
        f"{api_keys.line('tests', BOTH)},relay",
    ]
)


@pytest.fixture(name="relay")
async def _relay(tmp_path: Path) -> AsyncIterator[RunningRelay]:
    """A relay that asks for keys, and shows the relays' own; the channel of the tests shows the shop's."""
    access, transport = Access(LINES), Transport(api_key=RELAY)
    async with running_relay(tmp_path, access=access, transport=transport) as relay, calling(relay, SHOP) as shop:
        yield replace(relay, channel=shop)


@asynccontextmanager
async def calling(relay: RunningRelay, key: str) -> AsyncIterator[grpc.aio.Channel]:
    """A channel that shows a key."""
    async with grpc_client.channel(relay.where.control_address, transport=Transport(api_key=key)) as channel:
        yield channel


async def refused(call: Any) -> ServiceError:  # noqa: ANN401 - any call
    """What a call is refused with."""
    with pytest.raises(ServiceError) as caught:
        await call
    return caught.value


@pytest.mark.parametrize("key", ["", "filo_key-of-nobody-at-all", SHOP[:-1], f"{SHOP}x"])
async def test_without_a_good_key_nothing_is_answered(relay: RunningRelay, key: str) -> None:
    """Unary or streaming; the log says who was refused, and not what was shown."""
    with structlog.testing.capture_logs() as logged:
        async with calling(relay, key) as channel:
            stub: Any = rpc.RelayServiceStub(channel)
            error = await refused(stub.GetSession(pb.GetSessionRequest(conversation=NOBODY)))
            stream = aiter(stub.WatchSession(pb.WatchSessionRequest(conversation=NOBODY)))
            streamed = await refused(anext(stream))
    assert error.reason is streamed.reason is Reason.API_KEY_INVALID
    assert error.meaning.code is grpc.StatusCode.UNAUTHENTICATED
    assert [entry["event"] for entry in logged].count("caller without a good key") == 2
    assert key == "" or key not in f"{logged} {error.detail}"


@pytest.mark.parametrize("shown", [("authorization", f"Bearer {SHOP}"), ("x-api-key", SHOP)])
async def test_both_ways_to_show_a_key(relay: RunningRelay, shown: tuple[str, str]) -> None:
    """By any gRPC library, without ours."""
    async with grpc.aio.insecure_channel(str(relay.where.control_address)) as channel:
        stub: Any = rpc.RelayServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.GetSession(pb.GetSessionRequest(conversation=NOBODY), metadata=(shown,))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_key_does_what_its_role_does(relay: RunningRelay) -> None:
    """A platform's key opens no door between relays, and a relay's creates nothing: the table of certificates."""
    release = pb.ReleaseConversationRequest(conversation=NOBODY)
    replicas: Any = rpc.ReplicaServiceStub(relay.channel)
    assert (await refused(replicas.ReleaseConversation(release))).reason is Reason.CALLER_NOT_ALLOWED
    async with calling(relay, RELAY) as channel:
        mine: Any = rpc.ReplicaServiceStub(channel)
        assert not (await mine.ReleaseConversation(release)).held
        error = await refused(replace(relay, channel=channel).create())
    assert error.reason is Reason.CALLER_NOT_ALLOWED
    assert error.metadata["allowed"] == "platform,simulator"


async def test_conversations_at_once(relay: RunningRelay) -> None:
    """One too many is refused with a time to wait, and let through when another has ended."""
    first, _ = await relay.create(), await relay.create()
    error = await refused(relay.create())
    assert (error.reason, error.metadata["quota"]) == (Reason.QUOTA_EXCEEDED, "conversations")
    assert error.meaning.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert error.retry_after
    await relay.control.EndSession(pb.EndSessionRequest(conversation=first.conversation))

    async def let_through() -> bool:
        try:
            await relay.create()
        except ServiceError:
            return False
        return True

    await until(let_through)


async def test_a_key_without_quotas_has_none(relay: RunningRelay) -> None:
    """Each key is counted by itself."""
    async with calling(relay, SIMULATOR) as channel:
        for _ in range(8):
            await replace(relay, channel=channel).create()


async def test_relays_still_find_each_other(relay: RunningRelay) -> None:
    """A call to the wrong replica is passed on, and a conversation is taken over, by the relays' own key."""
    session = await relay.create()
    async with another_relay(relay) as other, calling(other, SHOP) as shop, relay.socket(session) as socket:
        await socket.recv()
        elsewhere = replace(other, channel=shop)
        asked = pb.GetSessionRequest(conversation=session.conversation)
        assert (await elsewhere.control.GetSession(asked)).session.client_connected
        async with elsewhere.socket(session) as moved:
            await moved.recv()
            assert (await elsewhere.control.GetSession(asked)).session.client_connected
            await socket.wait_closed()
        assert socket.close_code == 4409


async def test_the_simulator_shows_its_key(relay: RunningRelay, tmp_path: Path) -> None:
    """A training run goes through a relay that asks for one; the simulator itself asks too."""
    url = f"ws://{relay.where.client_address}"
    async with running_simulator(
        tmp_path / "runs",
        control=relay.where.control_address,
        client_url=url,
        transport=Transport(api_key=SIMULATOR),
        access=Access(LINES),
    ) as simulator:
        assert (await refused(simulator.start(turns=1))).reason is Reason.API_KEY_INVALID
        async with grpc_client.channel(simulator.where.address, transport=Transport(api_key=SHOP)) as channel:
            run = await replace(simulator, channel=channel).run(turns=1)
    assert run.turns_completed == 1


def test_certificates_and_keys() -> None:
    """Where both are asked for, a certificate alone is judged by its name, and a key that is shown by the key alone."""
    guard = callers.guard("relay", TABLE, Keys(LINES), encrypted=True)
    assert guard is not None
    create = "/filo.relay.v1.RelayService/CreateSession"
    guard(create, _Context(b"platform"))  # type: ignore[arg-type]
    guard(create, _Context(b"nobody", SHOP))  # type: ignore[arg-type]
    for context in (_Context(b"nobody"), _Context(b"platform", "wrong"), _Context(b"platform", RELAY)):
        with pytest.raises(ServiceError):
            guard(create, context)  # type: ignore[arg-type]
    guard("/grpc.health.v1.Health/Check", _Context())  # type: ignore[arg-type]


async def test_a_relay_with_keys_keeps_the_contract(relay: RunningRelay) -> None:
    """Both its services, asked with a key that has the roles of both; a platform's key alone is not enough for one."""
    checks = [check for check in contract.checks([REPLICA]) if "is answered" in check.title]
    where = relay.where.control_address, f"ws://{relay.where.client_address}"
    for check in checks:
        await check.run(Target(*where, key=BOTH))
        with pytest.raises(contract.BrokenError, match="CALLER_NOT_ALLOWED"):
            await check.run(Target(*where, key=UNLIMITED))


class _Context:
    """A call by somebody with a certificate, or a key, or both."""

    def __init__(self, name: bytes = b"", key: str = "") -> None:
        self._name, self._key = name, key

    def auth_context(self) -> dict[str, list[bytes]]:
        """What TLS says."""
        return {"x509_subject_alternative_name": [self._name], "peer_dns": [self._name]} if self._name else {}

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        """What came with the call."""
        return (("x-api-key", self._key),) if self._key else ()

    def peer(self) -> str:
        """Whence it came."""
        return "ipv4:127.0.0.1:1"


@pytest.mark.parametrize("service", ["relay", "simulator"])
def test_an_open_port_without_keys_does_not_start(service: str, tmp_path: Path) -> None:
    """The process says what is missing, and ends with 2."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("FILO_", "GEMINI_"))}
    address = {"relay": "FILO_RELAY_CONTROL_ADDRESS", "simulator": "FILO_SIMULATOR_ADDRESS"}[service]
    done = subprocess.run(
        [*FILO, service],
        env={**own, address: "0.0.0.0:0", "FILO_ALLOW_PLAINTEXT": "true", "GEMINI_API_KEY": "made-up"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.returncode == 2
    assert f"{address}: 0.0.0.0:0 is not on this machine alone" in done.stderr
    assert "FILO_API_KEYS" in done.stderr

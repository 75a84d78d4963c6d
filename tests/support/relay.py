"""A relay in this process between a real handle store and the emulator, all on free ports, for tests of every room."""

import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import grpc
from prometheus_client import CollectorRegistry
from websockets.asyncio.client import connect

from filo.handles.v1.resources_pb2 import MODE_SALES_AGENT, AgentConfig, Mode, Owner
from filo.relay.v1 import relay_pb2 as pb
from filo.relay.v1 import relay_pb2_grpc as rpc
from services.common import grpc_client
from services.common.config import Address
from services.relay import service
from services.relay.config import DrainPolicy, Settings
from services.relay.core.model import Policy
from tests.support.emulator import RunningEmulator, running_emulator
from tests.support.handles import RunningHandles, running_handles

SHARE_TOKEN = "share-token-of-the-tests"
SHARED = Owner(share_token=SHARE_TOKEN)
AGENT = AgentConfig(
    model="models/gemini-2.5-flash-native-audio",
    system_instruction="Your name is Ada. You work for Threadworks. Sell the thread.",
)
QUICK = Policy(goaway_margin=0.1, grace=5.0, retry_base=0.05, retry_cap=0.5)
AT_ONCE = DrainPolicy(timeout=5.0, spread=0.0)
ANY_PORT = Address("127.0.0.1", 0)
LIBRARY = os.environ.get("FILO_RELAY_TRANSPORT", Settings().transport_library)
"""What carries the WebSockets of relays in tests that do not say so themselves: `make test-picows` sets it."""


@dataclass(frozen=True)
class RunningRelay:
    """A relay that is ready, with what stands around it.

    Args:
        where: Its addresses and its conversations.
        settings: What it was started with.
        handles: The store behind it.
        emulator: Gemini's stand-in.
        registry: Its metrics.
        channel: An open channel to its control API.
        stop_store: Takes the handle store away.
    """

    where: service.Running
    settings: Settings
    handles: RunningHandles
    emulator: RunningEmulator
    registry: CollectorRegistry
    channel: grpc.aio.Channel = field(repr=False)
    stop_store: Callable[[], Awaitable[None]] = field(repr=False)

    @property
    def control(self) -> "rpc.RelayServiceAsyncStub":
        """The control API."""
        return rpc.RelayServiceStub(self.channel)

    def metric(self, name: str, **labels: str) -> float:
        """The value of a series that must exist."""
        value = self.registry.get_sample_value(name, labels)
        assert value is not None, f"no series {name} {labels}"
        return value

    async def create(
        self,
        *,
        mode: Mode.ValueType = MODE_SALES_AGENT,
        owner: Owner = SHARED,
        agent: AgentConfig = AGENT,
        test: bool = True,
    ) -> pb.CreateSessionResponse:
        """Create a session."""
        request = pb.CreateSessionRequest(request_id=str(uuid.uuid4()), mode=mode, owner=owner, agent=agent, test=test)
        return await self.control.CreateSession(request)

    def url(self, query: Mapping[str, str]) -> str:
        """The client's address with these parameters."""
        return f"ws://{self.where.client_address}/ws/ai-voice?{urlencode(query)}"

    def socket(self, session: pb.CreateSessionResponse, **query: str) -> connect:
        """A client's socket for a shared session; parameters replace or add to the usual ones."""
        usual = {"mode": "sales_agent", "sessionToken": session.session_token, "shareToken": SHARE_TOKEN}
        return connect(self.url({**usual, **query}), compression=None, proxy=None)


@asynccontextmanager
async def running_relay(
    directory: Path,
    *,
    emulator: Mapping[str, Any] | None = None,
    handles: dict[str, str] | None = None,
    **overrides: Any,  # noqa: ANN401 - any field of Settings
) -> AsyncIterator[RunningRelay]:
    """Run all three.

    Args:
        directory: For the database and the keys.
        emulator: Settings of the emulator.
        handles: Settings of the handle store, as its environment.
        overrides: Settings of the relay.
    """
    async with running_emulator(**(emulator or {})) as gemini, AsyncExitStack() as stored:
        store = await stored.enter_async_context(running_handles(directory, environ=handles))
        usual = Settings(
            client_address=ANY_PORT,
            control_address=ANY_PORT,
            metrics_address=ANY_PORT,
            handles_address=store.address,
            upstream_url=gemini.url,
            upstream_ca=gemini.ca_path,
            api_key="emulator",
            session_keys=directory / "session.key",
            transport_library=LIBRARY,
            policy=QUICK,
            drain=AT_ONCE,
        )
        async with _relay(replace(usual, **overrides), store, gemini, stored.aclose) as relay:
            yield relay


@asynccontextmanager
async def another_relay(first: RunningRelay) -> AsyncIterator[RunningRelay]:
    """Run a second relay in front of the same store and emulator."""
    async with _relay(first.settings, first.handles, first.emulator, first.stop_store) as relay:
        yield relay


@asynccontextmanager
async def _relay(
    settings: Settings, handles: RunningHandles, emulator: RunningEmulator, stop_store: Callable[[], Awaitable[None]]
) -> AsyncIterator[RunningRelay]:
    registry = CollectorRegistry()
    async with (
        service.running(settings, prometheus=registry) as where,
        grpc_client.channel(where.control_address) as channel,
    ):
        yield RunningRelay(where, settings, handles, emulator, registry, channel, stop_store)

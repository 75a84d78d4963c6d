"""The relay as a process: its parts put together, started and stopped in order."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

from prometheus_client import CollectorRegistry

from filo.handles.v1 import handles_pb2
from filo.relay.v1 import relay_pb2_grpc as rpc
from services.common import grpc_client, grpc_server, lifecycle, logs, metrics, process_metrics
from services.common.clock import Clock, SystemClock
from services.common.config import Address
from services.common.grpc_metrics import GrpcMetrics
from services.relay.client import server as client_server
from services.relay.client import session_tokens
from services.relay.client.server import ClientServer
from services.relay.config import Settings
from services.relay.control import servicer as control
from services.relay.control.desk import Desk
from services.relay.control.servicer import RelayServicer
from services.relay.control.watching import Watch
from services.relay.core.capabilities import Backend
from services.relay.levels import Levels, LevelsCollector
from services.relay.live import Surroundings
from services.relay.metrics import Metrics
from services.relay.registry import Registry
from services.relay.store import Store
from services.relay.upstream import backend
from services.relay.upstream.breaker import Breaker, BreakerState, Gate
from services.relay.upstream.connection import Dialler
from services.relay.upstream.setup import warm_up


@dataclass(frozen=True, slots=True)
class Running:
    """A relay that is ready, and where."""

    client_address: Address
    control_address: Address
    metrics_address: Address
    registry: Registry


@asynccontextmanager
async def running(
    settings: Settings, clock: Clock | None = None, prometheus: CollectorRegistry | None = None
) -> AsyncIterator[Running]:
    """A relay, while the context is open; leaving it gives every conversation back.

    Raises:
        StartupError: A port is in use, or the session keys cannot be used.
    """
    clock = clock or SystemClock()
    prometheus = prometheus or CollectorRegistry()
    tokens = session_tokens.load(settings.session_keys, settings.session_ttl, clock)
    counts = Metrics(prometheus, sessions=settings.session_metrics)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(process_metrics.watched(prometheus, "relay"))
        channel = await stack.enter_async_context(
            grpc_client.channel(settings.handles_address, "handles", settings.transport, _calls(prometheus))
        )
        store = Store(channel, clock, Backend(settings.backend))
        breaker = Breaker(settings.breaker)
        gate = Gate(breaker, clock)
        dialler = Dialler(
            settings.upstream_url,
            _backend(settings),
            settings.upstream_ca,
            connect_timeout=settings.connect_timeout,
            close_timeout=settings.close_timeout,
            gate=gate,
            counted=counts.dialled,
        )
        warm_up()
        group = await stack.enter_async_context(asyncio.TaskGroup())
        registry = Registry(Surroundings(settings, clock, store, dialler, tokens, counts), group)
        LevelsCollector(prometheus, _levels(breaker, gate, registry))
        desk = Desk(store, registry, clock, settings.transport, counts)
        watch = Watch(store, registry, clock, settings.transport)
        servicer = RelayServicer(store, tokens, registry, watch, desk)
        where = stack.enter_context(metrics.serving(prometheus, settings.metrics_address))
        control_address = await stack.enter_async_context(
            grpc_server.serving(
                settings.control_address,
                [control.SERVICE],
                lambda server: rpc.add_RelayServiceServicer_to_server(servicer, server),
                transport=settings.transport,
                registry=prometheus,
                probes=settings.health_address,
            )
        )
        store.holder = str(settings.advertise_address or control_address)
        door = ClientServer(settings, tokens, registry, counts)
        client_address = await stack.enter_async_context(
            client_server.listening(door, settings.client_address, settings.origins)
        )
        stack.push_async_callback(registry.drain)
        yield Running(client_address, control_address, where, registry)


def _levels(breaker: Breaker, gate: Gate, registry: Registry) -> Levels:
    return Levels(
        breaker_open=lambda: breaker.state is BreakerState.OPEN,
        breaker_trips=lambda: breaker.trips,
        dials_waiting=lambda: gate.waiting,
        replay_bytes=registry.replay_bytes,
        outbox_bytes=registry.outbox_bytes,
    )


def _calls(prometheus: CollectorRegistry) -> GrpcMetrics:
    service = handles_pb2.DESCRIPTOR.services_by_name["HandlesService"].full_name
    return GrpcMetrics(prometheus, "client", [service])


def _backend(settings: Settings) -> backend.Backend:
    vertex = settings.backend == Backend.VERTEX
    api = backend.vertex(settings.access_token) if vertex else backend.developer(settings.api_key)
    return replace(api, compression=settings.policy.compression)


def main(environ: Mapping[str, str]) -> int:
    """Run the relay until it is told to stop; gives the exit code."""

    @asynccontextmanager
    async def start() -> AsyncIterator[str]:
        settings = Settings.from_env(environ)
        logs.configure(settings.log_level)
        async with running(settings) as relay:
            yield (
                f"clients ws://{relay.client_address}/ws/ai-voice, control {relay.control_address}, "
                f"metrics http://{relay.metrics_address}/metrics, upstream {settings.upstream_url}"
            )

    return lifecycle.run("relay", start)

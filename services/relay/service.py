"""The relay as a process: its parts put together, started and stopped in order."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import CollectorRegistry

from filo.handles.v1 import handles_pb2
from filo.relay.v1 import relay_pb2_grpc as rpc
from services.common import (
    api_keys,
    callers,
    grpc_client,
    grpc_server,
    lifecycle,
    logs,
    metrics,
    process_metrics,
    tracing_export,
)
from services.common.clock import Clock, SystemClock
from services.common.config import Address
from services.common.errors import ServiceError
from services.common.grpc_metrics import GrpcMetrics
from services.common.lateness import Overload
from services.common.readiness import Readiness
from services.common.tls import Transport
from services.relay.client import server as client_server
from services.relay.client import session_tokens
from services.relay.client.server import ClientServer
from services.relay.config import Settings
from services.relay.control import access, creating, replicas
from services.relay.control import servicer as control
from services.relay.control.desk import Desk
from services.relay.control.replicas import ReplicaServicer
from services.relay.control.servicer import RelayServicer
from services.relay.control.watching import Watch
from services.relay.core.capabilities import Backend
from services.relay.levels import Levels, LevelsCollector
from services.relay.metrics import Metrics
from services.relay.peers import Peers
from services.relay.registry import Registry
from services.relay.store import Store
from services.relay.surroundings import Surroundings
from services.relay.takeover import Takeover
from services.relay.transport import named
from services.relay.upstream import backend
from services.relay.upstream.breaker import Breaker, BreakerState
from services.relay.upstream.connection import Dialler
from services.relay.upstream.gate import Gate
from services.relay.upstream.inputs import cancelled
from services.relay.upstream.setup import warm_up
from services.relay.upstream.summaries import Ask

_STORE_INTERVAL: Final = 0.5
"""Seconds between two questions to a handle store that is not there yet, and for its answer."""


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
    readiness = Readiness(ready=False)
    async with AsyncExitStack() as stack:
        watched = await stack.enter_async_context(process_metrics.watched(prometheus, "relay"))
        tracer = await stack.enter_async_context(tracing_export.opened(settings.tracing, "relay"))
        calls = _calls(prometheus)
        channel = await stack.enter_async_context(
            grpc_client.channel(settings.handles_address, "handles", _to_store(settings), calls, tracer)
        )
        store = Store(channel, clock, Backend(settings.backend))
        breaker = Breaker(settings.breaker)
        gate = Gate(breaker, clock, settings.dials, counts.dial_waited)
        carrier = named(settings.transport_library)
        dialler = Dialler(
            settings.upstream_url,
            _backend(settings),
            settings.upstream_ca,
            connect_timeout=settings.connect_timeout,
            close_timeout=settings.close_timeout,
            gate=gate,
            transport=carrier,
            counted=counts.dialled,
            late=watched.late,
        )
        warm_up()
        group = await stack.enter_async_context(asyncio.TaskGroup())
        peers = Peers(settings.transport, settings.takeover_timeout, calls, tracer)
        around = Surroundings(settings, clock, store, dialler, tokens, counts, _ask(settings), tracer, watched.late)
        registry = Registry(around, group, Takeover(store, peers, counts))
        LevelsCollector(prometheus, _levels(breaker, gate, registry))
        desk = Desk(store, registry, clock, peers, counts)
        watch = Watch(store, registry, clock, peers)
        servicer = RelayServicer(store, tokens, registry, watch, desk)
        keys = api_keys.opened(settings.access)
        where = stack.enter_context(metrics.serving(prometheus, settings.metrics_address))
        control_address = await stack.enter_async_context(
            grpc_server.serving(
                settings.control_address,
                [control.SERVICE, replicas.SERVICE],
                _register(servicer, ReplicaServicer(registry)),
                transport=settings.transport,
                guard=callers.guard("relay", access.TABLE, keys, encrypted=settings.transport.encrypted),
                wraps=creating.held_to_quotas(keys, clock, registry, store),
                registry=prometheus,
                probes=settings.health_address,
                readiness=readiness,
                tracer=tracer,
            )
        )
        store.holder = str(settings.advertise_address or control_address)
        overload = Overload(settings.overloaded_lag)
        door = ClientServer(settings, tokens, registry, counts, readiness, tracer, lambda: overload.look(watched.lag()))
        client_address = await stack.enter_async_context(
            client_server.listening(door, settings.client_address, settings.origins, carrier, watched.late)
        )
        waiting = group.create_task(_when_store_answers(channel, clock, readiness))
        stack.push_async_callback(_leave, registry, readiness, waiting)
        yield Running(client_address, control_address, where, registry)


def _to_store(settings: Settings) -> Transport:
    """The handle store knows relays by certificate; a key is none of its business."""
    return replace(settings.transport, api_key="")


def _register(servicer: RelayServicer, replica: ReplicaServicer) -> Callable[[grpc.aio.Server], None]:
    def register(server: grpc.aio.Server) -> None:
        rpc.add_RelayServiceServicer_to_server(servicer, server)
        rpc.add_ReplicaServiceServicer_to_server(replica, server)

    return register


async def _when_store_answers(channel: grpc.aio.Channel, clock: Clock, readiness: Readiness) -> None:
    """Be ready once the handle store is: services may be started in any order.

    Later on a store that is away makes nobody unready: all replicas would be at once, and who comes back to a live
    conversation needs no store.
    """
    store: Any = health_pb2_grpc.HealthStub(channel)  # its stubs know no asyncio
    while not readiness.ready:
        try:
            answer = await store.Check(health_pb2.HealthCheckRequest(), timeout=_STORE_INTERVAL)
        except ServiceError:
            await clock.sleep(_STORE_INTERVAL)
        else:
            readiness.set(ready=answer.status == health_pb2.HealthCheckResponse.SERVING)
            if not readiness.ready:
                await clock.sleep(_STORE_INTERVAL)


async def _leave(registry: Registry, readiness: Readiness, waiting: "asyncio.Task[None]") -> None:
    """Take nothing more, and give everything back, in a bounded time."""
    await cancelled(waiting)
    readiness.set(ready=False)
    await registry.drain()


def _levels(breaker: Breaker, gate: Gate, registry: Registry) -> Levels:
    return Levels(
        breaker_open=lambda: breaker.state is BreakerState.OPEN,
        breaker_trips=lambda: breaker.trips,
        dials_waiting=lambda: gate.waiting,
        dials_active=lambda: gate.active,
        replay_bytes=registry.replay_bytes,
        outbox_bytes=registry.outbox_bytes,
    )


def _calls(prometheus: CollectorRegistry) -> GrpcMetrics:
    """Of the calls that a relay makes: to the handle store, and to other relays."""
    store = handles_pb2.DESCRIPTOR.services_by_name["HandlesService"].full_name
    return GrpcMetrics(prometheus, "client", [store, control.SERVICE, replicas.SERVICE])


def _ask(settings: Settings) -> Ask | None:
    """Who summarises, if anybody does."""
    if not settings.summary_model:
        return None
    from services.relay.upstream.text_model import TextModel  # noqa: PLC0415 - only who wants summaries pays for it

    return TextModel(settings.summary_model, settings.api_key, settings.upstream_url, settings.upstream_ca).ask


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

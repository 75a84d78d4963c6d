"""The simulator as a process: wiring, and what the ready line says."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import grpc
from prometheus_client import CollectorRegistry

from filo.relay.v1 import relay_pb2, relay_pb2_grpc
from filo.simulator.v1 import simulator_pb2_grpc
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
    waiting,
)
from services.common.clock import Clock, SystemClock
from services.common.config import Address
from services.common.grpc_metrics import GrpcMetrics
from services.common.lifecycle import StartupError
from services.common.readiness import Readiness
from services.common.tracing import Tracer
from services.simulator import access, agent, creating, faultplan, manager, persona, store
from services.simulator import runs as all_runs
from services.simulator.account import Emulator
from services.simulator.config import Settings
from services.simulator.documents import DocumentError
from services.simulator.meeting import Tools
from services.simulator.metrics import Metrics
from services.simulator.runs import Runs
from services.simulator.servicer import SERVICE, SimulatorServicer
from services.simulator.textmodel import TextModel


@dataclass(frozen=True, slots=True)
class Running:
    """A simulator that serves.

    Attributes:
        address: Where its gRPC really listens.
        metrics_address: Where Prometheus really reads.
    """

    address: Address
    metrics_address: Address


@asynccontextmanager
async def running(
    settings: Settings, clock: Clock | None = None, registry: CollectorRegistry | None = None
) -> AsyncIterator[Running]:
    """Serve until the context is left; runs in progress are then handed over.

    Raises:
        StartupError: A port is in use, the database cannot be opened, or a shipped document cannot be used; NotYetError
            where the database may come.
    """
    registry, clock, readiness = registry or CollectorRegistry(), clock or SystemClock(), Readiness()
    _check_shipped()
    _make_directory(settings)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(process_metrics.watched(registry, "simulator"))
        kept = await stack.enter_async_context(store.opened(settings.database))
        tracer = await stack.enter_async_context(tracing_export.opened(settings.tracing, "simulator"))
        tools = _tools(settings, clock, registry, await stack.enter_async_context(_relay(settings, registry, tracer)))
        metrics_address = stack.enter_context(metrics.serving(registry, settings.metrics_address))
        runs = await stack.enter_async_context(all_runs.running(kept, tools, readiness))
        server = _serving(settings, runs, clock, registry=registry, readiness=readiness, tracer=tracer)
        address = await stack.enter_async_context(server)
        stack.callback(runs.close)  # before the server stops, so that watchers are told to come again
        yield Running(address, metrics_address)


def _relay(settings: Settings, registry: CollectorRegistry, tracer: Tracer | None) -> grpc.aio.Channel:
    calls = GrpcMetrics(registry, "client", [relay_pb2.DESCRIPTOR.services_by_name["RelayService"].full_name])
    return grpc_client.channel(settings.relay_control_address, "relay", settings.transport, calls, tracer)


def _tools(settings: Settings, clock: Clock, registry: CollectorRegistry, relay: grpc.aio.Channel) -> Tools:
    return Tools(
        settings=settings,
        clock=clock,
        relay=relay_pb2_grpc.RelayServiceStub(relay),
        metrics=Metrics(registry),
        emulator=Emulator(settings.emulator_url) if settings.emulator_url else None,
        text=TextModel(settings.api_key, settings.text_url, settings.text_ca) if settings.api_key else None,
    )


def _serving(
    settings: Settings,
    runs: Runs,
    clock: Clock,
    *,
    registry: CollectorRegistry,
    readiness: Readiness,
    tracer: Tracer | None,
) -> AbstractAsyncContextManager[Address]:
    """The gRPC server over the runs, for whoever may call it."""
    servicer, keys = SimulatorServicer(runs), api_keys.opened(settings.access)
    return grpc_server.serving(
        settings.address,
        [SERVICE],
        lambda server: simulator_pb2_grpc.add_SimulatorServiceServicer_to_server(servicer, server),
        transport=settings.transport,
        guard=callers.guard("simulator", access.TABLE, keys, encrypted=settings.transport.encrypted),
        wraps=creating.held_to_quotas(keys, clock, runs),
        grace=1.0,
        registry=registry,
        probes=settings.health_address,
        readiness=readiness,
        tracer=tracer,
    )


def main(environ: Mapping[str, str]) -> int:
    """Run the simulator until SIGTERM or SIGINT; return the exit code."""
    logs.configure(environ.get("FILO_LOG_LEVEL") or "INFO")

    def start() -> AbstractAsyncContextManager[str]:
        settings = Settings.from_env(environ)
        logs.configure(settings.log_level)
        return _described(settings)

    return lifecycle.run("simulator", start)


@asynccontextmanager
async def _described(settings: Settings) -> AsyncIterator[str]:
    async with waiting.started("simulator", SERVICE, settings.health_address, lambda: running(settings)) as serving:
        yield f"grpc {serving.address}, metrics http://{serving.metrics_address}/metrics"


def _check_shipped() -> None:
    """Documents that come with the simulator and cannot be used are told before a run asks for them."""
    try:
        for kind in (persona, agent, faultplan, manager):
            for name in kind.shipped():
                kind.load(name)
    except DocumentError as error:
        raise StartupError("; ".join(error.lines)) from error


def _make_directory(settings: Settings) -> None:
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StartupError(f"cannot make the data directory {settings.data_dir}: {error.strerror}") from error

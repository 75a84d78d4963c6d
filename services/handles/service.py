"""The process: settings, store, metrics and gRPC, wired together."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

import grpc
from prometheus_client import CollectorRegistry

from filo.handles.v1 import handles_pb2, handles_pb2_grpc
from services.common import grpc_server, lifecycle, logs, metrics, process_metrics, tracing_export, waiting
from services.common.clock import Clock, SystemClock
from services.common.config import Address, ConfigError
from services.handles import access, database, rotation
from services.handles.config import Settings
from services.handles.metrics import Metrics
from services.handles.servicer import HandlesServicer
from services.handles.sweeper import Sweeper

NAME: Final = "handles"
SERVICE: Final = handles_pb2.DESCRIPTOR.services_by_name["HandlesService"].full_name


class Running(NamedTuple):
    """A service that answers.

    Args:
        address: Where gRPC listens.
        metrics_address: Where Prometheus scrapes.
        settings: What it was started with.
    """

    address: Address
    metrics_address: Address
    settings: Settings

    def __str__(self) -> str:
        database = self.settings.shown_database
        return f"grpc {self.address}, metrics http://{self.metrics_address}/metrics, database {database}"


@asynccontextmanager
async def running(
    settings: Settings, *, clock: Clock | None = None, registry: CollectorRegistry | None = None
) -> AsyncIterator[Running]:
    """Run the service while the context is open.

    Args:
        settings: Where to listen, where to store.
        clock: Judges what has expired; the machine's own by default.
        registry: Where the metrics are registered; a new one by default.

    Raises:
        StartupError: A port, the database or the key file cannot be used.
    """
    clock = clock or SystemClock()
    registry = registry or CollectorRegistry()
    counts = Metrics(registry)
    async with database.opened(settings, committed=counts.commits.observe) as opened:
        servicer = HandlesServicer(opened.store, opened.digests, settings.rules, clock, counts)
        sweeper = Sweeper(opened.store, settings.rules, settings.retention, clock, counts)
        guard = access.guard(counts) if settings.transport.encrypted else None

        def register(server: grpc.aio.Server) -> None:
            handles_pb2_grpc.add_HandlesServiceServicer_to_server(servicer, server)

        async with tracing_export.opened(settings.tracing, NAME) as tracer:
            with metrics.serving(registry, settings.metrics_address) as metrics_address:
                serving = grpc_server.serving(
                    settings.address,
                    [SERVICE],
                    register,
                    transport=settings.transport,
                    guard=guard,
                    registry=registry,
                    probes=settings.health_address,
                    tracer=tracer,
                )
                async with (
                    process_metrics.watched(registry, NAME),
                    serving as address,
                    _beside(
                        sweeper.forever(settings.sweep_interval), rotation.follow(opened, settings.key_file, clock)
                    ),
                ):
                    yield Running(address, metrics_address, settings)


@asynccontextmanager
async def _beside(*tasks: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run what never ends while the context is open."""
    running = [asyncio.ensure_future(task) for task in tasks]
    try:
        yield
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def main(environ: Mapping[str, str]) -> int:
    """Run the service until SIGTERM or SIGINT.

    Returns:
        The process's exit code: 0 after a clean stop, 2 when it could not start.
    """
    try:
        settings = Settings.from_env(environ)
    except ConfigError as error:
        return lifecycle.refuse(NAME, *error.problems)
    logs.configure(settings.log_level)
    return lifecycle.run(NAME, lambda: _ready(settings))


@asynccontextmanager
async def _ready(settings: Settings) -> AsyncIterator[str]:
    async with waiting.started(NAME, SERVICE, settings.health_address, lambda: running(settings)) as serving:
        yield str(serving)

"""What every process tells of itself: what it runs, what it takes, and how late its event loop is."""

import asyncio
import importlib.metadata
import platform
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from prometheus_client import CollectorRegistry, Gauge, GCCollector, Histogram, ProcessCollector

INTERVAL: Final = 0.25
"""Seconds between two looks at the event loop."""

_LAGS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Process:
    """The series of a process.

    Args:
        registry: Of the service.
        service: Its name.
    """

    def __init__(self, registry: CollectorRegistry, service: str) -> None:
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)
        built = Gauge(
            "filo_build_info", "What runs here; always 1.", ("service", "version", "python"), registry=registry
        )
        built.labels(service, importlib.metadata.version("filo"), platform.python_version()).set(1)
        self._lag = Histogram(
            "filo_event_loop_lag_seconds",
            "How much later than asked for the event loop came back, measured four times a second.",
            buckets=_LAGS,
            registry=registry,
        )

    async def measure(self) -> None:
        """Measure the event loop's lag for ever. Safe to cancel."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + INTERVAL
            await asyncio.sleep(INTERVAL)
            self._lag.observe(max(0.0, loop.time() - due))


@asynccontextmanager
async def watched(registry: CollectorRegistry, service: str) -> AsyncIterator[None]:
    """Tell of this process in `registry` while the context is open.

    Args:
        registry: Of the service.
        service: Its name.
    """
    measuring = asyncio.create_task(Process(registry, service).measure())
    try:
        yield
    finally:
        measuring.cancel()
        await asyncio.wait([measuring])

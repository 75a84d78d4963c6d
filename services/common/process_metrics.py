"""What every process tells of itself: what it runs, what it takes, and how late its event loop is."""

import asyncio
import importlib.metadata
import platform
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from prometheus_client import CollectorRegistry, Gauge, GCCollector, Histogram, ProcessCollector

from services.common.lateness import INTERVAL, Lateness

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
            "How much later than asked for the event loop came back, measured ten times a second.",
            buckets=_LAGS,
            registry=registry,
        )

    async def measure(self, lateness: Lateness) -> None:
        """Measure the event loop's lag for ever. Safe to cancel.

        Args:
            lateness: Told of each look.
        """
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(INTERVAL)
            self._lag.observe(lateness.looked(loop.time()))


class Watched:
    """How late this process is, by its event loop's own time."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.lateness = Lateness(self._loop.time())

    def late(self, seconds: float) -> float:
        """How many of the last so many seconds this process was late; see `lateness.Late`."""
        now = self._loop.time()
        return self.lateness.since(now - seconds, now)

    def lag(self) -> float:
        """How much later than asked for the loop comes back these seconds, the mean."""
        return self.lateness.lag(self._loop.time())


@asynccontextmanager
async def watched(registry: CollectorRegistry, service: str) -> AsyncIterator[Watched]:
    """Tell of this process in `registry` while the context is open.

    Args:
        registry: Of the service.
        service: Its name.

    Yields:
        How late it is.
    """
    watch = Watched()
    measuring = asyncio.create_task(Process(registry, service).measure(watch.lateness))
    try:
        yield watch
    finally:
        measuring.cancel()
        await asyncio.wait([measuring])

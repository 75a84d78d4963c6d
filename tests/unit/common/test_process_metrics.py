"""What every process tells of itself."""

import asyncio
import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry

from services.common import process_metrics
from services.common.lateness import INTERVAL


def value(registry: CollectorRegistry, name: str) -> float:
    """A series without labels; 0 where there is none."""
    return registry.get_sample_value(name) or 0


async def until(reached: Callable[[], bool]) -> None:
    """Wait until it is so."""
    async with asyncio.timeout(10):
        while not reached():  # noqa: ASYNC110 - what is counted wakes nobody
            await asyncio.sleep(0.01)


async def test_process_build_and_event_loop() -> None:
    """Memory and CPU under the ecosystem's names, the version, and the loop's lag: a blocked loop shows."""
    registry = CollectorRegistry()
    async with process_metrics.watched(registry, "relay") as watched:
        (built,) = [family for family in registry.collect() if family.name == "filo_build_info"]
        (sample,) = built.samples
        assert sample.value == 1
        assert sample.labels["service"] == "relay"
        assert sample.labels["version"]
        assert value(registry, "process_resident_memory_bytes") > 1_000_000
        assert registry.get_sample_value("process_cpu_seconds_total") is not None
        await until(lambda: value(registry, "filo_event_loop_lag_seconds_count") > 0)
        time.sleep(INTERVAL + 0.3)  # noqa: ASYNC251 - what shall be seen
        await until(lambda: value(registry, "filo_event_loop_lag_seconds_sum") > 0.2)
        assert watched.late(INTERVAL + 5.0) > 0.2
        assert watched.lag() > 0.0

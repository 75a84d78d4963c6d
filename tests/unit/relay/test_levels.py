"""Levels are read when Prometheus asks, not when they change."""

import asyncio
from dataclasses import replace

from prometheus_client import CollectorRegistry

from services.relay.levels import Levels, LevelsCollector
from services.relay.upstream.breaker import Breaker, BreakerPolicy, BreakerState
from services.relay.upstream.gate import Gate, Purpose, Ticket
from tests.support.clock import ManualClock

NOTHING = Levels(
    breaker_open=lambda: False,
    breaker_trips=lambda: 0,
    dials_waiting=lambda: 0,
    dials_active=lambda: 0,
    replay_bytes=lambda: 0,
    outbox_bytes=lambda: 0,
)


def test_each_level_is_read_at_each_scrape() -> None:
    """Bytes of the buffers as they are now."""
    held = [0]
    registry = CollectorRegistry()
    LevelsCollector(registry, replace(NOTHING, replay_bytes=lambda: held[0], outbox_bytes=lambda: 2 * held[0]))
    for size in (0, 640, 64):
        held[0] = size
        assert registry.get_sample_value("filo_relay_replay_bytes") == size
        assert registry.get_sample_value("filo_relay_outbox_bytes") == 2 * size


async def test_the_breaker_shows() -> None:
    """Open or not, how often it has opened, how many dials wait."""
    clock = ManualClock()
    breaker = Breaker(BreakerPolicy(failures=2, probe_interval=10.0))
    gate = Gate(breaker, clock)
    registry = CollectorRegistry()
    LevelsCollector(
        registry,
        replace(
            NOTHING,
            breaker_open=lambda: breaker.state is BreakerState.OPEN,
            breaker_trips=lambda: breaker.trips,
            dials_waiting=lambda: gate.waiting,
            dials_active=lambda: gate.active,
        ),
    )

    def shown() -> list[float | None]:
        names = ("breaker_open", "breaker_trips_total", "dials_waiting", "dials_active")
        return [registry.get_sample_value(f"filo_relay_{name}") for name in names]

    async def dial() -> None:
        async with gate.passage(Ticket(0.0, Purpose.OPEN)):
            await asyncio.Event().wait()

    assert shown() == [0, 0, 0, 0]
    for _ in range(3):
        gate.dialled(reached=False)
    assert shown() == [1, 1, 0, 0], "it opens once"
    dials = [asyncio.create_task(dial()) for _ in range(3)]
    await asyncio.sleep(0)
    assert shown() == [1, 1, 2, 1]
    for task in dials:
        task.cancel()
    await asyncio.wait(dials)
    gate.dialled(reached=True)
    assert shown() == [0, 1, 0, 0], "who has given up does not wait"
    for _ in range(2):
        gate.dialled(reached=False)
    assert shown() == [1, 2, 0, 0]

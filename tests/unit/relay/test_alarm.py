"""An alarm rings at its moment, however often it was moved."""

import asyncio

from services.common.clock import SystemClock
from services.relay.alarm import Alarm
from services.relay.upstream.inputs import cancelled


class Scene:
    """An alarm that is kept, and when it rang."""

    def __init__(self) -> None:
        self.clock = SystemClock()
        self.began = self.clock.monotonic()
        self.rung: list[float] = []
        self.rang = asyncio.Event()
        self.alarm = Alarm(self.clock, self._ring)

    def _ring(self) -> None:
        self.rung.append(self.clock.monotonic() - self.began)
        self.alarm.set(None)
        self.rang.set()

    async def until_it_rings(self) -> float:
        """Keep it until it rings; gives when it did."""
        keeping = asyncio.create_task(self.alarm.keep())
        try:
            async with asyncio.timeout(10):
                await self.rang.wait()
        finally:
            await cancelled(keeping)
        return self.rung[0]


async def test_it_rings_at_the_moment() -> None:
    """Not before; and not again once there is none."""
    scene = Scene()
    scene.alarm.set(scene.began + 0.05)
    assert await scene.until_it_rings() >= 0.05
    assert len(scene.rung) == 1


async def test_a_later_moment_counts_although_the_timer_was_set_to_the_earlier_one() -> None:
    """It goes off early, and is set again without ringing."""
    scene = Scene()
    scene.alarm.set(scene.began + 0.02)
    asyncio.get_running_loop().call_later(0.005, scene.alarm.set, scene.began + 0.08)
    assert await scene.until_it_rings() >= 0.08


async def test_a_sooner_moment_disturbs_it() -> None:
    """Whether it waited for a later one, or for none."""
    for before in (None, 3600.0):
        scene = Scene()
        scene.alarm.set(None if before is None else scene.began + before)
        asyncio.get_running_loop().call_later(0.005, scene.alarm.set, scene.began + 0.02)
        assert 0.02 <= await scene.until_it_rings() < 10


async def test_it_rings_until_it_is_moved() -> None:
    """What does not move its deadline is asked again."""
    clock = SystemClock()
    rung = 0
    enough = asyncio.Event()

    def ring() -> None:
        nonlocal rung
        rung += 1
        if rung == 3:
            enough.set()

    alarm = Alarm(clock, ring)
    alarm.set(clock.monotonic())
    keeping = asyncio.create_task(alarm.keep())
    async with asyncio.timeout(10):
        await enough.wait()
    await cancelled(keeping)

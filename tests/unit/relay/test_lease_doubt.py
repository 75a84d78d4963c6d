"""The lease of a conversation: when it is doubted, and who waits for what."""

import asyncio
from typing import Self, cast

from services.relay.heartbeat import Heartbeat
from services.relay.lease import HEARTBEATS, Lease
from tests.support.clock import ManualClock

INTERVAL = 2.0


class Store:
    """Answers when it is let."""

    def __init__(self) -> None:
        self.asked = 0
        self.answer = True
        self.there = asyncio.Event()
        self.there.set()

    async def beat(self) -> bool:
        """Say whether the conversation is still ours."""
        self.asked += 1
        await self.there.wait()
        return self.answer


class Scene:
    """A lease that is kept."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store = Store()
        self.after = 0
        self.lease = Lease("conversations/1", cast("Heartbeat", self.store), INTERVAL, self.clock)

    async def __aenter__(self) -> Self:
        def count() -> None:
            self.after += 1

        self._keeping = asyncio.create_task(self.lease.keep(count))
        await settle()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._keeping.cancel()
        await asyncio.wait([self._keeping])


async def settle() -> None:
    """Let everybody do what they can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_it_is_confirmed_from_time_to_time() -> None:
    """Once an interval; then nobody has to wait."""
    async with Scene() as scene:
        for beats in range(1, 4):
            scene.clock.advance(INTERVAL)
            await settle()
            assert (scene.store.asked, scene.after) == (beats, beats)
            assert not scene.lease.in_doubt
            assert await scene.lease.sure()


async def test_after_a_pause_whoever_would_send_waits_for_the_store() -> None:
    """The process did not know how much time had passed."""
    async with Scene() as scene:
        scene.store.there.clear()
        scene.clock.jump(HEARTBEATS * INTERVAL + 0.1)
        assert scene.lease.in_doubt
        waiting = asyncio.create_task(scene.lease.sure())
        await settle()
        assert (scene.store.asked, waiting.done()) == (1, False)
        scene.store.there.set()
        assert await asyncio.wait_for(waiting, 1.0)
        assert not scene.lease.in_doubt


async def test_who_has_lost_it_sends_nothing_more() -> None:
    """The store says that another relay has the conversation."""
    async with Scene() as scene:
        scene.store.answer = False
        scene.clock.jump(HEARTBEATS * INTERVAL + 0.1)
        assert not await asyncio.wait_for(scene.lease.sure(), 1.0)
        assert scene.lease.in_doubt
        assert not await scene.lease.sure()


async def test_an_answer_from_before_a_pause_settles_nothing() -> None:
    """The process was paused while it asked, and another relay may have taken the conversation since."""
    async with Scene() as scene:
        scene.store.there.clear()
        scene.clock.advance(INTERVAL)
        await settle()
        scene.clock.jump(HEARTBEATS * INTERVAL + 0.1)
        scene.store.there.set()
        await settle()
        assert scene.store.asked == 2
        assert not scene.lease.in_doubt

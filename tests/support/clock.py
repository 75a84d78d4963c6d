"""A clock that tests move by hand."""

import asyncio
import heapq
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Final

_START: Final = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


class ManualClock:
    """Time passes only when a test says so; see `services.common.clock.Clock`.

    Args:
        start: What `now` says first.
    """

    def __init__(self, start: datetime = _START) -> None:
        self._now = start
        self._monotonic = 0.0
        self._order = count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        """The present moment, in UTC."""
        return self._now

    def monotonic(self) -> float:
        """Seconds since the clock was made."""
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock was moved that far. Safe to cancel."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._monotonic + seconds, next(self._order), woken))
        await woken

    @property
    def sleepers(self) -> int:
        """How many wait for the clock to be moved."""
        return sum(not woken.done() for _, _, woken in self._sleepers)

    def advance(self, seconds: float) -> None:
        """Let time pass, and wake whoever has slept long enough, in order."""
        self._monotonic += seconds
        self._now += timedelta(seconds=seconds)
        while self._sleepers and self._sleepers[0][0] <= self._monotonic:
            _, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)

    def jump(self, seconds: float) -> None:
        """Let time pass without waking anybody yet: a process that was paused goes on."""
        self._monotonic += seconds
        self._now += timedelta(seconds=seconds)

    def turn_back(self, seconds: float) -> None:
        """Let the wall clock jump back, as an operator or NTP may; the monotonic reading does not."""
        self._now -= timedelta(seconds=seconds)

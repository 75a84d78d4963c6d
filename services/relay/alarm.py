"""Rings at a moment that is moved all the time.

Nearly every event moves a conversation's deadline, nearly always to a later time. The timer is left as it is then: it
goes off at the old moment, sees that there is a new one, and is set again. Only a sooner moment disturbs it.
"""

import asyncio
import contextlib
from collections.abc import Callable

from services.common.clock import Clock


class Alarm:
    """One deadline.

    Args:
        clock: Tells the time.
        ring: Called when the moment has come, and again and again until it is moved.
    """

    def __init__(self, clock: Clock, ring: Callable[[], None]) -> None:
        self._clock = clock
        self._ring = ring
        self._wanted: float | None = None
        self._armed: float | None = None
        self._sooner = asyncio.Event()

    def set(self, moment: float | None) -> None:
        """Ring at this moment, monotonic seconds, and at no other; None for never."""
        self._wanted = moment
        if moment is not None and (self._armed is None or moment < self._armed):
            self._sooner.set()

    async def keep(self) -> None:
        """Ring whenever it is time. Runs until it is cancelled."""
        while True:
            self._sooner.clear()
            armed = self._armed = self._wanted
            left = None if armed is None else max(0.0, armed - self._clock.monotonic())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._sooner.wait()
                continue
            if self._wanted is not None and (self._wanted == armed or self._clock.monotonic() >= self._wanted):
                self._ring()

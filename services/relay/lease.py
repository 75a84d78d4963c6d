"""This relay's hold on one conversation: kept alive, and doubted when nothing has been heard of it for too long.

Another relay may take the conversation at any time; the epoch sees to it that nothing is stored twice. Who is fenced
learns it from the next heartbeat or checkpoint, and stops. But a process that was paused past its lease does not know
how much time has passed, and what waits in its sockets would be sent before the next heartbeat. So whoever is about to
send asks first whether the lease is in doubt, and if it is, waits until the store has answered. A store that does not
answer settles a doubt too: a live conversation does not end because the store is away.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from services.common.clock import Clock
from services.relay.heartbeat import Heartbeat

HEARTBEATS: Final = 3
"""So many intervals without a word from the store, and without an attempt to get one, are a lease that has run out."""
_SHORTEST_WAIT: Final = 1.0
"""Seconds that the store has to answer, however short the interval is."""


class Lease:
    """The lease of one conversation.

    Args:
        name: The conversation.
        heartbeat: Asks the store.
        interval: Seconds between two heartbeats.
        clock: For the waits; monotonic.
    """

    def __init__(self, name: str, heartbeat: Heartbeat, interval: float, clock: Clock) -> None:
        self.name = name
        self._heartbeat = heartbeat
        self._interval = interval
        self._clock = clock
        self._asked_at = clock.monotonic()
        self._lost = False
        self._wanted = asyncio.Event()
        self._asked = asyncio.Condition()

    @property
    def in_doubt(self) -> bool:
        """Whether the store must be asked before anything is sent."""
        return self._lost or self._clock.monotonic() - self._asked_at > HEARTBEATS * self._interval

    async def keep(self, also: Callable[[], None]) -> None:
        """Heartbeat until cancelled.

        Args:
            also: Called after each.
        """
        while True:
            await self._pause()
            await self.confirm()
            also()

    async def _pause(self) -> None:
        """An interval; less when somebody waits for an answer."""
        sleeping = asyncio.ensure_future(self._clock.sleep(self._interval))
        waiting = asyncio.ensure_future(self._wanted.wait())
        try:
            await asyncio.wait((sleeping, waiting), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            waiting.cancel()
        self._wanted.clear()

    async def confirm(self) -> None:
        """Ask the store now, and again where the process was paused meanwhile: what it said is old. Safe to cancel."""
        patience = max(_SHORTEST_WAIT, self._interval)
        paused = True
        while paused and not self._lost:
            began = self._clock.monotonic()
            with suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    self._lost |= not await self._heartbeat.beat()
            paused = self._clock.monotonic() - began > HEARTBEATS * patience
        self._asked_at = self._clock.monotonic()
        async with self._asked:
            self._asked.notify_all()

    async def sure(self) -> bool:
        """Wait until there is no doubt. Safe to cancel.

        Returns:
            Whether the conversation is still this relay's, as far as anybody can tell.
        """
        while self.in_doubt and not self._lost:
            self._wanted.set()
            async with self._asked:
                await self._asked.wait()
        return not self._lost

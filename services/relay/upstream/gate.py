"""The gate that every dial of a relay passes: so many at once, the one that is wanted soonest first.

A handshake is processor time, and a relay has one core: a thousand conversations that dial in the same moment would
all be too late. So a few dial and the others wait, and waiting here is nobody's failure. Each dial says by when it is
wanted (`core.rotation` has the rules): a conversation without a connection now, one whose connection still works by
the time it must be replaced. So nobody waits for ever, and what can wait does. The breaker says how many go a second.
"""

import asyncio
import heapq
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from enum import StrEnum
from itertools import count

from services.common.clock import Clock
from services.relay.upstream.breaker import Breaker


class Purpose(StrEnum):
    """What a dial is for."""

    OPEN = "open"
    """A conversation that has no connection."""
    STANDBY = "standby"
    """The next connection of one whose own still works."""


class Ticket:
    """One dial's place in the queue.

    Args:
        wanted_by: Until when it should be made, monotonic seconds; the soonest goes first.
        purpose: What it is for.

    Attributes:
        hurried: Told when it is wanted sooner, while it waits.
        wake: Set when it may go, or has to sleep for all who wait.
        since: When it began to wait.
        pause: Seconds to sleep before another look.
        granted: It may go.
    """

    def __init__(self, wanted_by: float, purpose: Purpose) -> None:
        self.wanted_by = wanted_by
        self.purpose = purpose
        self.hurried: Callable[[], None] | None = None
        self.wake = asyncio.Event()
        self.since = 0.0
        self.pause = 0.0
        self.granted = False

    def hurry(self, wanted_by: float) -> None:
        """It is wanted sooner than it was."""
        if wanted_by < self.wanted_by:
            self.wanted_by = wanted_by
            if self.hurried is not None:
                self.hurried()


class Gate:
    """Holds dials back until it is their turn and the breaker lets them go.

    Args:
        breaker: Says how many go in a second.
        clock: Tells the time.
        most: So many at once.
        waited: Told how many seconds a dial has waited, and what it was for.

    Attributes:
        active: Dials that are being made.
    """

    def __init__(
        self,
        breaker: Breaker,
        clock: Clock,
        most: int = 16,
        waited: Callable[[Purpose, float], None] = lambda _purpose, _seconds: None,
    ) -> None:
        self._breaker = breaker
        self._clock = clock
        self._most = most
        self._waited = waited
        self._numbers = count()
        self._queue: list[tuple[float, int, Ticket]] = []
        self._places: dict[Ticket, int] = {}
        self.active = 0

    @property
    def waiting(self) -> int:
        """How many dials wait; may be asked from another thread."""
        return len(self._places)

    @asynccontextmanager
    async def passage(self, ticket: Ticket) -> AsyncIterator[Callable[[], None]]:
        """Wait for a turn, and dial in the context. Safe to cancel.

        Yields:
            Ends the turn before the context does; what follows then is no handshake.
        """
        began = self._clock.monotonic()
        await self._turn(ticket)
        self._waited(ticket.purpose, self._clock.monotonic() - began)
        over = False

        def done() -> None:
            nonlocal over
            if not over:
                over = True
                self.active -= 1
                self._let_go()

        try:
            yield done
        finally:
            done()

    def dialled(self, *, reached: bool) -> None:
        """Tell how a dial went."""
        if reached:
            self._breaker.succeeded(self._clock.monotonic())
        else:
            self._breaker.failed()

    async def _turn(self, ticket: Ticket) -> None:
        """Wait until it is its turn. The first of those who wait sleeps for all of them where the breaker says so."""
        ticket.since, ticket.granted, ticket.pause = self._clock.monotonic(), False, 0.0
        self._places[ticket] = next(self._numbers)
        ticket.hurried = lambda: self._queued(ticket)
        self._queued(ticket)
        try:
            while not ticket.granted:
                if ticket.pause > 0:
                    pause, ticket.pause = ticket.pause, 0.0
                    await self._clock.sleep(pause)
                    self._let_go()
                else:
                    ticket.wake.clear()
                    await ticket.wake.wait()
        except asyncio.CancelledError:
            self.active -= ticket.granted
            self._places.pop(ticket, None)
            self._let_go()
            raise

    def _queued(self, ticket: Ticket) -> None:
        heapq.heappush(self._queue, (ticket.wanted_by, self._places[ticket], ticket))
        self._let_go()

    def _first(self) -> Ticket | None:
        while self._queue:
            wanted_by, place, ticket = self._queue[0]
            if self._places.get(ticket) == place and ticket.wanted_by == wanted_by:
                return ticket
            heapq.heappop(self._queue)
        return None

    def _let_go(self) -> None:
        """Let all go that may, at once: on a loop that is late, one after another would be a few in a second."""
        while self.active < self._most and (first := self._first()) is not None:
            pause = self._breaker.wait(self._clock.monotonic(), first.since)
            if pause > 0:
                first.pause = pause
            else:
                first.granted, first.hurried = True, None
                del self._places[first]
                self.active += 1
            first.wake.set()
            if pause > 0:
                return

"""How late this process is: what it took too long to notice is not anybody else's fault.

An event loop that has more to do than its core can do comes back late from everything it waits for: a handshake needs a
dozen of such returns, and a pong may lie in the socket for seconds before it is read. Whoever judges another by the
time that has passed takes off what this process itself was late in it.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

INTERVAL: Final = 0.1
"""Seconds between two looks at the event loop."""
_KEPT: Final = 300.0
"""Seconds for which lateness is remembered; nothing is judged by more."""
_WINDOW: Final = 10.0
"""Seconds over which `Lateness.lag` is a mean."""
_NOISE: Final = 0.25
"""Seconds that any process may be late."""
_NOTABLE: Final = 0.01
"""Seconds; less is a timer's own precision."""

Late = Callable[[float], float]
"""How many of the last so many seconds this process was late, as far as it has looked."""


class Lateness:
    """What looks at even intervals have found; pure but for the time it is given.

    Args:
        now: Monotonic seconds, like every later ``now``; the first look is due an `INTERVAL` later.
    """

    def __init__(self, now: float) -> None:
        self._due = now + INTERVAL
        self._found: deque[tuple[float, float]] = deque()

    def looked(self, now: float) -> float:
        """A look was taken; gives how many seconds later than it was due."""
        late = max(0.0, now - self._due)
        if late >= _NOTABLE:
            self._found.append((now, late))
        while self._found and self._found[0][0] < now - _KEPT:
            self._found.popleft()
        self._due = now + INTERVAL
        return late

    def since(self, begin: float, now: float) -> float:
        """Seconds since a moment in which a look was due and not taken; also one that is due still."""
        late = max(0.0, now - max(self._due, begin))
        for at, found in reversed(self._found):
            if at <= begin:
                break
            late += min(found, at - begin)
        return late

    def lag(self, now: float) -> float:
        """How much later than asked for the loop came back in the last seconds: the mean."""
        share = self.since(now - _WINDOW, now) / _WINDOW
        return INTERVAL * share / max(1.0 - share, _NOTABLE)


def forgivable(lasted: float, late: float) -> bool:
    """Whether what ran out of time, or was cut, may have failed for this process's own lateness.

    Args:
        lasted: How many seconds it was tried.
        late: How many of them this process was late.
    """
    return late >= max(_NOISE, lasted / 4)


class Overload:
    """Whether a process has more to do than it can: it comes on at a limit, and goes off well below it.

    Args:
        limit: Seconds of lag; 0 for never.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._on = False

    def look(self, lag: float) -> bool:
        """Whether it is overloaded with this lag."""
        self._on = bool(self._limit) and lag >= (self._limit / 2 if self._on else self._limit)
        return self._on


@asynccontextmanager
async def patience(seconds: float, late: Late) -> AsyncIterator[None]:
    """Bound what is done in the context, by time in which this process was not late.

    Args:
        seconds: How many.
        late: How late it was.

    Raises:
        TimeoutError: So many have passed.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    bound = asyncio.timeout(None)
    timer: asyncio.TimerHandle

    def look() -> None:
        nonlocal timer
        passed = loop.time() - began
        left = seconds - passed + late(passed)
        if left > 0:
            timer = loop.call_later(left, look)
        else:
            bound.reschedule(loop.time())

    timer = loop.call_later(seconds, look)
    try:
        async with bound:
            yield
    finally:
        timer.cancel()

"""The time, injected.

UTC is for what is stored or shown; the monotonic reading is for durations and deadlines, and means nothing outside
this process. Nothing in Filo calls ``time`` or ``datetime.now`` by itself: it is given a `Clock`, so tests decide what
time it is.
"""

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What tells the time and lets it pass."""

    def now(self) -> datetime:
        """The present moment, timezone-aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary point; never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Let that many seconds pass; at once when it is zero or less. Safe to cancel."""
        ...


class SystemClock:
    """The machine's own time."""

    def now(self) -> datetime:
        """The present moment, timezone-aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds from an arbitrary point; never goes back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Let that many seconds pass; at once when it is zero or less. Safe to cancel."""
        await asyncio.sleep(max(0.0, seconds))

"""A numbered log that one reader follows and another may take up again: the delivery rule's one piece of code.

*Keep what is not yet covered; after a reconnect send it again, in order, once.* It holds the relay's messages until a
client that comes back can no longer miss them. The client's inputs are kept by the same rules, packed, in
`upstream.reel`.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Generic, TypeVar

from msgspec import Struct

T = TypeVar("T")


class _Entry(Struct, Generic[T], gc=False):
    """Nothing for the garbage collector: there are hundreds of thousands, and none is in a cycle."""

    item: T | None
    weight: int


class Log(Generic[T]):
    """Items with consecutive positions from 1.

    Forgetting takes items from the front. Trimming, when the log grows too heavy, takes the oldest items that have a
    weight and leaves a hole, so that an item without weight (a typed word among audio) is never lost.

    Attributes:
        weight: Of what is held.
    """

    def __init__(self) -> None:
        self._entries: deque[_Entry[T]] = deque()
        self._first = 1
        self.weight = 0
        self._changed = asyncio.Event()

    @property
    def last(self) -> int:
        """The position of the newest item ever appended; 0 before the first."""
        return self._first + len(self._entries) - 1

    def append(self, item: T, weight: int = 0) -> int:
        """Add an item; whoever waits is not woken by it.

        Args:
            item: What to hold.
            weight: Its size in bytes if it may be trimmed; 0 if it must be kept.

        Returns:
            Its position.
        """
        self._entries.append(_Entry(item, weight))
        self.weight += weight
        return self._first + len(self._entries) - 1

    def after(self, position: int) -> tuple[int, T] | None:
        """The first item held after a position, or None."""
        for index in range(max(0, position + 1 - self._first), len(self._entries)):
            item = self._entries[index].item
            if item is not None:
                return self._first + index, item
        return None

    def items(self, after: int) -> Iterator[tuple[int, T]]:
        """Every item held after a position, with its own, in order; the log must not change meanwhile."""
        skipped = max(0, after + 1 - self._first)
        for index, entry in enumerate(islice(self._entries, skipped, None), start=self._first + skipped):
            if entry.item is not None:
                yield index, entry.item

    def forget(self, through: int) -> None:
        """Drop every item up to and with this position."""
        while self._entries and self._first <= through:
            self._drop_first()

    def trim(self, heaviest: int, through: int | None = None) -> int:
        """Drop the oldest items that have a weight until the log is light enough.

        Args:
            heaviest: The weight that may remain.
            through: Only items up to this position; None for all.

        Returns:
            How many were dropped.
        """
        dropped = 0
        end = len(self._entries) if through is None else min(len(self._entries), through + 1 - self._first)
        for index in range(end):
            if self.weight <= heaviest:
                break
            entry = self._entries[index]
            if entry.weight:
                self.weight -= entry.weight
                entry.item, entry.weight = None, 0
                dropped += 1
        while self._entries and self._entries[0].item is None:
            self._drop_first()
        return dropped

    def wake(self) -> None:
        """Make `wait` return: there is something to look at."""
        self._changed.set()

    async def wait(self) -> None:
        """Wait for `wake`. One waiter at a time. Safe to cancel."""
        self._changed.clear()
        await self._changed.wait()

    def _drop_first(self) -> None:
        self.weight -= self._entries.popleft().weight
        self._first += 1

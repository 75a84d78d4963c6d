"""A numbered log that one reader follows and another may take up again: the delivery rule's one piece of code.

*Keep what is not yet covered; after a reconnect send it again, in order, once.* It holds the relay's messages until a
client that comes back can no longer miss them. The client's inputs are kept by the same rules, packed, in
`upstream.reel`.
"""

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from operator import attrgetter
from typing import Final, Generic, TypeVar

from msgspec import Struct

T = TypeVar("T")


class _Entry(Struct, Generic[T], gc=False):
    """Nothing for the garbage collector: there are hundreds of thousands, and none is in a cycle."""

    position: int
    item: T
    weight: int


_POSITION: Final = attrgetter("position")


class Log(Generic[T]):
    """Items with consecutive positions from 1.

    Forgetting takes items from the front. Trimming, when the log grows too heavy, takes the oldest items that have a
    weight, so that an item without weight is never lost; thinning takes the oldest that are expendable.

    Args:
        expendable: The type of the items that thinning may take.

    Attributes:
        last: The position of the newest item ever appended; 0 before the first.
        weight: Of what is held.
    """

    def __init__(self, expendable: type | tuple[()] = ()) -> None:
        self._entries: deque[_Entry[T]] = deque()
        self._expendable = expendable
        self._thinned = 0
        self.last = 0
        self.weight = 0
        self._changed = asyncio.Event()

    def append(self, item: T, weight: int = 0) -> int:
        """Add an item; whoever waits is not woken by it.

        Args:
            item: What to hold.
            weight: Its size in bytes if it may be trimmed; 0 if it must be kept.

        Returns:
            Its position.
        """
        self.last += 1
        self._entries.append(_Entry(self.last, item, weight))
        self.weight += weight
        return self.last

    def after(self, position: int) -> tuple[int, T] | None:
        """The first item held after a position, or None."""
        entries = self._entries
        size = len(entries)
        index = size - self.last + position  # where it is if nothing was taken from behind it, else further on
        index = max(index, 0)
        if index < size and entries[index].position <= position:
            index = bisect_right(entries, position, index, key=_POSITION)
        if index >= size:
            return None
        entry = entries[index]
        return entry.position, entry.item

    def items(self, after: int) -> Iterator[tuple[int, T]]:
        """Every item held after a position, with its own, in order; the log must not change meanwhile."""
        return ((entry.position, entry.item) for entry in self._entries if entry.position > after)

    def forget(self, through: int) -> None:
        """Drop every item up to and with this position."""
        while self._entries and self._entries[0].position <= through:
            self.weight -= self._entries.popleft().weight

    def trim(self, heaviest: int, through: int | None = None) -> int:
        """Drop the oldest items that have a weight until the log is light enough.

        Args:
            heaviest: The weight that may remain.
            through: Only items up to this position; None for all.

        Returns:
            How many were dropped.
        """
        entries, end, index = self._entries, self.last if through is None else through, 0
        before = held = len(entries)
        while self.weight > heaviest and index < held and entries[index].position <= end:
            if weight := entries[index].weight:
                self.weight -= weight
                del entries[index]
                held -= 1
            else:
                index += 1
        return before - held

    def thin(self, heaviest: int) -> int:
        """Drop the oldest expendable items until the log is light enough, or holds no more of them.

        Args:
            heaviest: The weight that may remain.

        Returns:
            How many were dropped.
        """
        entries = self._entries
        index = bisect_right(entries, self._thinned, key=_POSITION)  # before this there are none
        before = held = len(entries)
        while self.weight > heaviest and index < held:
            entry = entries[index]
            self._thinned = entry.position
            if isinstance(entry.item, self._expendable):
                self.weight -= entry.weight
                del entries[index]
                held -= 1
            else:
                index += 1
        return before - held

    def wake(self) -> None:
        """Make `wait` return: there is something to look at."""
        self._changed.set()

    async def wait(self) -> None:
        """Wait for `wake`. One waiter at a time. Safe to cancel."""
        self._changed.clear()
        await self._changed.wait()

"""What a session has promised to do, and when."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")
Step = Callable[[float], None]
"""What sessions plan: it is told the time it was planned for."""


@dataclass(order=True, slots=True)
class _Entry(Generic[T]):
    due: float
    order: int
    step: T = field(compare=False)
    group: object = field(compare=False)
    cancelled: bool = field(default=False, compare=False)


class Agenda(Generic[T]):
    """Steps in order of their time; of those due at the same time, the one planned first comes first."""

    def __init__(self) -> None:
        """Plan nothing."""
        self._heap: list[_Entry[T]] = []
        self._order = 0

    def at(self, due: float, step: T, group: object = None) -> None:
        """Plan `step` for the time `due`; a whole `group` can be cancelled."""
        heapq.heappush(self._heap, _Entry(due, self._order, step, group))
        self._order += 1

    def cancel(self, group: object) -> list[T]:
        """Forget the steps of a group; return them in their order."""
        cancelled = sorted(entry for entry in self._heap if entry.group == group and not entry.cancelled)
        for entry in cancelled:
            entry.cancelled = True
        return [entry.step for entry in cancelled]

    @property
    def due(self) -> float | None:
        """When the next step is due; None while nothing is planned."""
        while self._heap and self._heap[0].cancelled:
            heapq.heappop(self._heap)
        return self._heap[0].due if self._heap else None

    def pop(self, now: float) -> tuple[float, T] | None:
        """The first step that is due at `now`, with the time it was planned for; None if there is none."""
        if (due := self.due) is None or due > now:
            return None
        return due, heapq.heappop(self._heap).step

"""What happens in one run, in order: numbered, stored, then shown to whoever watches.

A watcher sees an event only after it is stored, so what was seen is never taken back, not even by the death of the
process.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final

from filo.simulator.v1 import simulator_pb2 as pb
from services.common.clock import Clock
from services.simulator.record import Record

Payload = (
    pb.Started
    | pb.ProspectSaid
    | pb.AgentSaid
    | pb.TokensCounted
    | pb.Expiring
    | pb.RotationMark
    | pb.Disconnected
    | pb.Reconnecting
    | pb.ReconnectMark
    | pb.Restarted
    | pb.Finished
)

FIELDS: Final[dict[type[Payload], str]] = {
    pb.Started: "started",
    pb.ProspectSaid: "prospect_said",
    pb.AgentSaid: "agent_said",
    pb.TokensCounted: "tokens_counted",
    pb.Expiring: "expiring",
    pb.RotationMark: "rotated",
    pb.Disconnected: "disconnected",
    pb.Reconnecting: "reconnecting",
    pb.ReconnectMark: "reconnected",
    pb.Restarted: "restarted",
    pb.Finished: "finished",
}
"""Which field of an event holds which payload."""

Store = Callable[[Sequence[pb.WatchRunResponse]], Awaitable[None]]


def event(sequence: int, clock: Clock, turn: int, payload: Payload) -> pb.WatchRunResponse:
    """An event that happens now."""
    made = pb.WatchRunResponse(sequence=sequence, turn=turn)
    made.time.FromDatetime(clock.now())
    getattr(made, FIELDS[type(payload)]).CopyFrom(payload)
    return made


class Journal:
    """The events of a run in progress, and the record they add up to.

    Args:
        clock: The time.
        store: Stores events; called with each batch in order.
    """

    def __init__(self, clock: Clock, store: Store) -> None:
        self.record = Record()
        self._clock = clock
        self._store = store
        self._events: list[pb.WatchRunResponse] = []
        self._stored = 0
        self._closed = False
        self._kept = False
        self._changed = asyncio.Condition()
        self._added = asyncio.Event()

    @property
    def events(self) -> Sequence[pb.WatchRunResponse]:
        """Everything that has happened, stored or not yet."""
        return self._events

    def add(self, payload: Payload, *, turn: int | None = None) -> None:
        """Something has happened, in the turn in progress unless it is said which."""
        at = len(self.record.turns) if turn is None else turn
        made = event(len(self._events) + 1, self._clock, at, payload)
        self._events.append(made)
        self.record.apply(made)
        self._added.set()

    async def keep(self) -> None:
        """Store events as they come, until the journal is closed and everything is stored. Safe to cancel."""
        try:
            while not self._closed or self._stored < len(self._events):
                await self._added.wait()
                self._added.clear()
                batch = self._events[self._stored :]
                if batch:
                    await self._store(batch)
                await self._publish(len(batch))
        finally:
            self._kept = True
            await self._publish(0)

    def close(self) -> None:
        """Nothing more will happen."""
        self._closed = True
        self._added.set()

    async def watch(self, after: int) -> AsyncIterator[pb.WatchRunResponse]:
        """Every event after number `after`, as soon as it is stored; ends when nothing more will be."""
        at = after
        while True:
            async with self._changed:
                while self._stored <= at and not self._kept:
                    await self._changed.wait()
            batch = self._events[at : self._stored]
            if not batch:
                return
            for made in batch:
                yield made
            at += len(batch)

    async def _publish(self, count: int) -> None:
        async with self._changed:
            self._stored += count
            self._changed.notify_all()

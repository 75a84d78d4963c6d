"""What happens in one run, in order: numbered, stored, then shown to whoever watches.

A watcher sees an event only after it is stored, so what was seen is never taken back, not even by the death of the
process.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final

from filo.simulator.v1 import simulator_pb2 as pb
from services.common.clock import Clock
from services.simulator.record import recall

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
    | pb.FaultMark
    | pb.TakeoverMark
    | pb.Advice
    | pb.Answering
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
    pb.FaultMark: "fault_struck",
    pb.TakeoverMark: "taken_over",
    pb.Advice: "advised",
    pb.Answering: "answering",
}
"""Which field of an event holds which payload."""

Append = Callable[[Sequence[pb.WatchRunResponse]], Awaitable[None]]
"""Stores events."""


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
        store: Appends events; called with each batch in order.
        past: What is stored already, of a run that another process began.
    """

    def __init__(self, clock: Clock, store: Append, past: Sequence[pb.WatchRunResponse] = ()) -> None:
        self.record = recall(past)
        self._clock = clock
        self._store = store
        self._events: list[pb.WatchRunResponse] = list(past)
        self._stored = len(past)
        self._closed = False
        self._kept = False
        self._changed = asyncio.Condition()
        self._added = asyncio.Event()

    @property
    def events(self) -> Sequence[pb.WatchRunResponse]:
        """Everything that has happened, stored or not yet."""
        return self._events

    def now(self) -> datetime:
        """The time, in UTC."""
        return self._clock.now()

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

    async def flush(self) -> None:
        """Wait until everything that has happened so far is stored, or will never be. Safe to cancel."""
        wanted = len(self._events)
        async with self._changed:
            while self._stored < wanted and not self._kept:
                await self._changed.wait()

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

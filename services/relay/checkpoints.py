"""Writes to the handle store, one after another, repeated until they are taken."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Final

from services.common import logs
from services.common.clock import Clock
from services.common.errors import Reason, ServiceError
from services.common.lateness import Late, patience
from services.relay.core import effects as do
from services.relay.core import events as on
from services.relay.core.ledger import Ledger
from services.relay.metrics import Metrics
from services.relay.store import Store

_LAST_WORDS: Final = 5.0
"""Seconds in which the last writes must be taken when the conversation is let go."""
_FIRST_WAIT: Final = 0.1
_LONGEST_WAIT: Final = 5.0

REFUSED: Final[Mapping[Reason, on.Event]] = MappingProxyType(
    {
        Reason.EPOCH_FENCED: on.Fenced(),
        Reason.CONVERSATION_NOT_FOUND: on.EndedElsewhere(),
        Reason.CONVERSATION_ENDED: on.EndedElsewhere(),
    }
)
"""What a refusal means for the conversation."""

Write = do.Checkpoint | do.InvalidateHandle | do.Release | do.EndConversation


class StoreWriter:
    """One conversation's writes, in order.

    The store may be away: a write waits and is repeated, and what follows waits behind it. A write that is refused
    because another relay has the conversation is the end: `events.Fenced`.

    Args:
        name: The conversation.
        epoch: The holder's.
        store: Where to write.
        post: Told what came of it.
        clock: For the waits.
        metrics: Counts repeats.
        late: How late this process is.
    """

    def __init__(
        self,
        name: str,
        epoch: int,
        store: Store,
        post: Callable[[on.Event], None],
        clock: Clock,
        metrics: Metrics,
        late: Late = lambda _: 0.0,
    ) -> None:
        self._late = late
        self._name = name
        self._epoch = epoch
        self._store = store
        self._post = post
        self._clock = clock
        self._metrics = metrics
        self._queue: asyncio.Queue[Write | None] = asyncio.Queue()
        self._log = logs.get("relay")
        self.told_as: dict[int, int] = {}  # see `Store.checkpoint`
        self._ledger: Ledger | None = None

    def put(self, write: Write) -> None:
        """Add a write."""
        self._queue.put_nowait(write)

    def finish(self) -> None:
        """Nothing more will be added: `run` returns when all is written, or after a bounded time."""
        self._queue.put_nowait(None)

    async def run(self) -> None:
        """Write until `finish`."""
        while (write := await self._queue.get()) is not None:
            try:
                await self._repeat(write)
            except ServiceError as error:
                self._log.warning("the store refused a write", reason=error.reason.value, detail=error.detail)
                self._post(REFUSED.get(error.reason, on.StoreRefused()))

    async def finished_in_time(self, running: asyncio.Task[None]) -> None:
        """Wait for `run` after `finish`, bounded."""
        try:
            async with patience(_LAST_WORDS, self._late):
                await asyncio.wait([running])
        except TimeoutError:
            self._log.error("the store is away: the last writes of a conversation were not taken")
            running.cancel()

    async def _repeat(self, write: Write) -> None:
        wait = _FIRST_WAIT
        while True:
            try:
                await self._perform(write)
            except ServiceError as error:
                if not error.meaning.retryable:
                    raise
                self._metrics.checkpoint_failures.inc()
                await self._clock.sleep(random.uniform(0, wait))  # noqa: S311 - jitter
                wait = min(wait * 2, _LONGEST_WAIT)
            else:
                return

    def _perform(self, write: Write) -> Awaitable[None]:
        match write:
            case do.Checkpoint():
                return self._checkpoint(write)
            case do.InvalidateHandle(reason=reason):
                return self._store.invalidate(self._name, self._epoch, reason)
            case do.EndConversation(reason=reason):
                return self._store.end(self._name, self._epoch, reason)
            case do.Release():
                return self._store.release(self._name, self._epoch)

    async def _checkpoint(self, effect: do.Checkpoint) -> None:
        known = self._ledger is effect.ledger
        stored = await self._store.checkpoint(self._name, self._epoch, effect, self.told_as, ledger_is_known=known)
        self._ledger = effect.ledger
        for turn in [number for number in self.told_as if number <= stored.turn]:
            del self.told_as[turn]
        self._post(stored)

"""The sweeper: looks again and again for what is due by its age, and deals with it in small batches.

It only deletes. What a handle is worth is judged when it is read, by whoever reads it; so nothing is wrong when the
sweeper is late, and any number of replicas may sweep at once: on PostgreSQL each passes over what another has locked,
SQLite's one writer takes turns. Between two batches everybody else is let in.
"""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from services.common import logs
from services.common.clock import Clock
from services.common.errors import ServiceError
from services.handles.metrics import Metrics
from services.handles.policy import Retention, Rules
from services.handles.store import Store
from services.handles.sweeps import Kind

BATCH: Final = 50
"""The most conversations of a batch."""


class Sweeper:
    """Sweeps a store.

    Args:
        store: What is swept.
        rules: When a handle expires.
        retention: How long what is over is kept.
        clock: Tells what is due.
        metrics: Counts what is done, and how late it was.
    """

    def __init__(self, store: Store, rules: Rules, retention: Retention, clock: Clock, metrics: Metrics) -> None:
        self._store = store
        self._kept: Mapping[Kind, timedelta] = {
            Kind.EXPIRED: rules.handle_ttl + retention.expired,
            Kind.ABANDONED: retention.abandoned,
            Kind.ENDED: retention.ended,
        }
        self._clock = clock
        self._metrics = metrics
        self._log = logs.get("handles")

    async def forever(self, interval: timedelta) -> None:
        """Sweep, wait, and so on. What fails is counted, logged and tried again; safe to cancel."""
        while True:
            try:
                await self.once()
                result = "done"
            except ServiceError as error:
                self._log.warning("sweep put off", reason=error.reason.value)
                result = "store_unavailable"
            except Exception as error:  # noqa: BLE001 - one bad row must not end all sweeping
                self._log.error("sweep failed", exc_info=error)
                result = "internal"
            self._metrics.sweeps.labels(result).inc()
            await self._clock.sleep(interval.total_seconds())

    async def once(self) -> Mapping[Kind, int]:
        """Deal with all that is due now.

        Returns:
            How many conversations, by what was done with them.

        Raises:
            ServiceError: STORE_UNAVAILABLE; what was done until then is done.
        """
        now = self._clock.now()
        swept = {kind: await self._sweep(kind, now) for kind in Kind}
        if any(swept.values()):
            self._log.info("swept", **{kind.value: count for kind, count in swept.items()})
        await self._store.scrub()
        return swept

    async def _sweep(self, kind: Kind, now: datetime) -> int:
        due, total, more = now - self._kept[kind], 0, True
        lag = timedelta(0)
        while more:
            done, more, oldest = await self._store.sweep(kind, due, now, BATCH)
            lag = max(lag, due - oldest) if oldest is not None else lag
            total += done
            self._metrics.deletions.labels(kind).inc(done)
            await asyncio.sleep(0)
        self._metrics.sweep_lag.labels(kind).set(lag.total_seconds())
        return total

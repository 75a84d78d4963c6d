"""Who performs which run, among simulators that share a database.

A holder's beat grows as long as it lives. Another simulator that sees the same beat for a whole lease, by its own
clock, takes the run by compare and set: only one of many gets it. Nobody compares clocks, so none needs to be right. A
holder that was thought dead and is not finds out at its next beat, or when a line of its run is refused, and leaves it.
"""

from services.common.clock import Clock
from services.simulator.store import NOBODY, Claim, Store


class Leases:
    """What one simulator holds and sees of others.

    Args:
        store: Where leases are kept.
        holder: Its name among simulators, unique for each process.
        clock: The time.
        lease: Seconds without a sign of life after which a run is anybody's.
    """

    def __init__(self, store: Store, holder: str, clock: Clock, lease: float) -> None:
        self._store = store
        self._holder = holder
        self._clock = clock
        self._lease = lease
        self._seen: dict[Claim, float] = {}

    async def beat(self) -> dict[str, bool]:
        """Give a sign of life; returns the runs held here, with whether each is to be stopped. Safe to cancel."""
        return await self._store.beat(self._holder)

    async def abandoned(self) -> list[Claim]:
        """The runs of others that have shown no sign of life for a whole lease, or wait for anybody. Safe to cancel."""
        now = self._clock.monotonic()
        claims = await self._store.claims_of_others(self._holder)
        self._seen = {claim: self._seen.get(claim, now) for claim in claims}
        return [claim for claim, since in self._seen.items() if claim.holder == NOBODY or now - since >= self._lease]

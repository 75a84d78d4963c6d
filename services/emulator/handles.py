"""Resumption handles: a session's context at a moment, redeemable until some time after the session.

A *lineage* is a session and all that were resumed from it. What is documented: a handle lives 2 h after the session
ended, 24 h on Vertex. What was observed: a resume while the old socket is open is refused with 1011, a dead handle with
1008. What is unknown: older handles, one handle twice, forks; here they work, the newest `KEPT` of a lineage.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from services.emulator import closes
from services.emulator.closes import RefusedError
from services.emulator.context import Context
from services.emulator.profiles import TWO_HOURS, Backend

KEPT: Final = 16
"""How many handles of one lineage can be redeemed."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a handle stands for, and for which API's client."""

    lineage: str
    model: str
    context: Context
    backend: Backend = Backend.DEVELOPER


@dataclass
class _Lineage:
    began_at: float = 0.0
    lifetime: float = TWO_HOURS
    open: set[str] = field(default_factory=set)
    ended_at: float = 0.0
    spent: bool = False
    handles: "OrderedDict[str, Snapshot]" = field(default_factory=OrderedDict)


class HandleStore:
    """All handles of one emulator. Times are monotonic seconds."""

    def __init__(
        self, new_handle: Callable[[], str], *, refuse_while_open: bool = True, lineages: int = 10_000
    ) -> None:
        """Keep no handle yet.

        Args:
            new_handle: Makes an unguessable string that was never made before.
            refuse_while_open: Whether a resume has to wait for the old socket's close.
            lineages: How many lineages are remembered; the one longest unused goes first.
        """
        self._new_handle = new_handle
        self._refuse_while_open = refuse_while_open
        self._most = lineages
        self._lineages: OrderedDict[str, _Lineage] = OrderedDict()
        self._lineage_of: dict[str, str] = {}
        self._open = 0

    @property
    def open_sessions(self) -> int:
        """How many connections carry a session now."""
        return self._open

    def opened(self, lineage: str, connection: str, now: float, lifetime: float) -> float:
        """A connection carries this lineage, whose handles live so long after it; says when the lineage began."""
        record = self._lineages.setdefault(lineage, _Lineage(now, lifetime))
        record.open.add(connection)
        self._open += 1
        self._lineages.move_to_end(lineage)
        while len(self._lineages) > self._most or self._dead(next(iter(self._lineages.values())), now):
            _, oldest = self._lineages.popitem(last=False)
            self._open -= len(oldest.open)
            self._forget(oldest.handles)
        return record.began_at

    def closed(self, lineage: str, connection: str, now: float) -> None:
        """The connection's socket is closed, both ways."""
        if (record := self._lineages.get(lineage)) is not None:
            self._open -= connection in record.open
            record.open.discard(connection)
            record.ended_at = now

    def spend(self, lineage: str) -> None:
        """The session has ended for good: a resume is refused with 1007 from now on [OBS: after 58 minutes]."""
        if (record := self._lineages.get(lineage)) is not None:
            record.spent = True

    def issue(self, snapshot: Snapshot) -> str:
        """A new handle for `snapshot`."""
        handle = self._new_handle()
        record = self._lineages.setdefault(snapshot.lineage, _Lineage())
        record.handles[handle] = snapshot
        self._lineage_of[handle] = snapshot.lineage
        while len(record.handles) > KEPT:
            self._forget([record.handles.popitem(last=False)[0]])
        return handle

    def peek(self, handle: str) -> Snapshot | None:
        """What the handle stands for, or stood; None for one that is unknown."""
        record = self._lineages.get(self._lineage_of.get(handle, ""))
        return None if record is None else record.handles.get(handle)

    def redeem(self, handle: str, now: float) -> Snapshot:
        """What the handle stands for; it can be redeemed again.

        Raises:
            RefusedError: It is unknown or dead (1008), its session's socket is still open (1011), or its session has
                ended for good (1007).
        """
        record = self._lineages.get(self._lineage_of.get(handle, ""))
        if record is None or self._dead(record, now):
            raise RefusedError(closes.HANDLE_NOT_FOUND)
        if record.spent:
            raise RefusedError(closes.INVALID_ARGUMENT)
        if record.open and self._refuse_while_open:
            raise RefusedError(closes.STILL_OPEN)
        return record.handles[handle]

    def _dead(self, record: _Lineage, now: float) -> bool:
        return not record.open and now >= record.ended_at + record.lifetime

    def _forget(self, handles: "OrderedDict[str, Snapshot] | list[str]") -> None:
        for handle in handles:
            self._lineage_of.pop(handle, None)

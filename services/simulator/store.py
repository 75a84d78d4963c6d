"""Runs and their events, in SQL."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from filo.simulator.v1 import simulator_pb2 as pb
from services.common import logs, sql_engine
from services.common.errors import Reason, ServiceError
from services.simulator import tables
from services.simulator.tables import Event, Lease, Run

PAGE: Final = 500
"""Events read at once."""
MOST: Final = 2**31 - 1
"""The largest number of an event or a run: what a column of whole numbers holds on PostgreSQL."""
NOBODY: Final = ""
"""Holds a run that waits for a simulator."""


RETRY_AFTER: Final = 1.0
"""Seconds after which a caller should ask a database again that is away."""
PATIENCE: Final = 30.0
"""Seconds that one transaction may take, its wait for its turn included."""


class AwayError(ServiceError):
    """The database does not answer, and comes back by itself.

    What was asked for may have happened, and may be repeated.
    """

    def __init__(self) -> None:
        super().__init__(Reason.STORE_UNAVAILABLE, "The runs' database does not answer; try again.", None, RETRY_AFTER)


class FencedError(Exception):
    """Another simulator has the run now: nothing of it may be written here."""


class Claim(NamedTuple):
    """Who holds a run, as one look at the table shows it."""

    run: str
    holder: str
    beat: int


@asynccontextmanager
async def opened(url: str) -> AsyncIterator["Store"]:
    """Open the runs at a SQLAlchemy URL, SQLite or PostgreSQL.

    Raises:
        StartupError: They cannot be opened.
    """
    async with tables.engine(url) as engine:
        yield Store(engine)


class Store:
    """What is kept of runs. Each method is one transaction, safe to cancel, and may raise `AwayError`.

    Writes of this process queue up here: SQLite takes one writer at a time, and lets the others poll for it until the
    unluckiest gives up.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._turn_to_write = asyncio.Lock()

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[AsyncConnection]:
        async with _answering(), self._turn_to_write, self._engine.begin() as connection:
            yield connection

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[AsyncConnection]:
        async with _answering(), self._engine.connect() as connection:
            yield connection

    async def create(
        self, request_id: str, asked: pb.RunSpec, run: pb.Run, holder: str = NOBODY
    ) -> tuple[pb.Run, bool]:
        """Keep a new run with its lease, or find the one that this request made before.

        Returns:
            The run, and whether it is new.

        Raises:
            ServiceError: REQUEST_ID_REUSED: the same id with another spec.
        """
        spec = asked.SerializeToString(deterministic=True)
        row = {"name": run.name, "request_id": request_id, "asked": spec, "outcome": run.outcome, **_blobs(run)}
        try:
            async with self._writing() as connection:
                await connection.execute(insert(Run).values(row))
                await connection.execute(insert(Lease).values(run=run.name, holder=holder))
        except IntegrityError:
            found = await self._by_request(request_id, spec)
            if found is None:
                raise
            return found, False
        return run, True

    async def append(self, name: str, events: Sequence[pb.WatchRunResponse]) -> None:
        """Keep events of a run, after those it has.

        Raises:
            FencedError: Another simulator has kept events under these numbers.
        """
        try:
            async with self._writing() as connection:
                await connection.execute(insert(Event), _rows(name, events))
        except IntegrityError as error:
            raise FencedError(name) from error

    async def end(self, run: pb.Run, holder: str, events: Sequence[pb.WatchRunResponse]) -> None:
        """Keep a run that has ended with its last events, and give its lease up, all at once.

        Raises:
            FencedError: The lease is another simulator's.
        """
        mine = (Lease.run == run.name, Lease.holder == holder)
        changed = update(Run).where(Run.name == run.name).values(outcome=run.outcome, **_blobs(run))
        try:
            async with self._writing() as connection:
                released = await connection.execute(delete(Lease).where(*mine))
                if not released.rowcount:
                    raise FencedError(run.name)
                await connection.execute(changed)
                await connection.execute(insert(Event), _rows(run.name, events))
        except IntegrityError as error:
            raise FencedError(run.name) from error

    # Leases. --------------------------------------------------------------------------------------------------------

    async def beat(self, holder: str) -> dict[str, bool]:
        """Give a sign of life for every run of a holder; returns them, with whether each is to be stopped."""
        async with self._writing() as connection:
            await connection.execute(update(Lease).where(Lease.holder == holder).values(beat=Lease.beat + 1))
            rows = await connection.execute(select(Lease.run, Lease.stopping).where(Lease.holder == holder))
            return {row.run: row.stopping for row in rows}

    async def claims_of_others(self, holder: str) -> list[Claim]:
        """Every run that has not ended and is not this holder's."""
        wanted = select(Lease.run, Lease.holder, Lease.beat).where(Lease.holder != holder).order_by(Lease.run)
        async with self._reading() as connection:
            return [Claim(row.run, row.holder, row.beat) for row in await connection.execute(wanted)]

    async def claim(self, seen: Claim, holder: str) -> bool:
        """Take a run whose lease still is as it was seen; returns whether it was (compare and set)."""
        still = (Lease.run == seen.run, Lease.holder == seen.holder, Lease.beat == seen.beat)
        async with self._writing() as connection:
            done = await connection.execute(update(Lease).where(*still).values(holder=holder, beat=Lease.beat + 1))
            return bool(done.rowcount)

    async def release(self, name: str, holder: str, data: bytes = b"") -> None:
        """Give a run back without ending it: whoever has room takes it, and knows `data`, or what was kept before."""
        mine = (Lease.run == name, Lease.holder == holder)
        kept = {"hold": data} if data else {}
        async with self._writing() as connection:
            await connection.execute(update(Lease).where(*mine).values(holder=NOBODY, beat=Lease.beat + 1, **kept))

    async def release_all(self, holder: str) -> None:
        """Give back every run of a holder that performs none any more."""
        mine = Lease.holder == holder
        async with self._writing() as connection:
            await connection.execute(update(Lease).where(mine).values(holder=NOBODY, beat=Lease.beat + 1))

    async def hold(self, name: str, holder: str, data: bytes) -> None:
        """Keep what another process must know to go on with a run.

        Raises:
            FencedError: The lease is another simulator's.
        """
        mine = (Lease.run == name, Lease.holder == holder)
        async with self._writing() as connection:
            done = await connection.execute(update(Lease).where(*mine).values(hold=data))
            if not done.rowcount:
                raise FencedError(name)

    async def held(self, name: str) -> bytes:
        """What was kept by `hold`; empty where nothing was."""
        async with self._reading() as connection:
            found = await connection.execute(select(Lease.hold).where(Lease.run == name))
            return found.scalar_one_or_none() or b""

    async def stop(self, name: str) -> None:
        """Ask whoever holds a run to end it after the turn in progress."""
        async with self._writing() as connection:
            await connection.execute(update(Lease).where(Lease.run == name).values(stopping=True))

    async def adopt(self) -> None:
        """Give a lease to runs of an older version, which knew none."""
        leased = select(Lease.run)
        orphans = select(Run.name).where(Run.outcome == pb.OUTCOME_UNSPECIFIED, Run.name.not_in(leased))
        async with self._writing() as connection:
            rows = [{"run": row.name, "holder": NOBODY} for row in await connection.execute(orphans)]
            if rows:
                await connection.execute(insert(Lease), rows)

    # Reading. -------------------------------------------------------------------------------------------------------

    async def get(self, name: str) -> pb.Run | None:
        """A run with its details, or None."""
        async with self._reading() as connection:
            row = (await connection.execute(select(Run.summary, Run.details).where(Run.name == name))).one_or_none()
        return None if row is None else _whole(row.summary, row.details)

    async def page(self, size: int, before: int | None) -> list[tuple[int, pb.Run]]:
        """Runs without their details, newest first, each with its number; only those of a number below `before`."""
        wanted = select(Run.number, Run.summary).order_by(Run.number.desc()).limit(size)
        if before is not None:
            wanted = wanted.where(Run.number < before)
        async with self._reading() as connection:
            rows = (await connection.execute(wanted)).all()
        return [(row.number, pb.Run.FromString(row.summary)) for row in rows]

    async def events(self, name: str, after: int = 0) -> AsyncIterator[pb.WatchRunResponse]:
        """The stored events of a run after a sequence number, in order."""
        after = min(after, MOST)
        while True:
            wanted = select(Event.sequence, Event.event).where(Event.run == name, Event.sequence > after)
            async with self._reading() as connection:
                rows = (await connection.execute(wanted.order_by(Event.sequence).limit(PAGE))).all()
            for row in rows:
                yield pb.WatchRunResponse.FromString(row.event)
                after = row.sequence
            if len(rows) < PAGE:
                return

    async def _by_request(self, request_id: str, asked: bytes) -> pb.Run | None:
        wanted = select(Run.asked, Run.summary, Run.details).where(Run.request_id == request_id)
        async with self._reading() as connection:
            row = (await connection.execute(wanted)).one_or_none()
        if row is None:
            return None
        if row.asked != asked:
            raise ServiceError(Reason.REQUEST_ID_REUSED, f"request_id {request_id} has started a run of another spec")
        return _whole(row.summary, row.details)


@asynccontextmanager
async def _answering() -> AsyncIterator[None]:
    """Turn whatever a database raises that is away into one error; the log has the details, which hold no values."""
    try:
        async with asyncio.timeout(PATIENCE):
            yield
    except (SQLAlchemyError, *sql_engine.AWAY) as error:
        if not sql_engine.is_away(error):
            raise
        said = str(getattr(error, "orig", None) or error).splitlines()
        logs.get("simulator").warning("database away", error=said[0] if said else type(error).__name__)
        raise AwayError from error


def _rows(name: str, events: Sequence[pb.WatchRunResponse]) -> list[dict[str, object]]:
    return [{"run": name, "sequence": made.sequence, "event": made.SerializeToString()} for made in events]


def _blobs(run: pb.Run) -> dict[str, bytes]:
    summary = pb.Run()
    summary.CopyFrom(run)
    for field in ("report", "transcript"):
        summary.ClearField(field)
    details = pb.Run(report=run.report, transcript=run.transcript)
    return {"summary": summary.SerializeToString(), "details": details.SerializeToString()}


def _whole(summary: bytes, details: bytes) -> pb.Run:
    run = pb.Run.FromString(summary)
    run.MergeFromString(details)
    return run

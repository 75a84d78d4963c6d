"""Runs and their events, in SQL. What a run is, is in its protobuf message; columns hold only what is searched by."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import ForeignKey, LargeBinary, String, event, insert, select, update
from sqlalchemy.engine import make_url
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from filo.simulator.v1 import simulator_pb2 as pb
from services.common.errors import Reason, ServiceError
from services.common.lifecycle import StartupError

PAGE: Final = 500
"""Events read at once."""


class _Base(DeclarativeBase):
    """The tables of this service."""


class _Run(_Base):
    """A run. `summary` is a Run without report and transcript, `details` one with only those."""

    __tablename__ = "runs"

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    request_id: Mapped[str] = mapped_column(String(36), unique=True)
    asked: Mapped[bytes] = mapped_column(LargeBinary)
    outcome: Mapped[int] = mapped_column(index=True)
    summary: Mapped[bytes] = mapped_column(LargeBinary)
    details: Mapped[bytes] = mapped_column(LargeBinary, default=b"")


class _Event(_Base):
    """An event of a run."""

    __tablename__ = "run_events"

    run: Mapped[str] = mapped_column(ForeignKey("runs.name"), primary_key=True)
    sequence: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    event: Mapped[bytes] = mapped_column(LargeBinary)


@asynccontextmanager
async def opened(url: str) -> AsyncIterator["Store"]:
    """Open the runs at a SQLAlchemy URL, creating the tables where there are none.

    Raises:
        StartupError: It cannot be opened.
    """
    _keep_private(url)
    engine = create_async_engine(url)
    if engine.dialect.name == "sqlite":
        event.listen(engine.sync_engine, "connect", _configure)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(_Base.metadata.create_all)
    except (SQLAlchemyError, OSError) as error:
        await engine.dispose()
        where = make_url(url).render_as_string(hide_password=True)
        raise StartupError(f"cannot open the runs at {where}: {_why(error)}") from error
    try:
        yield Store(engine)
    finally:
        await engine.dispose()


def _keep_private(url: str) -> None:
    """Make an embedded database's file for its owner alone: it holds whole conversations. SQLite's others follow it."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database == ":memory:":
        return
    path = Path(parsed.database)
    try:
        path.touch(mode=0o600)
        path.chmod(0o600)
    except OSError as error:
        raise StartupError(f"cannot open the runs at {path}: {error.strerror}") from error


def _configure(connection: Any, _record: object) -> None:  # noqa: ANN401 - whatever the driver gives
    """Readers beside the writer; no waiting for the disk at a commit: a crash of the machine may cost seconds."""
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=5000", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _why(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).splitlines()[0]


class Store:
    """What is kept of runs. Each method is one transaction, and safe to cancel.

    Writes of this process queue up here: SQLite takes one writer at a time, and lets the others poll for it until the
    unluckiest gives up.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._turn_to_write = asyncio.Lock()

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[AsyncConnection]:
        async with self._turn_to_write, self._engine.begin() as connection:
            yield connection

    async def create(self, request_id: str, asked: pb.RunSpec, run: pb.Run) -> tuple[pb.Run, bool]:
        """Keep a new run, or find the one that this request made before.

        Returns:
            The run, and whether it is new.

        Raises:
            ServiceError: REQUEST_ID_REUSED: the same id with another spec.
        """
        spec = asked.SerializeToString(deterministic=True)
        row = {"name": run.name, "request_id": request_id, "asked": spec, "outcome": run.outcome, **_blobs(run)}
        try:
            async with self._writing() as connection:
                await connection.execute(insert(_Run).values(row))
        except IntegrityError:
            found = await self._by_request(request_id, spec)
            if found is None:
                raise
            return found, False
        return run, True

    async def save(self, run: pb.Run) -> None:
        """Keep a run as it now stands."""
        async with self._writing() as connection:
            changed = update(_Run).where(_Run.name == run.name).values(outcome=run.outcome, **_blobs(run))
            await connection.execute(changed)

    async def append(self, name: str, events: Sequence[pb.WatchRunResponse]) -> None:
        """Keep events of a run, after those it has."""
        rows = [{"run": name, "sequence": made.sequence, "event": made.SerializeToString()} for made in events]
        async with self._writing() as connection:
            await connection.execute(insert(_Event), rows)

    async def get(self, name: str) -> pb.Run | None:
        """A run with its details, or None."""
        async with self._engine.connect() as connection:
            row = (await connection.execute(select(_Run.summary, _Run.details).where(_Run.name == name))).one_or_none()
        return None if row is None else _whole(row.summary, row.details)

    async def page(self, size: int, before: int | None) -> list[tuple[int, pb.Run]]:
        """Runs without their details, newest first, each with its number; only those of a number below `before`."""
        wanted = select(_Run.number, _Run.summary).order_by(_Run.number.desc()).limit(size)
        if before is not None:
            wanted = wanted.where(_Run.number < before)
        async with self._engine.connect() as connection:
            rows = (await connection.execute(wanted)).all()
        return [(row.number, pb.Run.FromString(row.summary)) for row in rows]

    async def unended(self) -> list[pb.Run]:
        """Runs that are not known to have ended."""
        wanted = select(_Run.summary, _Run.details).where(_Run.outcome == pb.OUTCOME_UNSPECIFIED)
        async with self._engine.connect() as connection:
            rows = (await connection.execute(wanted)).all()
        return [_whole(row.summary, row.details) for row in rows]

    async def events(self, name: str, after: int = 0) -> AsyncIterator[pb.WatchRunResponse]:
        """The stored events of a run after a sequence number, in order."""
        while True:
            wanted = select(_Event.sequence, _Event.event).where(_Event.run == name, _Event.sequence > after)
            async with self._engine.connect() as connection:
                rows = (await connection.execute(wanted.order_by(_Event.sequence).limit(PAGE))).all()
            for row in rows:
                yield pb.WatchRunResponse.FromString(row.event)
                after = row.sequence
            if len(rows) < PAGE:
                return

    async def _by_request(self, request_id: str, asked: bytes) -> pb.Run | None:
        wanted = select(_Run.asked, _Run.summary, _Run.details).where(_Run.request_id == request_id)
        async with self._engine.connect() as connection:
            row = (await connection.execute(wanted)).one_or_none()
        if row is None:
            return None
        if row.asked != asked:
            raise ServiceError(Reason.REQUEST_ID_REUSED, f"request_id {request_id} has started a run of another spec")
        return _whole(row.summary, row.details)


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

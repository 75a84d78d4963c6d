"""The tables of the runs, and how their database is opened.

What a run is, is in its protobuf message; columns hold only what is searched by, and a lease.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, ForeignKey, LargeBinary, String, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from services.common import schema, sql_engine, sqlite_wal
from services.common.lifecycle import StartupError

_T = TypeVar("_T")

_PRAGMAS: Final = {
    "busy_timeout": "30000",
    "journal_mode": "WAL",
    "synchronous": "NORMAL",
    "foreign_keys": "ON",
}
_DRIVERS: Final = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}
SCHEMA: Final = schema.Schema(
    scripts=Path(__file__).parent / "migrations",
    remedy="filo simulator migrate",
    lock=0x46696C72,
    table="runs_schema",
)
"""Its history is in ``migrations``."""


class Base(DeclarativeBase):
    """The tables of this service, as its newest migration leaves them."""


class Run(Base):
    """A run. `summary` is a Run without report and transcript, `details` one with only those."""

    __tablename__ = "runs"

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    request_id: Mapped[str] = mapped_column(String(36), unique=True)
    asked: Mapped[bytes] = mapped_column(LargeBinary)
    outcome: Mapped[int] = mapped_column(index=True)
    summary: Mapped[bytes] = mapped_column(LargeBinary)
    details: Mapped[bytes] = mapped_column(LargeBinary, default=b"")


class Event(Base):
    """An event of a run."""

    __tablename__ = "run_events"

    run: Mapped[str] = mapped_column(ForeignKey("runs.name"), primary_key=True)
    sequence: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    event: Mapped[bytes] = mapped_column(LargeBinary)


class Lease(Base):
    """Who performs a run that has not ended. No row: it has ended.

    `holder` is empty while nobody does. `beat` grows with each sign of life of the holder, so that another simulator
    sees by its own clock, and by nobody else's, how long there was none.
    """

    __tablename__ = "run_leases"

    run: Mapped[str] = mapped_column(ForeignKey("runs.name"), primary_key=True)
    holder: Mapped[str] = mapped_column(String(36), index=True)
    beat: Mapped[int] = mapped_column(default=0)
    stopping: Mapped[bool] = mapped_column(default=False)
    hold: Mapped[bytes] = mapped_column(LargeBinary, default=b"")


@asynccontextmanager
async def engine(url: str) -> AsyncIterator[AsyncEngine]:
    """Open the database at a SQLAlchemy URL.

    An embedded one is made and brought up to date; one on a server must have the schema of this code.

    Raises:
        StartupError: It cannot be opened, or has another schema; NotYetError where its server may come.
    """
    parsed = _parsed(url)
    embedded = parsed.get_backend_name() == "sqlite"
    await _migrating(parsed, partial(SCHEMA.migrate, forward_only=True) if embedded else SCHEMA.check)
    made = sql_engine.engine(parsed)
    if embedded:
        event.listen(made.sync_engine, "connect", _configure)
    try:
        yield made
    finally:
        await made.dispose()


async def migrate(url: str, target: str = schema.HEAD) -> tuple[str, str]:
    """Bring a database to a schema, forward or back: what ``filo simulator migrate`` does.

    Args:
        url: Of SQLAlchemy's.
        target: A revision, ``head`` or ``base``.

    Returns:
        The revision before, and the one after.

    Raises:
        StartupError: The database cannot be used, or there is no such revision.
    """
    return await _migrating(_parsed(url), partial(SCHEMA.migrate, target=target))


async def _migrating(url: URL, work: Callable[[Connection], _T]) -> _T:
    """Do something with the schema in a transaction; in SQLite one that writes from its beginning, so others wait."""
    _keep_private(url)
    made = sql_engine.engine(url)
    if made.dialect.name == "sqlite":
        event.listen(made.sync_engine, "connect", _configure_to_migrate)
        event.listen(made.sync_engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    try:
        async with made.begin() as connection:
            return await connection.run_sync(work)
    except (SQLAlchemyError, OSError, ValueError) as error:
        kind = StartupError if made.dialect.name == "sqlite" else sql_engine.refusal(error)
        raise kind(f"cannot open the runs at {schema.without_password(url)}: {_why(error)}") from error
    finally:
        await made.dispose()


def _parsed(url: str) -> URL:
    parsed = make_url(url)
    return parsed.set(drivername=_DRIVERS.get(parsed.drivername, parsed.drivername))


def _keep_private(url: URL) -> None:
    """Make an embedded database's file for its owner alone: it holds whole conversations. SQLite's others follow it."""
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        return
    path = Path(url.database)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.chmod(0o600)
    except OSError as error:
        raise StartupError(f"cannot open the runs at {path}: {error.strerror}") from error


def _configure_to_migrate(connection: Any, record: object) -> None:  # noqa: ANN401 - whatever the driver gives
    """As always, and the driver begins no transaction of its own."""
    connection.isolation_level = None
    _configure(connection, record)


def _configure(connection: Any, _record: object) -> None:  # noqa: ANN401 - the same
    """Readers beside the writer; no waiting for the disk at a commit: a crash of the machine may cost seconds."""
    sqlite_wal.configure(connection, _PRAGMAS)


def _why(error: Exception) -> str:
    said = str(getattr(error, "orig", None) or error).splitlines()
    return said[0] if said else type(error).__name__  # a timeout says nothing

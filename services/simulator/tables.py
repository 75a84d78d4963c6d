"""The tables of the runs, and how their database is opened.

What a run is, is in its protobuf message; columns hold only what is searched by, and a lease.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import ForeignKey, LargeBinary, String, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from services.common.lifecycle import StartupError

_DRIVERS: Final = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}
_ATTEMPTS: Final = 5
"""At making the tables: replicas that start together make them at the same time, and all but one are refused."""


class Base(DeclarativeBase):
    """The tables of this service. A new version adds tables and never changes one: those that are missing are made."""


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
    """Open the database at a SQLAlchemy URL, creating the tables where there are none.

    Raises:
        StartupError: It cannot be opened.
    """
    parsed = make_url(url)
    parsed = parsed.set(drivername=_DRIVERS.get(parsed.drivername, parsed.drivername))
    _keep_private(parsed)
    made = create_async_engine(parsed)
    if made.dialect.name == "sqlite":
        event.listen(made.sync_engine, "connect", _configure)
    try:
        await _create(made)
    except (SQLAlchemyError, OSError) as error:
        await made.dispose()
        where = parsed.render_as_string(hide_password=True)
        raise StartupError(f"cannot open the runs at {where}: {_why(error)}") from error
    try:
        yield made
    finally:
        await made.dispose()


async def _create(made: AsyncEngine) -> None:
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            async with made.begin() as connection:
                await connection.run_sync(Base.metadata.create_all)
        except SQLAlchemyError:
            if attempt == _ATTEMPTS:
                raise
            await asyncio.sleep(0.1 * attempt)
        else:
            return


def _keep_private(url: URL) -> None:
    """Make an embedded database's file for its owner alone: it holds whole conversations. SQLite's others follow it."""
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        return
    path = Path(url.database)
    try:
        path.touch(mode=0o600)
        path.chmod(0o600)
    except OSError as error:
        raise StartupError(f"cannot open the runs at {path}: {error.strerror}") from error


def _configure(connection: Any, _record: object) -> None:  # noqa: ANN401 - whatever the driver gives
    """Readers beside the writer; no waiting for the disk at a commit: a crash of the machine may cost seconds."""
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=30000", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _why(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).splitlines()[0]

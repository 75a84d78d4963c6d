"""SQLite as the store uses it: one writer, a few readers, and clear words about a file that cannot be used.

Writers of one process queue for the one writing connection, in order, instead of polling SQLite's lock; `busy_timeout`
is for other processes. A write takes its lock at the beginning (BEGIN IMMEDIATE), so that what a decision read is still
true when it is written. With synchronous=FULL an answered commit survives a power cut, not only a crash.
"""

import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

from sqlalchemy import Connection, event
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from services.common.lifecycle import StartupError

PRAGMAS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "busy_timeout": "5000",
        "journal_mode": "WAL",
        "synchronous": "FULL",
        "foreign_keys": "ON",
    }
)
"""What every connection sets, in this order: patience first, since the journal mode may have to wait for a lock."""

_READERS: Final = 4
_POOL_TIMEOUT: Final = 5.0


class Engines(NamedTuple):
    """The way in: one connection that writes, several that read."""

    writer: AsyncEngine
    reader: AsyncEngine

    async def dispose(self) -> None:
        """Close every connection."""
        await self.reader.dispose()
        await self.writer.dispose()  # the last one out folds the WAL into the file


def engines(url: URL) -> Engines:
    """Engines for a database; nothing is opened yet."""
    return Engines(
        writer=_engine(url, 1, PRAGMAS, "BEGIN IMMEDIATE"),
        reader=_engine(url, _READERS, {**PRAGMAS, "query_only": "ON"}, "BEGIN"),
    )


def _engine(url: URL, connections: int, pragmas: Mapping[str, str], begin: str) -> AsyncEngine:
    engine = create_async_engine(
        url,
        connect_args={"isolation_level": None},  # the driver begins no transaction of its own
        pool_size=connections,
        max_overflow=0,
        pool_timeout=_POOL_TIMEOUT,
        hide_parameters=True,  # an error's text ends in a log
    )

    @event.listens_for(engine.sync_engine, "connect")
    def _set_up(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        for name, value in pragmas.items():
            cursor.execute(f"PRAGMA {name}={value}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def prepare(path: Path) -> None:
    """Make the directory and the file, both for their owner alone, or see that the file is ours to use.

    Raises:
        StartupError: The directory cannot be written, or the file is not a handle store's.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise unusable(path, error.strerror or str(error)) from error
    try:
        tables = _tables(path)
    except sqlite3.Error as error:
        raise unusable(path, str(error)) from error
    if tables and "alembic_version" not in tables:
        raise unusable(path, "it holds the data of another program")


def _tables(path: Path) -> set[str]:
    connection = sqlite3.connect(path)
    try:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    finally:
        connection.close()


def unusable(path: Path, why: str) -> StartupError:
    """What to tell when the database cannot be used."""
    return StartupError(f"cannot use the database {path}: {why.lower()}; restore it, or name another one")

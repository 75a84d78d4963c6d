"""The databases that are measured: a SQLite file, or a database on a PostgreSQL server of our own."""

import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Final, Protocol

import asyncpg

from bench import filling
from services.handles import database, keyfile, postgres, sqlite
from services.handles.config import Settings
from tests.support import postgres as servers


class Database(Protocol):
    """Where a handle store keeps everything.

    Attributes:
        name: For people.
        environ: The settings that name it.
    """

    name: str
    environ: Mapping[str, str]

    async def fill(self, count: int, template: str) -> None:
        """Add so many copies of a conversation, while no service runs."""
        ...

    async def durability(self) -> Mapping[str, str]:
        """The settings that decide whether an answered write survives a power cut, as they ship."""
        ...


class Sqlite:
    """A file.

    Args:
        directory: For it and its key.
    """

    def __init__(self, directory: Path) -> None:
        self.name = "sqlite"
        self.environ: Mapping[str, str] = {"FILO_DATA_DIR": str(directory)}
        self._settings = Settings.from_env(self.environ)

    async def fill(self, count: int, template: str) -> None:
        """Add so many copies of a conversation."""
        await filling.fill_sqlite(self._settings.database_file, count, template)

    async def durability(self) -> Mapping[str, str]:
        """What the file has, and what the writing connection sets."""
        connection = sqlite3.connect(self._settings.database_file)
        try:
            journal = connection.execute("PRAGMA journal_mode").fetchone()[0]
        finally:
            connection.close()
        chosen = self._settings.durability
        return {"setting": str(chosen), "journal_mode": journal, "synchronous": sqlite.SYNCHRONOUS[chosen]}


class Postgres:
    """A database on the one server.

    Args:
        directory: For the key file.
        url: The database.
    """

    def __init__(self, directory: Path, url: str) -> None:
        self.name = "postgresql"
        self.environ: Mapping[str, str] = {"FILO_DATA_DIR": str(directory), "FILO_HANDLES_DATABASE_URL": url}
        self._url = url

    async def fill(self, count: int, template: str) -> None:
        """Add so many copies of a conversation."""
        await filling.fill_postgres(self._url, count, template)

    async def durability(self) -> Mapping[str, str]:
        """What the server has, and what the service's connections set."""
        chosen = Settings.from_env(self.environ).durability
        connection = await asyncpg.connect(self._url)
        try:
            found = {name: str(await connection.fetchval(f"SHOW {name}")) for name in postgres.NEEDED}
        finally:
            await connection.close()
        return {"setting": str(chosen), **found, "synchronous_commit": postgres.SYNCHRONOUS_COMMIT[chosen]}


@asynccontextmanager
async def _sqlite(directory: Path) -> AsyncIterator[Database]:
    yield Sqlite(directory / "sqlite")


@asynccontextmanager
async def _postgres(directory: Path) -> AsyncIterator[Database]:
    directory = directory / "postgresql"
    directory.mkdir(parents=True)
    made = Postgres(directory, servers.server().database())
    settings = Settings.from_env(made.environ)
    keyfile.create(settings.key_file)
    await database.migrate(settings)
    yield made


OPEN: Final[Mapping[str, Callable[[Path], AbstractAsyncContextManager[Database]]]] = MappingProxyType(
    {"sqlite": _sqlite, "postgresql": _postgres}
)
"""Every kind by name."""


def opened(name: str, directory: Path) -> AbstractAsyncContextManager[Database]:
    """An empty database of that kind; gone when the context is left."""
    return OPEN[name](directory)

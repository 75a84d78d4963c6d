"""SQLite as the store uses it: one writer, readers beside it, one sync for many commits.

A look at a conversation is one statement by primary keys, answered by the page cache in some 20 microseconds: it runs
on the event loop, since to ask a thread would take longer; on the writer's connection while it rests, whose cache every
commit finds up to date, else on the loop's own. Whatever may be large is read by a thread.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Final, TypeVar

from services.handles.config import Durability
from services.handles.programs import MakeProgram
from services.handles.sqlite_programs import connect, run
from services.handles.sqlite_scrub import Wiper
from services.handles.sqlite_writer import Writer
from services.handles.store import unavailable

T = TypeVar("T")

SYNCHRONOUS: Final = MappingProxyType({Durability.FULL: "FULL", Durability.RELAXED: "NORMAL"})
"""What `synchronous` is at each durability."""

_WRITER_CACHE: Final = "-196608"
"""192 MiB: among a million conversations checkpoints touch pages all over, those of the hashes above all."""


class Sqlite:
    """A SQLite file that a store's programs run on; see `services.handles.sql_store.Backend`.

    Args:
        path: The file, whose schema is up to date.
        durability: What an answered commit survives.
        committed: Told how many writes shared a commit.
    """

    def __init__(self, path: Path, durability: Durability, committed: Callable[[int], object] | None = None) -> None:
        self.connections = (
            connect(path, {"synchronous": SYNCHRONOUS[durability], "cache_size": _WRITER_CACHE}),
            connect(path, {"query_only": "ON"}),
            connect(path, {"query_only": "ON"}),
        )
        """The writer's, the event loop's own, and the reading thread's."""
        writing, self._looker, self._reader = self.connections
        self._writer = Writer(writing, committed)
        self._wiper = Wiper(path)
        self._reading = ThreadPoolExecutor(1, "filo-sqlite-read")

    async def look(self, make: MakeProgram[T]) -> T:
        """Run a program of one small read."""
        try:
            return run(self._writer.at_rest() or self._looker, make())
        except sqlite3.OperationalError as error:
            raise unavailable(error) from error

    async def read(self, make: MakeProgram[T]) -> T:
        """Run a program that reads, and may read much."""
        try:
            loop, call = asyncio.get_running_loop(), partial(_reading, self._reader, make)
            result: T = await loop.run_in_executor(self._reading, call)
        except sqlite3.OperationalError as error:
            raise unavailable(error) from error
        return result

    async def write(self, make: MakeProgram[T], *, alone: bool = False) -> T:
        """Run a program in a transaction, which is shared with others unless it is to be alone."""
        return await self._writer.do(lambda connection: run(connection, make()), alone=alone)

    async def scrub(self, *, deep: bool) -> bool:
        """Fold the WAL into the file and empty it; `deep` wipes the unused parts of all pages before, piece by piece.

        Returns:
            Whether all was done: a reader in another process may be in the way.
        """
        at: int | None = 1 if deep else None
        while at is not None:
            at, done = await self._writer.do(partial(self._wiper.wipe, first=at), alone=True, bare=True)
            if not done:
                return False
        return await self._writer.do(self._wiper.empty, alone=True, bare=True)

    async def close(self) -> None:
        """Finish what waits, and close every connection; the last one out folds the WAL into the file."""
        await self._writer.close()
        self._reading.shutdown()
        for connection in reversed(self.connections):
            connection.close()
        self._wiper.close()


def _reading(connection: sqlite3.Connection, make: MakeProgram[T]) -> T:
    connection.execute("BEGIN")
    try:
        return run(connection, make())
    finally:
        connection.rollback()

"""SQLite as the store uses it: one writer in a thread of its own, readers beside it, one sync for many commits.

The writer takes whatever waits for it, runs it all in one transaction and commits once (group commit): the more wait,
the cheaper each is. What one of them raises before it wrote anything concerns only itself; anything else undoes the
transaction, and each runs again by itself. A transaction takes SQLite's lock at its beginning (BEGIN IMMEDIATE), so
that what a decision read is still true when it is written.

A look at a conversation is one statement by primary keys, answered by the page cache in some 20 microseconds: it runs
on the event loop's own connection, since to ask a thread would take longer. Whatever may be large is read by a thread.
"""

import asyncio
import queue
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Thread
from types import MappingProxyType
from typing import Any, Final, Generic, NamedTuple, TypeVar

from sqlalchemy import Executable
from sqlalchemy.dialects.sqlite import dialect as sqlite_dialect

from services.common import logs
from services.handles.config import Durability
from services.handles.programs import Answer, Ask, MakeProgram, Program
from services.handles.statements import LOCK, SQLITE_REPAIRS, Compiled, compiled, moment_to_text
from services.handles.store import unavailable

T = TypeVar("T")

PRAGMAS: Final = MappingProxyType(
    {
        "busy_timeout": "5000",
        "journal_mode": "WAL",
        "synchronous": "FULL",
        "foreign_keys": "ON",
        "secure_delete": "ON",
    }
)
"""What every connection sets, in this order: patience first, since the journal mode may have to wait for a lock."""

SYNCHRONOUS: Final = MappingProxyType({Durability.FULL: "FULL", Durability.RELAXED: "NORMAL"})
"""What `synchronous` is at each durability."""

_MOST: Final = 64
"""Programs in one transaction: a bound on what one failure makes run again."""

VACUUM_LIMIT: Final = 64 * 1024 * 1024
"""Bytes of the largest file that is written anew after a deletion: nobody can write meanwhile."""

_PATIENCE: Final = 5.0
"""Seconds that a program waits in line."""

_DIALECT: Final = sqlite_dialect(paramstyle="qmark")
_COMPILED: Final[dict[int, tuple[Executable, Compiled]]] = {}

_log = logs.get("handles")


@dataclass(slots=True, eq=False)
class _Job(Generic[T]):
    """Something to be done with the writer's connection, and who waits for it.

    Args:
        call: Does it.
        future: Of whoever waits.
        alone: It shares its transaction with no other.
        bare: It runs outside of any transaction.
    """

    call: Callable[[sqlite3.Connection], T]
    future: asyncio.Future[T]
    alone: bool = False
    bare: bool = False


class _Outcome(NamedTuple):
    """How a job ended."""

    job: _Job[Any]
    value: object = None
    error: Exception | None = None


class Sqlite:
    """A SQLite file that a store's programs run on; see `services.handles.sql_store.Backend`.

    Args:
        path: The file, whose schema is up to date.
        durability: What an answered commit survives.
    """

    def __init__(self, path: Path, durability: Durability = Durability.FULL) -> None:
        reading = {"query_only": "ON"}
        self._writer = connect(path, {"synchronous": SYNCHRONOUS[durability]})
        self._looker = connect(path, reading)
        self._reader = connect(path, reading)
        self._reading = ThreadPoolExecutor(1, "filo-sqlite-read")
        self._jobs: queue.SimpleQueue[_Job[Any] | None] = queue.SimpleQueue()
        self._thread = Thread(target=self._serve, name="filo-sqlite-write", daemon=True)
        self._thread.start()

    async def look(self, make: MakeProgram[T]) -> T:
        """Run a program of one small read."""
        try:
            return run(self._looker, make())
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
        return await self._do(lambda connection: run(connection, make()), alone=alone)

    async def scrub(self, *, deep: bool) -> bool:
        """Fold the WAL into the file and empty it; `deep` writes the file anew before, unless it is too large for that.

        SQLite zeroes what it deletes, but not what it left behind when it moved rows from page to page.

        Returns:
            Whether all was done: a reader in another process may be in the way.
        """
        return await self._do(partial(_scrub, deep=deep), alone=True, bare=True)

    async def close(self) -> None:
        """Finish what waits, and close every connection; the last one out folds the WAL into the file."""
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)
        self._reading.shutdown()
        for connection in (self._looker, self._reader, self._writer):
            connection.close()

    async def _do(self, call: Callable[[sqlite3.Connection], T], *, alone: bool, bare: bool = False) -> T:
        job = _Job(call, asyncio.get_running_loop().create_future(), alone, bare)
        self._jobs.put(job)
        try:
            async with asyncio.timeout(_PATIENCE):
                result: T = await job.future
        except (TimeoutError, sqlite3.OperationalError) as error:
            raise unavailable(error) from error
        return result

    def _serve(self) -> None:
        waiting: _Job[Any] | None = self._jobs.get()
        while waiting is not None:
            batch, waiting = self._batch(waiting)
            _tell(self._commit([job for job in batch if not job.future.cancelled()]))
            waiting = waiting or self._jobs.get()

    def _batch(self, first: _Job[Any]) -> tuple[list[_Job[Any]], _Job[Any] | None]:
        """What goes into one transaction, and a job that was taken from the queue but goes into the next."""
        batch = [first]
        while not first.alone and len(batch) < _MOST:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is None or job.alone:
                if job is None:
                    self._jobs.put(None)
                return batch, job
            batch.append(job)
        return batch, None

    def _commit(self, batch: Sequence[_Job[Any]]) -> list[_Outcome]:
        """Run jobs in one transaction, or, where that fails, each in its own."""
        connection = self._writer
        if not batch:
            return []
        try:
            if not batch[0].bare:
                connection.execute("BEGIN IMMEDIATE")
            outcomes = [_outcome(connection, job) for job in batch]
            connection.commit()
        except Exception as error:  # noqa: BLE001 - whoever waits is told
            _undo(connection)
            if len(batch) == 1:
                return [_Outcome(batch[0], error=error)]
            return [outcome for job in batch for outcome in self._commit([job])]
        return outcomes


def connect(path: Path, pragmas: dict[str, str]) -> sqlite3.Connection:
    """Open a connection that begins no transaction by itself and may be handed from thread to thread."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
    for name, value in {**PRAGMAS, **pragmas}.items():
        connection.execute(f"PRAGMA {name}={value}").fetchall()
    return connection


def run(connection: sqlite3.Connection, program: Program[T]) -> T:
    """Drive a program to its end, inside whatever transaction is open."""
    answer: Answer | None = None
    try:
        while True:
            ask = program.send(answer) if answer is not None else next(program)
            answer = _ask(connection, ask)
    except StopIteration as done:
        result: T = done.value
        return result


def _ask(connection: sqlite3.Connection, ask: Ask) -> Answer:
    if ask.statement is LOCK:  # BEGIN IMMEDIATE has locked everything
        return Answer()
    statement = _compiled(ask.statement)
    if isinstance(ask.given, list):
        connection.executemany(statement.text, [_arguments(statement, given) for given in ask.given])
        return Answer()
    cursor = connection.execute(statement.text, _arguments(statement, ask.given))
    rows = cursor.fetchall()
    if statement.columns and rows:
        rows = [_repaired(row, statement) for row in rows]
    return Answer(rows, cursor.rowcount)


def _arguments(statement: Compiled, given: Mapping[str, Any]) -> list[Any]:
    arguments = statement.arguments(given)
    for at in statement.moments:
        arguments[at] = moment_to_text(arguments[at])
    return arguments


def _repaired(row: Sequence[Any], statement: Compiled) -> list[Any]:
    values = list(row)
    for at, repair in statement.columns:
        values[at] = repair(values[at])
    return values


def _compiled(statement: Executable) -> Compiled:
    known = _COMPILED.get(id(statement))
    if known is None:  # the statement is kept with it, so that its id stays its own
        known = _COMPILED[id(statement)] = (statement, compiled(statement, _DIALECT, SQLITE_REPAIRS))
    return known[1]


def _reading(connection: sqlite3.Connection, make: MakeProgram[T]) -> T:
    connection.execute("BEGIN")
    try:
        return run(connection, make())
    finally:
        connection.rollback()


def _outcome(connection: sqlite3.Connection, job: _Job[Any]) -> _Outcome:
    """Do one job of a transaction.

    Raises:
        Exception: What it raised, if it may have written something that must be undone.
    """
    written = connection.total_changes
    try:
        return _Outcome(job, job.call(connection))
    except Exception as error:
        if isinstance(error, sqlite3.Error) or connection.total_changes != written:
            raise
        return _Outcome(job, error=error)


def _undo(connection: sqlite3.Connection) -> None:
    try:
        connection.rollback()
    except sqlite3.Error as error:  # SQLite has undone it by itself, or the file is gone
        _log.warning("rollback failed", error=str(error))


def _scrub(connection: sqlite3.Connection, *, deep: bool) -> bool:
    pages, size = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    if deep and pages * size <= VACUUM_LIMIT:
        connection.execute("VACUUM")
    busy: int = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    return not busy


def _tell(outcomes: Sequence[_Outcome]) -> None:
    """Hand results to whoever waits, all in one step of their loop."""
    if not outcomes:
        return

    def tell() -> None:
        for outcome in outcomes:
            future = outcome.job.future
            if future.done():  # nobody waits any more
                continue
            if outcome.error is None:
                future.set_result(outcome.value)
            else:
                future.set_exception(outcome.error)

    try:
        outcomes[0].job.future.get_loop().call_soon_threadsafe(tell)
    except RuntimeError:  # the loop has ended, and nobody waits any more
        _log.debug("nobody waited for a commit")

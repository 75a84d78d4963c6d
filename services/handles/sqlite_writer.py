"""SQLite's one writer: one transaction, and one sync, for all that waits.

Statements run on the event loop, the commit in a thread. A statement takes some ten microseconds and would lose more to
the handing to and fro between two threads that share one interpreter lock; a commit waits for the disk, and holds no
lock while it does. Whatever arrives meanwhile waits, and goes together next (group commit): the more wait, the cheaper
each is. So a busy writer also waits a moment for more before it begins (as PostgreSQL's `commit_delay` does): a commit
costs as much as two or three jobs, and the loop has other calls to read meanwhile. What may take long, or has to wait
for another process to finish writing, goes to the thread as a whole.

What one job raises before it wrote anything concerns only itself; anything else undoes the transaction, and each job
runs again by itself. A transaction takes SQLite's lock at its beginning (BEGIN IMMEDIATE), so that what a decision read
is still true when it is written.
"""

import asyncio
import queue
import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Thread
from typing import Any, Final, Generic, NamedTuple, TypeVar

from services.common import logs
from services.handles import sqlite_programs
from services.handles.store import unavailable

T = TypeVar("T")

PATIENCE: Final = 5.0
"""Seconds that a job waits in line."""

GATHER: Final = 0.002
"""Seconds that a job waits for others to come along, when the one before it came no longer ago than that."""

_MOST: Final = 64
"""Jobs in one transaction: a bound on how long the loop is kept, and on what one failure makes run again."""

_LOOK: Final = 0.5
"""Seconds between two looks for jobs that have waited too long."""

_log = logs.get("handles")


@dataclass(slots=True, eq=False)
class _Job(Generic[T]):
    """Something to be done with the writer's connection, and who waits for it.

    Args:
        call: Does it.
        future: Of whoever waits.
        begin: The loop's time at which it should begin.
        alone: It shares its transaction with no other, and runs in the thread.
        bare: It runs outside of any transaction.
    """

    call: Callable[[sqlite3.Connection], T]
    future: asyncio.Future[T]
    begin: float
    alone: bool = False
    bare: bool = False


class _Outcome(NamedTuple):
    """How a job ended."""

    job: _Job[Any]
    value: object = None
    error: Exception | None = None


class _Batch(NamedTuple):
    """Jobs of one transaction, and how they ended where they have run already: then only the commit is left."""

    jobs: Sequence[_Job[Any]]
    outcomes: Sequence[_Outcome] | None


class Writer:
    """Does jobs on one connection, in the order in which they came; belongs to the running event loop.

    Args:
        connection: Nobody else uses it; closed by whoever opened it, after `close`.
        committed: Told how many jobs shared a commit.
    """

    def __init__(self, connection: sqlite3.Connection, committed: Callable[[int], object] | None = None) -> None:
        connection.execute("PRAGMA busy_timeout=0")  # the loop waits for nobody, the thread does
        self._connection = connection
        self._committed = committed
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[_Job[Any]] = deque()
        self._doing: Sequence[_Job[Any]] = ()
        self._came = self._loop.time() - GATHER
        self._busy = False
        self._watched = False
        self._batches: queue.SimpleQueue[_Batch | None] = queue.SimpleQueue()
        self._thread = Thread(target=self._serve, name="filo-sqlite-write", daemon=True)
        self._thread.start()

    async def do(self, call: Callable[[sqlite3.Connection], T], *, alone: bool = False, bare: bool = False) -> T:
        """Do something in a transaction; a cancelled call has happened whole or not at all.

        Args:
            call: Plain and quick, unless it is to be alone; may be called again, when its transaction was undone.
            alone: In a transaction of its own, in the thread.
            bare: Outside of any transaction.

        Raises:
            ServiceError: STORE_UNAVAILABLE.
        """
        now = self._loop.time()
        job = _Job(call, self._loop.create_future(), now if now - self._came > GATHER else now + GATHER, alone, bare)
        self._came = now
        self._waiting.append(job)
        if not self._busy:
            self._busy = True
            self._loop.call_at(job.begin, self._next)  # whoever else comes in this turn of the loop comes along
            self._watch()
        try:
            result: T = await job.future
        except (TimeoutError, sqlite3.OperationalError) as error:
            raise unavailable(error) from error
        return result

    def at_rest(self) -> sqlite3.Connection | None:
        """The connection, to read with until the loop's next turn; None while a transaction is under way on it.

        What it keeps of the file is always up to date, where every commit makes another connection forget all it knew.
        """
        return None if self._doing else self._connection

    async def close(self) -> None:
        """Finish what waits."""
        await self.do(lambda _: None, alone=True, bare=True)
        self._batches.put(None)
        await asyncio.to_thread(self._thread.join)

    def _next(self) -> None:
        """Begin what waits: run it, and leave the commit to the thread."""
        jobs = self._doing = self._take()
        if jobs:
            self._batches.put(_Batch(jobs, None if jobs[0].alone else self._at_once(jobs)))
        else:  # nobody waits any more
            self._busy = False

    def _take(self) -> Sequence[_Job[Any]]:
        jobs: list[_Job[Any]] = []
        while self._waiting and len(jobs) < _MOST and not (jobs and (jobs[0].alone or self._waiting[0].alone)):
            job = self._waiting.popleft()
            if not job.future.done():  # somebody still waits for it
                jobs.append(job)
        return jobs

    def _at_once(self, jobs: Sequence[_Job[Any]]) -> Sequence[_Outcome] | None:
        """Run jobs in a transaction that is left open; None where the thread has to begin anew."""
        try:
            return _run(self._connection, jobs)
        except sqlite3.OperationalError:  # somebody else is writing, above all
            _undo(self._connection)
        except Exception as error:  # noqa: BLE001 - one that runs by itself tells whoever waits
            _log.debug("transaction undone", error=type(error).__name__)
            _undo(self._connection)
        return None

    def _done(self, outcomes: Sequence[_Outcome]) -> None:
        if self._committed is not None:
            self._committed(len(outcomes))
        for outcome in outcomes:
            future = outcome.job.future
            if future.done():  # nobody waits any more
                continue
            if outcome.error is None:
                future.set_result(outcome.value)
            else:
                future.set_exception(outcome.error)
        self._doing = ()
        if self._waiting:
            self._loop.call_at(self._waiting[0].begin, self._next)
        else:
            self._busy = False

    def _watch(self) -> None:
        """Send away whoever has waited too long, now and again while there is work."""
        if not self._watched:
            self._watched = True
            self._loop.call_later(_LOOK, self._look)

    def _look(self) -> None:
        self._watched = False
        now = self._loop.time()
        for job in (*self._doing, *self._waiting):
            if now >= job.begin + PATIENCE and not job.future.done():
                job.future.set_exception(TimeoutError("the writer is busy"))
        if self._busy:
            self._watch()

    def _serve(self) -> None:
        """The thread: finishes batches, one after the other."""
        while (batch := self._batches.get()) is not None:
            outcomes = self._finish(batch)
            try:
                self._loop.call_soon_threadsafe(self._done, outcomes)
            except RuntimeError:  # the loop has ended, and nobody waits any more
                _log.debug("nobody waited for a commit")

    def _finish(self, batch: _Batch) -> Sequence[_Outcome]:
        if batch.outcomes is None:
            return self._patiently(batch.jobs)
        try:
            self._connection.commit()
        except Exception:  # noqa: BLE001 - whoever waits is told
            _undo(self._connection)
            return self._patiently(batch.jobs)
        return batch.outcomes

    def _patiently(self, jobs: Sequence[_Job[Any]]) -> Sequence[_Outcome]:
        """Run jobs from begin to commit, waiting for another process where one is writing."""
        self._connection.execute(f"PRAGMA busy_timeout={sqlite_programs.PRAGMAS['busy_timeout']}")
        try:
            return self._transact(jobs)
        finally:
            self._connection.execute("PRAGMA busy_timeout=0")

    def _transact(self, jobs: Sequence[_Job[Any]]) -> Sequence[_Outcome]:
        """Run jobs in one transaction, or, where that fails, each in its own."""
        try:
            outcomes = _run(self._connection, jobs)
            self._connection.commit()
        except Exception as error:  # noqa: BLE001 - whoever waits is told
            _undo(self._connection)
            if len(jobs) == 1:
                return [_Outcome(jobs[0], error=error)]
            return [outcome for job in jobs for outcome in self._transact([job])]
        return outcomes


def _run(connection: sqlite3.Connection, jobs: Sequence[_Job[Any]]) -> Sequence[_Outcome]:
    """Begin a transaction, unless a bare job wants none, and run jobs in it."""
    if not jobs[0].bare:
        connection.execute("BEGIN IMMEDIATE")
    return [_outcome(connection, job) for job in jobs]


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

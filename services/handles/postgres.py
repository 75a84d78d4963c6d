"""PostgreSQL as the store uses it: a pool for the data path, another for what may take long.

A change locks the conversation's row, then looks, decides and writes (READ COMMITTED: each statement sees what was
committed before it began, so the look comes after the lock). Concurrent commits share a sync of PostgreSQL's own
log. A process that dies or is cut off loses its locks with its connection, at the latest after `SETTINGS` says so.
"""

import asyncio
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias, TypeVar, cast

import asyncpg
from asyncpg.pool import PoolConnectionProxy
from sqlalchemy import Dialect, Executable
from sqlalchemy.dialects.postgresql.asyncpg import dialect as asyncpg_dialect
from sqlalchemy.engine import URL

from services.common import sql_engine
from services.common.lifecycle import StartupError
from services.handles.compiling import Compiled, compiled
from services.handles.config import Durability
from services.handles.programs import Answer, Ask, MakeProgram
from services.handles.store import unavailable

T = TypeVar("T")
_Connection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"

SETTINGS: Final = MappingProxyType(
    {
        "application_name": "filo-handles",
        "default_transaction_isolation": "read committed",
        "lock_timeout": "5000",
        "statement_timeout": "10000",
        "idle_in_transaction_session_timeout": "15000",
        "tcp_keepalives_idle": "10",
        "tcp_keepalives_interval": "5",
        "tcp_keepalives_count": "3",
    }
)
"""What every connection sets; times in milliseconds, those of TCP in seconds."""

SYNCHRONOUS_COMMIT: Final = MappingProxyType({Durability.FULL: "on", Durability.RELAXED: "off"})
"""What `synchronous_commit` is at each durability."""

NEEDED: Final = MappingProxyType({"fsync": "on", "full_page_writes": "on"})
"""The server's own settings without which no commit survives a power cut."""

UNUSABLE: Final = (OSError, TimeoutError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError)
"""What an attempt to connect may raise."""

_PATIENCE: Final = 5.0
"""Seconds that a call waits for a connection."""

_ASIDE: Final = 2
"""Connections for what may take long, in each process."""

_DIALECT: Final = cast("Dialect", cast("Any", asyncpg_dialect)())
_COMPILED: Final[dict[int, tuple[Executable, Compiled]]] = {}


class Postgres:
    """A PostgreSQL database that a store's programs run on; see `services.handles.sql_store.Backend`.

    Args:
        data: Connections of the data path.
        aside: Connections for what may take long.
    """

    def __init__(self, data: "asyncpg.Pool[asyncpg.Record]", aside: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._data = data
        self._aside = aside

    async def look(self, make: MakeProgram[T]) -> T:
        """Run a program of one small read: a statement is its own transaction."""
        return await _run(self._data, make, transaction=False)

    async def read(self, make: MakeProgram[T]) -> T:
        """Run a program that reads, and may read much."""
        return await _run(self._aside, make, transaction=False)

    async def write(self, make: MakeProgram[T], *, alone: bool = False) -> T:
        """Run a program in a transaction; what is to be `alone` stays off the data path."""
        return await _run(self._aside if alone else self._data, make, transaction=True)

    async def scrub(self, *, deep: bool) -> bool:  # noqa: ARG002 - one of the backend's calls
        """Nothing to be done: PostgreSQL vacuums by itself, and recycles its log."""
        return True

    async def effective(self) -> Mapping[str, str]:
        """The settings that durability hangs on, as they are in force on the data path."""
        async with self._data.acquire() as connection:
            names = (*NEEDED, "synchronous_commit")
            return {name: cast("str", await connection.fetchval(f"SHOW {name}")) for name in names}

    async def close(self) -> None:
        """Close every connection."""
        await asyncio.gather(self._data.close(), self._aside.close())


async def opened(url: URL, durability: Durability, connections: int) -> Postgres:
    """Connect.

    Args:
        url: The database, whose schema is up to date.
        durability: What an answered commit survives.
        connections: How many the data path may use.

    Raises:
        StartupError: It cannot be reached, or refuses.
    """
    settings = {**SETTINGS, "synchronous_commit": SYNCHRONOUS_COMMIT[durability]}
    pools = []
    try:
        for size in (connections, _ASIDE):
            pool = asyncpg.create_pool(
                sql_engine.dsn(url),
                min_size=1,
                max_size=size,
                timeout=_PATIENCE,
                command_timeout=2 * _PATIENCE,
                server_settings=settings,
                reset=_keep,
            )
            pools.append(await pool)
    except UNUSABLE as error:
        for pool in pools:
            await pool.close()
        raise unusable(url, error) from error
    return Postgres(*pools)


async def _keep(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Spare the round trip that would clean a returned connection: nothing is left on one but a broken transaction."""
    if connection.is_in_transaction():
        connection.terminate()


async def _run(pool: "asyncpg.Pool[asyncpg.Record]", make: MakeProgram[T], *, transaction: bool) -> T:
    try:
        async with pool.acquire(timeout=_PATIENCE) as connection:
            try:
                if not transaction:
                    return await _drive(connection, make)
                async with connection.transaction():
                    return await _drive(connection, make)
            except asyncpg.InternalClientError:  # what a dying server leaves of a connection
                connection.terminate()
                raise
    except sql_engine.AWAY as error:
        raise unavailable(error) from error


async def _drive(connection: _Connection, make: MakeProgram[T]) -> T:
    program = make()
    answer: Answer | None = None
    try:
        while True:
            ask = program.send(answer) if answer is not None else next(program)
            answer = await _ask(connection, ask)
    except StopIteration as done:
        result: T = done.value
        return result


async def _ask(connection: _Connection, ask: Ask) -> Answer:
    statement = _compiled(ask.statement)
    if isinstance(ask.given, list):
        await connection.executemany(statement.text, [statement.arguments(given) for given in ask.given])
        return Answer()
    prepared = await connection.prepare(statement.text)
    rows = await prepared.fetch(*statement.arguments(ask.given))
    return Answer([tuple(row) for row in rows], _count(prepared.get_statusmsg() or ""))


def _count(status: str) -> int:
    """How many rows a command changed, from its tag: ``UPDATE 1``."""
    last = status.rpartition(" ")[2]
    return int(last) if last.isdecimal() else 0


def _compiled(statement: Executable) -> Compiled:
    known = _COMPILED.get(id(statement))
    if known is None:  # the statement is kept with it, so that its id stays its own
        known = _COMPILED[id(statement)] = (statement, compiled(statement, _DIALECT, {}))
    return known[1]


def unusable(url: URL, error: BaseException) -> StartupError:
    """What to tell when the database cannot be used."""
    why = " ".join(str(error).split()) or type(error).__name__
    return sql_engine.refusal(error)(f"cannot use the database {url.render_as_string(hide_password=True)}: {why}")

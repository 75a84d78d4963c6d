"""A million conversations in a minute: rows made in SQL, from one that the service itself stored.

Every table is copied column by column from a template, but for what must differ, so a new column needs no change here.
The copies cannot be opened (what is sealed is bound to its conversation): they are weight, and are never asked for.
"""

import sqlite3
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import asyncpg


class Dialect(NamedTuple):
    """What the two databases write differently.

    Args:
        series: A table of ids (32 hex digits), given their number.
        as_bytes: An id as bytes.
        columns: A query for the names of a table's columns.
    """

    series: str
    as_bytes: str
    columns: str


SQLITE: Final = Dialect(
    "CREATE TEMP TABLE filler AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) "
    "SELECT lower(hex(randomblob(16))) AS id FROM n ORDER BY 1",
    "CAST(f.id AS BLOB)",
    "SELECT name FROM pragma_table_info('{table}')",
)
POSTGRES: Final = Dialect(
    "CREATE TEMP TABLE filler AS SELECT md5(random()::text || i) AS id FROM generate_series(1, {count}) i ORDER BY 1",
    "convert_to(f.id, 'UTF8')",
    "SELECT column_name FROM information_schema.columns WHERE table_schema = 'public' AND table_name = '{table}'",
)

_DIFFERS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "conversations": {"id": "f.id", "request_id": "f.id"},
        "agents": {"conversation_id": "f.id"},
        "upstream_handles": {"conversation_id": "f.id"},
        "resume_handles": {"conversation_id": "f.id", "digest": "{as_bytes}"},
        "turns": {"conversation_id": "f.id"},
    }
)
"""The columns that are not the template's, in the order in which tables refer to each other."""

Execute = Callable[[str], Awaitable[Sequence[Sequence[Any]]]]


async def fill(execute: Execute, dialect: Dialect, count: int, template: str) -> None:
    """Add conversations, each with its agent, an upstream handle, a resume handle and a turn.

    Args:
        execute: Runs a statement in one and the same transaction; gives its rows.
        dialect: Which database it is.
        count: How many.
        template: The id of the conversation that they are copies of.
    """
    await execute(dialect.series.format(count=count))
    for table, differs in _DIFFERS.items():
        columns = [row[0] for row in await execute(dialect.columns.format(table=table))]
        values = [differs.get(name, f"t.{name}").format(as_bytes=dialect.as_bytes) for name in columns]
        key = "id" if table == "conversations" else "conversation_id"
        await execute(
            f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(values)} "  # noqa: S608 - our own words
            f"FROM filler f CROSS JOIN (SELECT * FROM {table} WHERE {key} = '{template}' LIMIT 1) t ORDER BY f.id"
        )


async def fill_sqlite(path: Path, count: int, template: str) -> None:
    """Fill a database that no service uses at the moment."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        for pragma in ("synchronous = OFF", "cache_size = -262144", "temp_store = MEMORY"):
            connection.execute(f"PRAGMA {pragma}")

        async def execute(statement: str) -> Sequence[Sequence[Any]]:
            return connection.execute(statement).fetchall()

        await execute("BEGIN")
        await fill(execute, SQLITE, count, template)
        await execute("COMMIT")
        await execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()


async def fill_postgres(url: str, count: int, template: str) -> None:
    """Fill a database, and let PostgreSQL look at what it has."""
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():

            async def execute(statement: str) -> Sequence[Sequence[Any]]:
                return [tuple(row) for row in await connection.fetch(statement)]

            await fill(execute, POSTGRES, count, template)
        await connection.execute("VACUUM ANALYZE")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()

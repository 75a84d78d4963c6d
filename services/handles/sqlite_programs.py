"""Programs on a connection to a SQLite file: how one is opened, and how a program's statements run on it."""

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeVar

from sqlalchemy import Executable
from sqlalchemy.dialects.sqlite import dialect as sqlite_dialect

from services.common import sqlite_wal
from services.handles.compiling import SQLITE_REPAIRS, Compiled, compiled, moment_to_text
from services.handles.programs import Answer, Ask, Program
from services.handles.statements import LOCK

T = TypeVar("T")

PRAGMAS: Final = MappingProxyType(
    {
        "busy_timeout": "5000",
        "journal_mode": "WAL",
        "synchronous": "FULL",
        "foreign_keys": "ON",
        "secure_delete": "ON",
        "temp_store": "MEMORY",
        "cache_size": "-32768",
        "wal_autocheckpoint": "4000",
    }
)
"""What every connection sets, in this order: patience first, since the journal mode may have to wait for a lock.

The page cache is in KiB, and taken as it fills. A write-ahead log of 16 MiB is folded into the file a quarter as often
as SQLite's own default of 4 MiB would have it, and so writes a page that many changed once.
"""

_DIALECT: Final = sqlite_dialect(paramstyle="qmark")
_COMPILED: Final[dict[int, tuple[Executable, Compiled]]] = {}


def connect(path: Path, pragmas: Mapping[str, str]) -> sqlite3.Connection:
    """Open a connection that begins no transaction by itself and may be handed from thread to thread.

    Args:
        path: The file.
        pragmas: What it sets beside `PRAGMAS`, or otherwise.
    """
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
    sqlite_wal.configure(connection, {**PRAGMAS, **pragmas})
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


def prepared(statement: Executable) -> Compiled:
    """A statement as SQLite takes it; compiled at its first use."""
    known = _COMPILED.get(id(statement))
    if known is None:  # the statement is kept with it, so that its id stays its own
        known = _COMPILED[id(statement)] = (statement, compiled(statement, _DIALECT, SQLITE_REPAIRS))
    return known[1]


def _ask(connection: sqlite3.Connection, ask: Ask) -> Answer:
    if ask.statement is LOCK:  # BEGIN IMMEDIATE has locked everything
        return Answer()
    statement = prepared(ask.statement)
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

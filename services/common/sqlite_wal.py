"""A connection to a SQLite file, set up so that readers and one writer do not stand in each other's way."""

import sqlite3
import time
from collections.abc import Mapping
from typing import Final, Protocol

JOURNAL_MODE: Final = "journal_mode"
_PAUSE: Final = 0.005
_ATTEMPTS: Final = 2000
"""Ten seconds in all; the change itself takes milliseconds."""


class _Cursor(Protocol):
    def execute(self, statement: str, /) -> object: ...
    def fetchall(self) -> object: ...
    def close(self) -> object: ...


class Connecting(Protocol):
    """A connection of sqlite3, or one that SQLAlchemy has wrapped."""

    def cursor(self) -> _Cursor:
        """Open a cursor."""


def configure(connection: Connecting, pragmas: Mapping[str, str]) -> None:
    """Set a connection's pragmas, in order.

    Two processes that open a new file at once may both be about to change its journal mode, each with a lock that the
    other waits for: SQLite then refuses one of them at once, whatever its ``busy_timeout``
    (sqlite.org/c3ref/busy_handler.html). So that change is tried again for ten seconds, in which the thread waits.

    Raises:
        sqlite3.OperationalError: The file cannot be used, or stays locked.
    """
    cursor = connection.cursor()
    try:
        for name, value in pragmas.items():
            _set(cursor, name, value, _ATTEMPTS if name == JOURNAL_MODE else 1)
    finally:
        cursor.close()


def _set(cursor: _Cursor, name: str, value: str, attempts: int) -> None:
    while True:
        attempts -= 1
        try:
            cursor.execute(f"PRAGMA {name}={value}")
            cursor.fetchall()
        except sqlite3.OperationalError as error:
            if not attempts or error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise
            time.sleep(_PAUSE)
        else:
            return

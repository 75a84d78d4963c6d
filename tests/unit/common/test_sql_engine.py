"""Which errors of a database mean that it is away and comes back."""

import sqlite3

import asyncpg
import pytest
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from services.common import sql_engine


def of_sqlite(code: int) -> sqlite3.OperationalError:
    """As the driver raises it."""
    error = sqlite3.OperationalError("something")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("error", "away"),
    [
        (ConnectionRefusedError(), True),
        (TimeoutError(), True),
        (PoolTimeoutError("no connection is free"), True),
        (asyncpg.CannotConnectNowError("starting up"), True),
        (asyncpg.AdminShutdownError("going down"), True),
        (asyncpg.InterfaceError("connection is closed"), True),
        (asyncpg.UndefinedTableError("no such table"), False),
        (asyncpg.UniqueViolationError("twice"), False),
        (of_sqlite(sqlite3.SQLITE_BUSY), True),
        (of_sqlite(sqlite3.SQLITE_CANTOPEN), True),
        (of_sqlite(sqlite3.SQLITE_FULL), True),
        (of_sqlite(sqlite3.SQLITE_ERROR), False),
        (sqlite3.OperationalError("of an older driver"), False),
        (sqlite3.IntegrityError("twice"), False),
        (ValueError("a defect"), False),
    ],
)
def test_what_may_come_back_is_told_from_what_is_wrong(error: Exception, *, away: bool) -> None:
    """As the driver raises it, and in SQLAlchemy's wrapping, whatever that is called."""
    assert sql_engine.is_away(error) is away
    for wrapping in (DBAPIError, OperationalError, IntegrityError):
        assert sql_engine.is_away(wrapping("INSERT", {}, error)) is away

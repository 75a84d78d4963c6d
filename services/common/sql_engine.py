"""SQLAlchemy's engines as the services make them, and what an attempt to connect tells."""

import sqlite3
from functools import partial
from typing import Final

import asyncpg
from sqlalchemy.engine import URL
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from services.common.lifecycle import NotYetError, StartupError

_PATIENCE: Final = 5.0
"""Seconds that a connection to a server may take to come about."""

_NOT_YET: Final = (
    OSError,  # a timeout among them
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.PostgresConnectionError,
)
"""What a server that is away, or on its way up or down, answers to a connection: it may come back by itself."""

AWAY: Final = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,
    asyncpg.LockNotAvailableError,
    asyncpg.ReadOnlySQLTransactionError,
)
"""What PostgreSQL's driver raises where a server that was there does not answer now, and may again by itself."""


def dsn(url: URL) -> str:
    """The URL of a PostgreSQL in the form that asyncpg takes, password and all: not for logs."""
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def engine(url: URL) -> AsyncEngine:
    """An engine on SQLite or PostgreSQL, which tells no parameters in its errors.

    Args:
        url: One of PostgreSQL may have the options of asyncpg's (``?sslmode=verify-full``); SQLAlchemy by itself would
            pass them on as arguments that asyncpg does not have. A connection may raise what asyncpg raises:
            ValueError where an option is malformed.
    """
    if url.get_backend_name() == "sqlite":
        return create_async_engine(url, hide_parameters=True)
    connect = partial(asyncpg.connect, dsn(url), timeout=_PATIENCE)
    place = url.set(drivername="postgresql+asyncpg", query={})
    return create_async_engine(place, async_creator=connect, hide_parameters=True)


def refusal(error: BaseException) -> type[StartupError]:
    """What a failed attempt to use a PostgreSQL is: `NotYetError` where to wait for it may help, else `StartupError`.

    Args:
        error: SQLAlchemy's, its adapter's, or asyncpg's own; each of the first two has the next as its ``orig``.
    """
    return NotYetError if isinstance(_innermost(error), _NOT_YET) else StartupError


def is_away(error: BaseException) -> bool:
    """Whether a database that was in use does not answer now, and may again by itself: the caller comes back.

    Args:
        error: As of `refusal`.
    """
    inner = _innermost(error)
    if isinstance(inner, sqlite3.OperationalError):  # a lock, a disk, a file; the plain code: something wrong in SQL
        return getattr(inner, "sqlite_errorcode", sqlite3.SQLITE_ERROR) != sqlite3.SQLITE_ERROR
    return isinstance(inner, (*AWAY, PoolTimeoutError))


def _innermost(error: BaseException) -> BaseException:
    while (inner := getattr(error, "orig", None)) is not None:
        error = inner
    return error

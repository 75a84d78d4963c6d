"""Opening the database at start: the connections, the schema, and the keys that it was written with."""

import hmac
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from sqlalchemy import Connection, event
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from services.common import logs, sql_engine, sqlite_wal
from services.common.lifecycle import StartupError
from services.handles import keyfile, postgres, programs, schema, sqlite, sqlite_file, sqlite_programs
from services.handles.codec import Sealing, UnreadableError
from services.handles.config import Settings
from services.handles.digests import Digests, sealing_check
from services.handles.keyfile import KeyRing
from services.handles.programs import Program
from services.handles.sql_store import Backend, SqlStore

T = TypeVar("T")

KEY_CHECK: Final = "key_check"
"""The fact that tells whether the key of the hashes is the right one."""

SEALING_CHECK: Final = "sealing_key_"
"""With a key's number: the fact that values may be sealed with it, and which key it is."""

_SHOWN: Final = 'printf "%s\\n1 %s\\n" $(openssl rand -hex 32) $(openssl rand -hex 32)'

_log = logs.get("handles")


class Opened(NamedTuple):
    """An open store.

    Args:
        store: Where everything is.
        digests: The hashes under the key file's key.
        sealing: What encrypts; its ring may be replaced while the store is in use.
        backend: What the store's programs run on.
    """

    store: SqlStore
    digests: Digests
    sealing: Sealing
    backend: Backend


@asynccontextmanager
async def opened(settings: Settings, committed: Callable[[int], object] | None = None) -> AsyncIterator[Opened]:
    """Open the store and its keys; closed when the context is left.

    An embedded database is made and brought up to date, and its key file made at the first start. One on a server must
    have the schema of this code, and the key file be there.

    Args:
        settings: Which database, which keys.
        committed: Told how many writes shared a commit, where there is one writer.

    Raises:
        StartupError: The database or the key file cannot be used, or one does not belong to the other.
    """
    if settings.embedded:
        sqlite_file.prepare(settings.database_file)
        await migrating(settings.database, partial(schema.migrate, forward_only=True))
        backend: Backend = sqlite.Sqlite(settings.database_file, settings.durability, committed)
    else:
        await migrating(settings.database, schema.check)
        backend = await postgres.opened(settings.database, settings.durability, settings.connections)
    try:
        ring = await _ring(settings, await backend.read(programs.meta))
        await backend.write(partial(_noted, ring, settings.key_file))
        digests, sealing = Digests(ring.hashes), Sealing(ring, partial(_again, settings.key_file))
        yield Opened(SqlStore(backend, sealing), digests, sealing, backend)
    finally:
        await backend.close()


async def migrate(settings: Settings, target: str = schema.HEAD) -> tuple[str, str]:
    """Bring a database to a schema, forward or back: what ``filo handles migrate`` does.

    Args:
        settings: Which database.
        target: A revision, ``head`` or ``base``.

    Returns:
        The revision before, and the one after.

    Raises:
        StartupError: The database cannot be used, or there is no such revision.
    """
    if settings.embedded:
        sqlite_file.prepare(settings.database_file)
    return await migrating(settings.database, partial(schema.migrate, target=target))


async def take_keys(opened: Opened, path: Path) -> None:
    """Read the key file again, and use what it holds from now on; the keys in use stay when it cannot be used.

    Raises:
        StartupError: It is missing, cannot be used, or lacks a key that values are sealed with.
        ServiceError: STORE_UNAVAILABLE.
    """
    ring = keyfile.load(path)
    if ring is None:
        raise StartupError(f"the key file {path} is missing")
    await opened.backend.write(partial(_noted, ring, path))
    opened.sealing.ring = ring


def unused(ring: KeyRing, facts: Mapping[str, bytes]) -> list[str]:
    """The facts about a ring's older sealing keys: to be forgotten once nothing is sealed with them."""
    older = {f"{SEALING_CHECK}{number}" for number in ring.sealing if number != ring.newest}
    return [name for name in facts if name in older]


async def migrating(url: URL, work: Callable[[Connection], T]) -> T:
    """Do something with the schema in a transaction of SQLAlchemy's."""
    engine = sql_engine.engine(url)
    if engine.dialect.name == "sqlite":
        event.listen(engine.sync_engine, "connect", _set_up)
        event.listen(engine.sync_engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    try:
        async with engine.begin() as connection:
            return await connection.run_sync(work)
    except DBAPIError as error:
        raise _unusable(url, error.orig or error) from error
    except postgres.UNUSABLE as error:
        raise _unusable(url, error) from error
    finally:
        await engine.dispose()


def _set_up(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # the driver begins no transaction of its own
    sqlite_wal.configure(connection, sqlite_programs.PRAGMAS)


def _unusable(url: URL, error: BaseException) -> StartupError:
    if url.drivername.startswith("sqlite"):
        return sqlite_file.unusable(Path(url.database or ""), str(error))
    return postgres.unusable(url, error)


async def _ring(settings: Settings, facts: Mapping[str, bytes]) -> KeyRing:
    """The keys of the key file, made where this is the first start of an embedded database.

    Raises:
        StartupError: They are missing.
    """
    path = settings.key_file
    ring = keyfile.load(path)
    if ring is None and KEY_CHECK in facts:
        raise StartupError(f"the key file {path} is missing and the database cannot be used without it; restore it")
    if ring is None and not settings.embedded:
        raise StartupError(f"the key file {path} is missing; make one, for all replicas: {_SHOWN} > {path}")
    if ring is None:
        ring = keyfile.create(path)
        _log.warning(
            "made a new key file; back it up with the database, which is worth nothing without it", file=str(path)
        )
    return ring


def _again(path: Path) -> KeyRing:
    """Read the ring again.

    Raises:
        UnreadableError: It cannot be read.
    """
    try:
        ring = keyfile.load(path)
    except StartupError as error:
        raise UnreadableError(str(error)) from error
    if ring is None:
        raise UnreadableError(f"the key file {path} is missing")
    return ring


def _noted(ring: KeyRing, path: Path) -> Program[None]:
    """Note that values may be sealed with the newest key from now on; keys that are refused leave no note behind.

    Raises:
        StartupError: They are not those that the database was written with.
    """
    newest = {f"{SEALING_CHECK}{ring.newest}": sealing_check(ring.sealing[ring.newest])}
    facts = yield from programs.put_meta({KEY_CHECK: Digests(ring.hashes).key_check(), **newest})
    _compare(facts, ring, path)


def _compare(facts: Mapping[str, bytes], ring: KeyRing, path: Path) -> None:
    """See that the keys are those that the database was written with.

    Raises:
        StartupError: The key of the hashes is another one, or an encryption key is missing or another one.
    """
    if not hmac.compare_digest(facts[KEY_CHECK], Digests(ring.hashes).key_check()):
        raise StartupError(f"the key file {path} is not the one this database was made with; restore the right one")
    for name, check in facts.items():
        if not name.startswith(SEALING_CHECK):
            continue
        number = int(name.removeprefix(SEALING_CHECK))
        if number not in ring.sealing:
            raise StartupError(f"encryption key {number} is missing from the key file {path}; restore it")
        if not hmac.compare_digest(check, sealing_check(ring.sealing[number])):
            raise StartupError(f"encryption key {number} in {path} is not the one this database was written with")

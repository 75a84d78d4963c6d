"""Opening the database at start: the file, the schema, and the key that its hashes were made with."""

import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import DBAPIError

from services.common import logs
from services.common.lifecycle import StartupError
from services.handles import keyfile, schema, sqlite
from services.handles.codec import Plain
from services.handles.config import Settings
from services.handles.digests import Digests
from services.handles.models import Meta
from services.handles.sql_store import SqlStore
from services.handles.store import Store

_KEY_CHECK: Final = "key_check"

_log = logs.get("handles")


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[tuple[Store, Digests]]:
    """Open the store and its key, made at the first start; closed when the context is left.

    Raises:
        StartupError: The database or the key file cannot be used, or one does not belong to the other.
    """
    path = settings.database_file
    sqlite.prepare(path)
    engines = sqlite.engines(settings.database)
    try:
        try:
            async with engines.writer.begin() as connection:
                await connection.run_sync(schema.upgrade)
                digests = await connection.run_sync(_digests, settings.key_file)
        except DBAPIError as error:
            raise sqlite.unusable(path, str(error.orig)) from error
        yield SqlStore(engines, Plain()), digests
    finally:
        await engines.dispose()


def _digests(connection: Connection, path: Path) -> Digests:
    """The hashes under the key file's key, if it is the key that the database was made with.

    Raises:
        StartupError: The key file is missing although the database was in use, or it is another database's.
    """
    check = connection.execute(select(Meta.value).where(Meta.name == _KEY_CHECK)).scalar_one_or_none()
    key = keyfile.load(path)
    if key is None and check is not None:
        raise StartupError(f"the key file {path} is missing and the database cannot be used without it; restore it")
    if key is None:
        key = keyfile.create(path)
        _log.warning(
            "made a new key file; back it up with the database, which is worth nothing without it", file=str(path)
        )
    digests = Digests(key)
    if check is None:
        connection.execute(insert(Meta).values(name=_KEY_CHECK, value=digests.key_check()))
    elif not hmac.compare_digest(check, digests.key_check()):
        raise StartupError(f"the key file {path} is not the one this database was made with; restore the right one")
    return digests

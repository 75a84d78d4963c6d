"""Changing the encryption key while everything goes on.

Three steps, each safe to repeat: a new key is put first in the key file (`add_key`), and every process seals with it as
soon as it sees the file's new content (`follow`); what older keys sealed is re-encrypted in small batches
(`reencrypt`); when nothing is left, the older keys are dropped (`forget`). The key of the hashes never changes: a hash
cannot be made anew.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from services.common import logs
from services.common.clock import Clock
from services.common.errors import ServiceError
from services.common.lifecycle import StartupError
from services.handles import database, keyfile, programs
from services.handles.database import Opened
from services.handles.statements import SEALED
from services.handles.store import Store

BATCH: Final = 100
"""The most rows of a batch."""

_PAUSE: Final = 0.005
"""Seconds between two batches, in which other writers come first."""

_LOOK: Final = 1.0
"""Seconds between two looks at the key file."""

_log = logs.get("handles")


def add_key(path: Path) -> int:
    """Put a new key first in a key file.

    Returns:
        The key's number.

    Raises:
        StartupError: There is no key file, or it cannot be written.
    """
    with keyfile.changing(path):
        ring = keyfile.load(path)
        if ring is None:
            raise StartupError(f"the key file {path} is missing; restore it")
        ring = ring.extended()
        keyfile.replace(path, ring)
    return ring.newest


async def reencrypt(store: Store, clock: Clock, progress: Callable[[str, int], None] | None = None) -> int:
    """Re-encrypt whatever the newest key did not seal. Safe to cancel, and to begin again.

    Args:
        store: Whose rows.
        clock: Spaces the batches.
        progress: Told, after each batch, the table and how many of its rows were looked at.

    Returns:
        How many rows were re-encrypted.

    Raises:
        ServiceError: STORE_UNAVAILABLE; what was done until then is done.
        UnreadableError: A row does not open: its key is not in the ring, or it was changed.
    """
    total = 0
    for column in SEALED:
        seen, last, more = 0, None, True
        while more:
            batch = await store.reseal(column, last, BATCH)
            seen, total, last, more = seen + batch.seen, total + batch.resealed, batch.last, batch.last is not None
            if progress is not None:
                progress(column.table, seen)
            await clock.sleep(_PAUSE)
    return total


async def forget(opened: Opened, path: Path, clock: Clock) -> list[int]:
    """Drop every key but the newest from the key file, when nothing is sealed with them any more.

    A process that has not seen the new key yet may still seal with an old one: give it time first (`follow` looks every
    second; a platform may take minutes to show a changed secret).

    Returns:
        The numbers of the dropped keys; none when rows had to be re-encrypted, or the file has got another key
        meanwhile, which somebody may seal with: then wait, and ask again.

    Raises:
        ServiceError: STORE_UNAVAILABLE.
        StartupError: The key file cannot be written.
    """
    if await reencrypt(opened.store, clock):
        return []
    ring = opened.sealing.ring
    facts = database.unused(ring, await opened.backend.read(programs.meta))
    await opened.backend.write(partial(programs.delete_meta, facts))
    with keyfile.changing(path):
        if str(keyfile.load(path)) != str(ring):
            return []
        keyfile.replace(path, ring.only(ring.newest))
    opened.sealing.ring = ring.only(ring.newest)
    return [number for number in ring.sealing if number != ring.newest]


async def follow(opened: Opened, path: Path, clock: Clock) -> None:
    """Watch the key file for ever, and seal with its first key as soon as it has another one. Safe to cancel."""
    seen = None  # the file may have changed since the start read it
    while True:
        await clock.sleep(_LOOK)
        mark = await asyncio.to_thread(_mark, path)
        if mark in {seen, None}:
            continue
        before = str(opened.sealing.ring)
        try:
            await database.take_keys(opened, path)
        except (StartupError, ServiceError) as error:
            _log.error("key file not taken", error=str(error))
            continue
        seen = mark
        if str(opened.sealing.ring) != before:
            _log.info("key file read again", sealing_key=opened.sealing.ring.newest)


def _mark(path: Path) -> tuple[int, int, int] | None:
    """What changes with a file's content; None when there is no file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino

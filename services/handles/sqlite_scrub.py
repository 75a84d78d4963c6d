"""Wiping what SQLite leaves behind in its file.

`secure_delete` zeroes what is deleted. But where rows move from page to page (one splits, two are merged), their old
bytes stay in the unused part of the page that they left, and outlive the deletion of the row. VACUUM would write the
whole file anew, and nobody could write meanwhile. This goes through the file a piece at a time and zeroes the unused
parts of its pages where they are. The format of a page is documented and fixed:
https://www.sqlite.org/fileformat2.html (1.3 the header, 1.6 B-tree pages).

Unused bytes mean nothing to SQLite, so no reader is disturbed, and a crash at any moment leaves a sound file. What must
not happen is that somebody writes a page back as he read it before. So a piece is wiped under SQLite's write lock, with
an empty write-ahead log (what stands in the file is what counts), and ends with a commit of its own, at which every
other connection forgets the pages that it keeps; the writer's own connection is told to.
"""

import os
import sqlite3
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

PIECE: Final = 512
"""Pages that are wiped under one lock: a few milliseconds' work."""

_FILE_HEADER: Final = 100
_RESERVED_AT: Final = 20
_BTREE: Final = {2: 12, 5: 12, 10: 8, 13: 8}
"""How long a page's header is by its first byte: interior and leaf, of an index and of a table."""

_MOST_PAGES: Final = 0x02000000
"""From here on the first byte of a page of another kind, a page's number, could be mistaken for one of these."""

_PATIENCE: Final = 200
"""Milliseconds to wait for readers: writers wait as long."""


class Wiped(NamedTuple):
    """How far wiping has come.

    Args:
        next: The first page that is left; None when there is none.
        done: Whether what there was to do was done: somebody may be in the way.
    """

    next: int | None
    done: bool


def unused(page: bytes | bytearray, number: int, usable: int) -> Iterator[tuple[int, int]]:
    """The ranges of a page that hold nothing; none for a page that is not a B-tree's, or not sound.

    Args:
        page: Its bytes.
        number: Which of the file, from 1: the first one begins with the file's own header.
        usable: How many of its bytes SQLite uses.
    """
    at = _FILE_HEADER if number == 1 else 0
    size = _BTREE.get(page[at])
    if size is None:
        return
    block, cells, content = struct.unpack_from(">HHH", page, at + 1)
    gap = at + size + 2 * cells
    content = content or 65536
    if not gap <= content <= usable:
        return
    yield gap, content
    while block:
        following, length = struct.unpack_from(">HH", page, block)
        if not content <= block <= block + length <= usable or (following and following < block + length):
            return
        yield block + 4, block + length
        block = following


class Wiper:
    """Wipes a file beside the connections to it.

    It is closed after them: when a process closes a file, it loses all its locks on it, those of SQLite as well
    (https://www.sqlite.org/howtocorrupt.html, 2.2).

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._wal = path.with_name(f"{path.name}-wal")
        self._file = os.open(path, os.O_RDWR)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)

    def empty(self, connection: sqlite3.Connection) -> bool:
        """Fold the write-ahead log into the file and empty it; False where a reader was in the way.

        Args:
            connection: The writer's, in no transaction.
        """
        connection.execute(f"PRAGMA busy_timeout={_PATIENCE}")
        busy: int = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        return not busy

    def wipe(self, connection: sqlite3.Connection, first: int, most: int = PIECE) -> Wiped:
        """Wipe some pages.

        Args:
            connection: The writer's, in no transaction.
            first: The page to begin with, from 1.
            most: How many.
        """
        if not self.empty(connection):
            return Wiped(first, done=False)
        connection.execute("BEGIN IMMEDIATE")
        try:
            if self._wal.stat().st_size:  # somebody was quicker
                return Wiped(first, done=False)
            size, pages, version = (
                connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("page_size", "page_count", "user_version")
            )
            if pages >= _MOST_PAGES:
                return Wiped(first, done=False)
            if self._zero(first, min(most, pages - first + 1), size):
                connection.execute(f"PRAGMA user_version={(version + 1) % 2**31}")
                connection.commit()
        finally:
            connection.rollback()
        connection.execute("PRAGMA shrink_memory").fetchall()
        return Wiped(first + most if first + most <= pages else None, done=True)

    def _zero(self, first: int, count: int, size: int) -> int:
        """Zero the unused parts of pages; returns how many there were with something in them."""
        offset = (first - 1) * size
        content = os.pread(self._file, count * size, offset)
        usable = size - os.pread(self._file, 1, _RESERVED_AT)[0]
        found = 0
        for at in range(0, len(content), size):
            page = content[at : at + size]
            for start, end in unused(page, first + at // size, usable):
                if page.count(0, start, end) != end - start:
                    os.pwrite(self._file, bytes(end - start), offset + at + start)
                    found += 1
        if found:
            os.fdatasync(self._file)
        return found

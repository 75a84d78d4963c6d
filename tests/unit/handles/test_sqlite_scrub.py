"""What a page does not use is found from its bytes alone, and wiping it changes nothing else."""

import random
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from services.handles.sqlite_scrub import Wiper, unused


def leaf(*, at: int = 0, block: int = 0, cells: int = 1, content: int = 400, kind: int = 13) -> bytearray:
    """A page of 512 bytes, all 0xff but its header."""
    page = bytearray(b"\xff" * 512)
    struct.pack_into(">BHHHB", page, at, kind, block, cells, content, 0)
    return page


def test_the_gap_is_between_the_pointers_and_the_content() -> None:
    """Behind the header and two bytes for each cell; in the first page behind the header of the file."""
    assert list(unused(leaf(cells=3), 2, 512)) == [(8 + 6, 400)]
    assert list(unused(leaf(cells=3, kind=5), 2, 512)) == [(12 + 6, 400)]
    assert list(unused(leaf(at=100, cells=3), 1, 512)) == [(108 + 6, 400)]


def test_free_blocks_keep_their_links() -> None:
    """Each begins with the next one's place and its own length, which SQLite needs."""
    page = leaf(block=420)
    struct.pack_into(">HH", page, 420, 460, 20)
    struct.pack_into(">HH", page, 460, 0, 52)
    assert list(unused(page, 2, 512)) == [(10, 400), (424, 440), (464, 512)]


@pytest.mark.parametrize("kind", [0, 1, 3, 255])
def test_other_pages_are_left_alone(kind: int) -> None:
    """Overflow pages, free pages: they are not a B-tree's."""
    assert list(unused(leaf(kind=kind), 2, 512)) == []


def test_an_unsound_page_is_left_alone() -> None:
    """Content before the gap, a free block outside of the page or before the last one: nothing there is touched."""
    assert list(unused(leaf(cells=200, content=300), 2, 512)) == []
    assert list(unused(leaf(content=513), 2, 512)) == []
    for following, length in ((0, 200), (300, 20), (425, 20)):
        page = leaf(block=420)
        struct.pack_into(">HH", page, 420, following, length)
        assert list(unused(page, 2, 512)) in ([(10, 400)], [(10, 400), (424, 440)])


class Churn(NamedTuple):
    """A file in which rows came, grew and went: where, the connection that did it, and the ids of those that went."""

    path: Path
    connection: sqlite3.Connection
    gone: list[str]

    def found(self) -> list[str]:
        """Ids that are still in the file."""
        self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        content = self.path.read_bytes()
        return [identity for identity in self.gone if identity.encode() in content]


@pytest.fixture(name="churn")
def _churn(tmp_path: Path) -> Iterator[Churn]:
    """Rows grow so that they move from page to page, with `secure_delete` on; the same every time."""
    path = tmp_path / "t.db"
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=OFF", "secure_delete=ON"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("CREATE TABLE t (id TEXT PRIMARY KEY, n INTEGER, body BLOB)")
    connection.execute("CREATE INDEX i ON t (n, id)")
    chance = random.Random(1)  # noqa: S311 - not for secrets
    ids: list[str] = []
    connection.execute("BEGIN")
    for number in range(2000):
        ids.append(f"{chance.getrandbits(128):032x}")
        connection.execute("INSERT INTO t VALUES (?, ?, ?)", (ids[-1], number, b"x" * chance.randrange(10, 400)))
        for _ in range(3):
            grown = b"y" * chance.randrange(10, 900)
            connection.execute("UPDATE t SET body = ?, n = ? WHERE id = ?", (grown, number, chance.choice(ids)))
        connection.execute("DELETE FROM t WHERE id = ?", [chance.choice(ids)])
    connection.execute("COMMIT")
    left = {row[0] for row in connection.execute("SELECT id FROM t")}
    with closing(connection):
        yield Churn(path, connection, [identity for identity in ids if identity not in left])


def test_wiping_leaves_nothing_of_what_is_gone_and_all_of_what_is_there(churn: Churn) -> None:
    """In pieces, with others at the file, who see what they saw, and bring nothing back when they write."""
    assert churn.found() != [], "without remains this proves nothing"
    everything = "SELECT * FROM t ORDER BY id"
    before = churn.connection.execute(everything).fetchall()
    with closing(sqlite3.connect(churn.path)) as other, closing(Wiper(churn.path)) as wiper:
        assert other.execute(everything).fetchall() == before
        at: int | None = 1
        pieces = 0
        while at is not None:
            at, done = wiper.wipe(churn.connection, at, most=7)
            pieces += 1
            assert done
        assert wiper.empty(churn.connection)
        assert pieces > 20
        assert churn.found() == []
        assert other.execute(everything).fetchall() == before
        for connection in (other, churn.connection):
            connection.execute("UPDATE t SET n = n + 1")  # whatever either still keeps of a page would come back now
            connection.commit()
        assert churn.found() == []
    assert churn.connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert churn.connection.execute(everything).fetchall() == [(id_, n + 2, body) for id_, n, body in before]


def test_whoever_reads_is_not_waited_for(churn: Churn) -> None:
    """A reader that keeps an old state keeps the log from being emptied: nothing is wiped, and it is said."""
    writer = churn.connection
    with closing(sqlite3.connect(churn.path, isolation_level=None)) as reader, closing(Wiper(churn.path)) as wiper:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM t").fetchone()
        writer.execute("INSERT INTO t VALUES ('x', 0, x'00')")
        assert wiper.wipe(writer, 1) == (1, False)
        assert not writer.in_transaction
        reader.execute("COMMIT")
        assert wiper.wipe(writer, 1).done

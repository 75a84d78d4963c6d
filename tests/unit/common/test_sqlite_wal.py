"""Opening a SQLite file beside others that open it."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from services.common import sqlite_wal

# No busy_timeout: SQLite refuses at once, as it does when two are about to change the journal mode.
PRAGMAS = {"busy_timeout": "0", "journal_mode": "WAL", "synchronous": "NORMAL"}


class Refused:
    """A connection whose cursors let go of another one's lock once they were refused."""

    def __init__(self, real: sqlite3.Connection, other: sqlite3.Connection) -> None:
        self._real, self._other = real, other
        self.refusals = 0

    def cursor(self) -> "Refused":
        """Open the one cursor there is."""
        return self

    def execute(self, statement: str) -> sqlite3.Cursor:
        """Run it."""
        try:
            return self._real.execute(statement)
        except sqlite3.OperationalError:
            self.refusals += 1
            self._other.rollback()
            raise

    def fetchall(self) -> list[object]:
        """Give nothing: what a pragma answers is not needed."""
        return []

    def close(self) -> None:
        """Leave the connection open."""


@pytest.fixture(name="file")
def _file(tmp_path: Path) -> Path:
    return tmp_path / "some.db"


@pytest.fixture(name="writing")
def _writing(file: Path) -> Iterator[sqlite3.Connection]:
    """Somebody who writes to the new file, not in WAL."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield connection


def test_the_journal_mode_is_tried_again_where_it_is_refused(file: Path, writing: sqlite3.Connection) -> None:
    """A change that SQLite refuses for another's lock is made once that is gone."""
    with closing(sqlite3.connect(file)) as real:
        refused = Refused(real, writing)
        sqlite_wal.configure(refused, PRAGMAS)
        assert refused.refusals == 1
        assert real.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_what_is_no_lock_is_told_at_once(tmp_path: Path) -> None:
    """A file that is no database is not tried again."""
    (tmp_path / "no.db").write_bytes(b"not a database, by any means" * 40)
    with (
        closing(sqlite3.connect(tmp_path / "no.db")) as real,
        pytest.raises(sqlite3.DatabaseError, match="not a database"),
    ):
        sqlite_wal.configure(real, PRAGMAS)

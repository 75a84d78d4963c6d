"""The database file: how it is opened, what is refused, what its schema and its queries are."""

import asyncio
import hashlib
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest
import structlog
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, create_engine, text

from filo.handles.v1.handles_pb2 import DeleteConversationRequest
from filo.handles.v1.resources_pb2 import AgentConfig
from services.common.errors import Reason, ServiceError
from services.common.lifecycle import StartupError
from services.handles import database, programs, schema, sqlite_programs
from services.handles.config import Settings
from services.handles.database import Opened
from services.handles.models import Base
from services.handles.records import NewConversation
from services.handles.sqlite import Sqlite
from tests.support.conversations import conversation
from tests.support.handles import running_handles


def settings(directory: Path) -> Settings:
    """A store in a directory."""
    return Settings.from_env({"FILO_DATA_DIR": str(directory)})


async def open_and_close(directory: Path) -> None:
    """Start and stop a store."""
    async with database.opened(settings(directory)):
        pass


async def refusal(directory: Path) -> str:
    """Why a store does not start: one line, at most."""
    with pytest.raises(StartupError) as caught:
        await open_and_close(directory)
    told = str(caught.value)
    assert "\n" not in told
    return told


async def test_the_first_start_makes_everything_for_its_owner_alone(tmp_path: Path) -> None:
    """Directory, database, WAL and key file: nobody else may read any of it; the log says that a key was made."""
    directory = tmp_path / "deep" / "data"
    with structlog.testing.capture_logs() as logged:
        async with database.opened(settings(directory)) as opened:
            await opened.store.look("f" * 32)
            modes = {path.name: path.stat().st_mode & 0o777 for path in directory.iterdir()}
    assert modes == dict.fromkeys(("handles.db", "handles.db-shm", "handles.db-wal", "handles.key"), 0o600)
    assert directory.stat().st_mode & 0o777 == 0o700
    assert [entry["file"] for entry in logged if "key file" in entry["event"]] == [str(directory / "handles.key")]


async def test_a_second_start_says_nothing_of_a_key(tmp_path: Path) -> None:
    """The same key is used again."""
    await open_and_close(tmp_path)
    key = (tmp_path / "handles.key").read_bytes()
    with structlog.testing.capture_logs() as logged:
        await open_and_close(tmp_path)
    assert logged == []
    assert (tmp_path / "handles.key").read_bytes() == key


async def test_a_start_that_failed_before_the_end_is_made_good(tmp_path: Path) -> None:
    """A key file without a database, as a crash in the first start leaves it, is taken over."""
    await open_and_close(tmp_path)
    key = (tmp_path / "handles.key").read_bytes()
    (tmp_path / "handles.db").unlink()
    await open_and_close(tmp_path)
    assert (tmp_path / "handles.key").read_bytes() == key


async def test_a_missing_key_is_not_made_anew(tmp_path: Path) -> None:
    """With a new key every stored hash would be worthless, in silence."""
    await open_and_close(tmp_path)
    (tmp_path / "handles.key").unlink()
    assert "handles.key is missing" in await refusal(tmp_path)
    assert not (tmp_path / "handles.key").exists()


async def test_another_databases_key_is_refused(tmp_path: Path) -> None:
    """The database knows which key it was made with."""
    for name in ("one", "two"):
        await open_and_close(tmp_path / name)
    shutil.copy(tmp_path / "one" / "handles.key", tmp_path / "two" / "handles.key")
    assert "not the one this database was made with" in await refusal(tmp_path / "two")


async def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """The text says what to run."""
    await open_and_close(tmp_path)
    (tmp_path / "handles.key").chmod(0o644)
    assert "chmod 600" in await refusal(tmp_path)


@pytest.mark.parametrize("content", [b"not a database at all" * 500, b"SQLite format 3\0" + b"\xff" * 5000])
async def test_a_file_that_is_no_database_is_refused(tmp_path: Path, content: bytes) -> None:
    """And left as it was."""
    path = tmp_path / "handles.db"
    path.write_bytes(content)
    assert f"cannot use the database {path}" in await refusal(tmp_path)
    assert path.read_bytes() == content


async def test_a_truncated_database_is_refused(tmp_path: Path) -> None:
    """Half a file is not taken for a smaller store."""
    await open_and_close(tmp_path)
    path = tmp_path / "handles.db"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert "malformed" in await refusal(tmp_path)


async def test_another_programs_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    """Not one byte of it changes."""
    path = tmp_path / "handles.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE songs (title)")
    before = hashlib.sha256(path.read_bytes()).digest()
    assert "another program" in await refusal(tmp_path)
    assert hashlib.sha256(path.read_bytes()).digest() == before
    assert not (tmp_path / "handles.key").exists()


async def test_a_newer_database_is_refused(tmp_path: Path) -> None:
    """Older code does not guess what newer columns mean."""
    await open_and_close(tmp_path)
    with closing(sqlite3.connect(tmp_path / "handles.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    assert "schema 9999" in await refusal(tmp_path)


async def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    """A file stands in the way."""
    (tmp_path / "data").write_text("")
    assert "not a directory" in await refusal(tmp_path / "data" / "handles")


async def test_a_database_that_is_a_directory_is_refused(tmp_path: Path) -> None:
    """What the system says of it is passed on."""
    (tmp_path / "handles.db").mkdir()
    assert "is a directory" in await refusal(tmp_path)


async def test_a_locked_database_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process that keeps the write lock: a caller is told to come back, and nothing hangs."""
    monkeypatch.setattr(sqlite_programs, "PRAGMAS", {**sqlite_programs.PRAGMAS, "busy_timeout": "50"})
    async with running_handles(tmp_path) as handles:
        created = await handles.create()
        with closing(sqlite3.connect(tmp_path / "handles.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(ServiceError) as caught:
                await handles.attach(created)
            other.execute("ROLLBACK")
        assert (caught.value.reason, caught.value.retry_after) == (Reason.STORE_UNAVAILABLE, 1.0)
        assert handles.metric("filo_handles_attaches_total", result="store_unavailable") == 1
        assert (await handles.attach(created)).conversation.epoch == 1


async def test_a_full_disk_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit is refused whole, and what fits later is taken."""
    monkeypatch.setattr(sqlite_programs, "PRAGMAS", {**sqlite_programs.PRAGMAS, "max_page_count": "60"})
    async with running_handles(tmp_path) as handles:
        created = await handles.create()
        await handles.attach(created)
        with pytest.raises(ServiceError) as caught:
            await handles.create(agent=AgentConfig(model="m", system_instruction="x" * 500_000))
        assert caught.value.reason is Reason.STORE_UNAVAILABLE
        assert (await handles.checkpoint(created, 1, 1)).turn_count == 1


@pytest.fixture(name="opened")
async def _opened(tmp_path: Path) -> AsyncIterator[Opened]:
    """An open store."""
    async with database.opened(settings(tmp_path)) as opened:
        yield opened


@pytest.mark.parametrize(("durability", "synchronous"), [("full", 2), ("relaxed", 1)])
async def test_durability_is_what_the_documents_say(tmp_path: Path, durability: str, synchronous: int) -> None:
    """The effective settings of the connections in use: WAL, a sync at every commit, nothing left behind."""
    environ = {"FILO_DATA_DIR": str(tmp_path), "FILO_HANDLES_DURABILITY": durability}
    async with database.opened(Settings.from_env(environ)) as opened:
        backend = opened.backend
        assert isinstance(backend, Sqlite)
        for connection, patience, read_only in zip(backend.connections, (0, 5000, 5000), (0, 1, 1), strict=True):
            names = ("journal_mode", "foreign_keys", "busy_timeout", "secure_delete", "query_only")
            values = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names]
            assert values == ["wal", 1, patience, 1, read_only]
        assert backend.connections[0].execute("PRAGMA synchronous").fetchone()[0] == synchronous


def test_the_migrations_make_what_the_models_say(tmp_path: Path) -> None:
    """No column, type, index or constraint is in one and not in the other."""
    engine = create_engine(f"sqlite:///{tmp_path}/handles.db")
    with engine.begin() as connection:
        schema.migrate(connection)
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, Base.metadata) == []
    engine.dispose()


def test_the_migrations_go_back(tmp_path: Path) -> None:
    """Down to nothing, and up again."""
    engine = create_engine(f"sqlite:///{tmp_path}/handles.db")
    with engine.begin() as connection:
        schema.migrate(connection)
        schema.migrate(connection, schema.BASE)
        assert _tables(connection) == {"alembic_version"}
        schema.migrate(connection)
        assert _tables(connection) == {"alembic_version", *Base.metadata.tables}
    engine.dispose()


def _tables(connection: Connection) -> set[str]:
    rows = connection.execute(text("SELECT name FROM sqlite_schema WHERE type = 'table'"))
    return set(rows.scalars())


async def test_a_write_that_came_too_late_writes_nothing(opened: Opened) -> None:
    """Even without the lock, a record whose epoch has moved on is not written over."""
    record = conversation(epoch=4)
    await opened.store.create(NewConversation(record, "request", b"digest", b"agent"))
    with pytest.raises(ServiceError) as caught:
        await opened.backend.write(lambda: programs.compare_and_set(record._replace(epoch=3), record._replace(epoch=5)))
    assert (caught.value.reason, caught.value.retry_after) == (Reason.STORE_UNAVAILABLE, 0.0)
    assert (await opened.store.look(record.id)).conversation == record


async def test_an_id_is_used_once(opened: Opened) -> None:
    """Two creations that should ever draw the same id do not share a conversation in silence."""
    await opened.store.create(NewConversation(conversation(), "request 1", b"digest", b"agent"))
    with pytest.raises(sqlite3.IntegrityError):
        await opened.store.create(NewConversation(conversation(), "request 2", b"digest", b"agent"))


async def test_a_moment_without_a_time_zone_is_a_mistake(opened: Opened) -> None:
    """It is not stored as if it were UTC."""
    naive = conversation(lease_until=datetime(2026, 1, 1))  # noqa: DTZ001 - the mistake
    with pytest.raises(ValueError, match="time zone"):
        await opened.store.create(NewConversation(naive, "request", b"digest", b"agent"))


async def test_deleting_a_conversation_deletes_what_belongs_to_it(tmp_path: Path) -> None:
    """The foreign keys cascade, so that erasure cannot forget a table."""
    async with running_handles(tmp_path) as handles:
        created = await handles.create()
        await handles.attach(created)
        await handles.checkpoint(created, 1, 1, secret="s")
        await handles.stub.DeleteConversation(DeleteConversationRequest(name=created.name))
    with closing(sqlite3.connect(tmp_path / "handles.db")) as connection:
        tables = sorted(Base.metadata.tables.keys() - {"meta"})
        left = [connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables]  # noqa: S608
    assert left == [0] * 6


async def test_two_first_starts_at_once_agree(tmp_path: Path) -> None:
    """Two processes that start on an empty directory end with one schema and one key, or one of them refuses."""
    started = await asyncio.gather(*(open_and_close(tmp_path) for _ in range(2)), return_exceptions=True)
    assert all(result is None or isinstance(result, StartupError) for result in started)
    assert None in started
    await open_and_close(tmp_path)

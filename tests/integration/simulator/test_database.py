"""The database of the runs: what its schema is, how it comes to it, and what is refused."""

import asyncio
import json
import sqlite3
import uuid
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, inspect

from filo.simulator.v1 import simulator_pb2 as pb
from services.common.lifecycle import StartupError
from services.common.schema import BASE
from services.simulator import store, tables
from services.simulator.tables import SCHEMA, Base
from tests.support import postgres
from tests.support.simulator import runs_url
from tests.support.stack import environment, filo

pytestmark = pytest.mark.timeout(60)
KINDS = pytest.mark.parametrize("kind", ["sqlite", "postgres"])


def empty_url(kind: str, directory: Path) -> str:
    """The URL of a database without a table."""
    return f"sqlite:///{directory / 'shared.db'}" if kind == "sqlite" else postgres.server().database()


async def keep_a_run(url: str) -> list[str]:
    """Open the runs, keep one more, and list them."""
    async with store.opened(url) as runs:
        name = f"runs/{uuid.uuid4().hex}"
        await runs.create(str(uuid.uuid4()), pb.RunSpec(turns=1), pb.Run(name=name))
        return [run.name for _, run in await runs.page(10, None)]


def named(connection: Connection) -> set[str]:
    """The tables of a database."""
    return set(inspect(connection).get_table_names())


@KINDS
async def test_the_migrations_make_what_the_models_say(tmp_path: Path, kind: str) -> None:
    """No column, type, index or constraint is in one and not in the other."""
    url = empty_url(kind, tmp_path)
    assert await tables.migrate(url) == (BASE, SCHEMA.known()[-1])

    def differences(connection: Connection) -> list[object]:
        options = {"compare_type": True, "compare_server_default": True, "version_table": SCHEMA.table}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata))

    async with tables.engine(url) as engine, engine.connect() as connection:
        assert await connection.run_sync(differences) == []


@KINDS
async def test_the_migrations_go_back(tmp_path: Path, kind: str) -> None:
    """Down to nothing, and up again."""
    url = empty_url(kind, tmp_path)
    await tables.migrate(url)
    assert await tables.migrate(url, BASE) == (SCHEMA.known()[-1], BASE)
    assert await tables.migrate(url) == (BASE, SCHEMA.known()[-1])
    assert len(await keep_a_run(url)) == 1


@KINDS
async def test_many_migrate_at_once(tmp_path: Path, kind: str) -> None:
    """One does, the others find it done."""
    url = empty_url(kind, tmp_path)
    done = await asyncio.gather(*(tables.migrate(url) for _ in range(5)))
    head = SCHEMA.known()[-1]
    assert sorted(before for before, _ in done) == [*[head] * 4, BASE]
    assert {after for _, after in done} == {head}


@KINDS
async def test_a_database_of_a_version_without_revisions_is_taken_as_it_is(tmp_path: Path, kind: str) -> None:
    """Its runs stay, the table that it lacks is made, and from then on its schema is noted."""
    url = runs_url(kind, tmp_path)
    (kept,) = await keep_a_run(url)
    async with tables.engine(url) as engine, engine.begin() as connection:
        for table in ("run_leases", SCHEMA.table):
            await connection.exec_driver_sql(f"DROP TABLE {table}")
    assert await tables.migrate(url) == (BASE, SCHEMA.known()[-1])
    assert kept in await keep_a_run(url)


async def test_only_an_embedded_database_is_migrated_at_start(tmp_path: Path) -> None:
    """A file is; a server's is refused while it is older, with the command that helps, and is left as it was."""
    assert len(await keep_a_run(f"sqlite:///{tmp_path / 'runs.db'}")) == 1
    url = postgres.server().database()
    with pytest.raises(
        StartupError, match=r"has schema base, this version of Filo needs .*; run: filo simulator migrate"
    ):
        await keep_a_run(url)
    await tables.migrate(url)
    assert len(await keep_a_run(url)) == 1


@KINDS
async def test_a_database_of_a_newer_version_is_refused(tmp_path: Path, kind: str) -> None:
    """Whatever it is, this code does not know what is in it."""
    url = runs_url(kind, tmp_path)
    await tables.migrate(url)
    async with tables.engine(url) as engine, engine.begin() as connection:
        await connection.exec_driver_sql(f"UPDATE {SCHEMA.table} SET version_num = '9999'")  # noqa: S608 - our own
    for attempt in (keep_a_run(url), tables.migrate(url)):
        with pytest.raises(StartupError, match="has schema 9999, which this version of Filo does not know"):
            await attempt


async def test_runs_and_conversations_may_share_a_database() -> None:
    """Each service notes its own schema."""
    from services.handles import schema  # noqa: PLC0415 - services do not meet but here

    url = postgres.server().database()
    await tables.migrate(url)
    async with tables.engine(url) as runs, runs.begin() as connection:
        await connection.run_sync(schema.migrate)
        assert {"runs", "conversations", "alembic_version", SCHEMA.table} <= await connection.run_sync(named)
    assert len(await keep_a_run(url)) == 1


def test_the_command_tells_what_it_did(tmp_path: Path) -> None:
    """Forward, back, as JSON; what cannot be used is a line and exit code 2."""
    environ = {**environment(tmp_path), "FILO_DATA_DIR": str(tmp_path / "new")}
    done = filo("simulator", "migrate", environ=environ, cwd=tmp_path)
    assert (done.returncode, done.stdout.split()) == (0, ["before", BASE, "after", SCHEMA.known()[-1]])
    with closing(sqlite3.connect(tmp_path / "new" / "runs.db")) as database:
        assert database.execute(f"SELECT version_num FROM {SCHEMA.table}").fetchall() == [(SCHEMA.known()[-1],)]  # noqa: S608
    back = filo("simulator", "migrate", "base", "--json", environ=environ, cwd=tmp_path)
    assert json.loads(back.stdout) == {"before": SCHEMA.known()[-1], "after": BASE}
    wrong = filo("simulator", "migrate", "0099", environ=environ, cwd=tmp_path)
    assert (wrong.returncode, wrong.stderr) == (
        2,
        f"filo simulator: there is no schema 0099; there are {', '.join(SCHEMA.known())}\n",
    )


async def test_a_url_may_have_the_options_of_the_driver() -> None:
    """Those that say how the way to the server is encrypted among them; a malformed one is told in a line."""
    url = f"{runs_url('postgres', Path())}&sslmode=prefer"
    async with tables.engine(url) as engine, engine.connect() as connection:
        assert connection.dialect.name == "postgresql"
    with pytest.raises(StartupError, match="sslmode") as caught:
        await tables.migrate(url.replace("prefer", "perhaps"))
    assert "\n" not in str(caught.value)
    with pytest.raises(StartupError) as caught:
        await tables.migrate("postgresql://ada:hunter2@127.0.0.1:1/runs?password=hunter3&sslmode=prefer")
    assert "postgresql+asyncpg://ada:***@127.0.0.1:1/runs?sslmode=prefer" in str(caught.value)
    assert "hunter" not in str(caught.value)

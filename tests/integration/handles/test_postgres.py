"""PostgreSQL: its schema, its plans, its durability, and what happens when it or a server is killed."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Executable
from sqlalchemy.engine import make_url

from services.common import sql_engine
from services.common.errors import Reason, ServiceError
from services.common.lifecycle import StartupError
from services.common.tls import Transport
from services.handles import database, postgres, statements
from services.handles.config import Durability, Settings
from services.handles.decisions import Decision
from services.handles.models import Base
from services.handles.records import Change, NewConversation, UpstreamHandle, View
from services.handles.sweeps import Kind
from tests.support import postgres as servers
from tests.support.certificates import Authority
from tests.support.conversations import NOW, conversation
from tests.support.handles import on_postgres, postgres_environ, running_handles, turn, until


@pytest.fixture(name="empty")
def _empty(tmp_path: Path) -> Settings:
    """A database without a schema."""
    return replace(on_postgres(tmp_path), database=make_url(servers.server().database()))


async def refusal(settings: Settings) -> str:
    """Why a store does not start."""
    with pytest.raises(StartupError) as caught:
        async with database.opened(settings):
            pass
    assert "\n" not in str(caught.value)
    return str(caught.value)


async def test_the_schema_comes_and_goes_by_the_command_alone(empty: Settings) -> None:
    """Refused while it is older than the code; made by migrate, the models' to the column; taken back to nothing."""
    assert "run: filo handles migrate" in await refusal(empty)
    assert await database.migrate(empty) == ("base", "0003")
    assert await database.migrating(empty.database, _differences) == []
    async with database.opened(empty) as opened:
        made = NewConversation(conversation(seen_at=NOW, handles_issued=1), "request", b"digest", b"agent")
        await opened.store.create(made)
    assert await database.migrate(empty, "0001") == ("0003", "0001")
    assert "schema 0001" in await refusal(empty)
    assert await database.migrate(empty) == ("0001", "0003")
    async with database.opened(empty) as opened:
        record = (await opened.store.look(made.conversation.id)).conversation
        assert record == made.conversation
        swept = await opened.store.sweep(Kind.EXPIRED, NOW.replace(day=2), NOW.replace(day=2), 10)
        assert swept.done == 1  # the migration filled in what the sweeper searches by
    assert await database.migrate(empty, "base") == ("0003", "base")
    with pytest.raises(StartupError, match="there is no schema 7"):
        await database.migrate(empty, "7")


def _differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
    found: list[object] = compare_metadata(context, Base.metadata)
    return found


async def test_two_migrations_at_once_agree(empty: Settings) -> None:
    """One does it, the other finds it done."""
    done = await asyncio.gather(*(database.migrate(empty) for _ in range(3)))
    assert sorted(done) == [("0003", "0003"), ("0003", "0003"), ("base", "0003")]


async def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    """Older code does not guess what newer columns mean."""
    settings = on_postgres(tmp_path)
    connection = await asyncpg.connect(sql_engine.dsn(settings.database))
    await connection.execute("UPDATE alembic_version SET version_num = '9999'")
    await connection.close()
    assert "schema 9999" in await refusal(settings)


async def test_a_server_that_is_not_there_is_told(tmp_path: Path) -> None:
    """In one line, without the password."""
    url = "postgresql://filo:hunter2@127.0.0.1:1/filo"
    environ = {"FILO_DATA_DIR": str(tmp_path), "FILO_HANDLES_DATABASE_URL": url}
    told = await refusal(Settings.from_env(environ))
    assert told.startswith("cannot use the database postgresql://filo:***@127.0.0.1:1/filo: ")


async def test_a_url_may_have_the_options_of_the_driver(tmp_path: Path) -> None:
    """Both the schema's connection and the pools take them, and say in one line which the server does not know."""
    settings = on_postgres(tmp_path)
    url = settings.database.update_query_dict({"sslmode": "prefer", "search_path": "public"})
    async with database.opened(replace(settings, database=url)) as opened:
        assert (await opened.store.look("f" * 32)).conversation is None
    for name, value in (("sslmode", "perhaps"), ("nonsense", "1")):
        assert name in await refusal(replace(settings, database=url.update_query_dict({name: value})))


@asynccontextmanager
async def _encrypting(files: Transport) -> AsyncIterator[tuple[int, list[bytes]]]:
    """What a PostgreSQL with a certificate says first; its port, and what it was told once the line was encrypted."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(str(files.certificate), str(files.key))
    told: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            assert await reader.readexactly(8) == b"\0\0\0\x08\x04\xd2\x16\x2f"  # SSLRequest
            writer.write(b"S")
            await writer.start_tls(context)
            told.append(await reader.read(200))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], told


async def test_the_way_to_the_server_is_encrypted_where_the_url_says_so(tmp_path: Path) -> None:
    """With ``sslmode=verify-full`` nothing is said before the server's certificate was found to be good."""
    own = Authority().issue(tmp_path / "own", "localhost")
    other = Authority().issue(tmp_path / "other", "localhost")
    async with _encrypting(own) as (port, told):
        for files, heard in ((other, 0), (own, 1)):
            url = f"postgresql://filo@localhost:{port}/filo?sslmode=verify-full&sslrootcert={files.authority}"
            settings = Settings.from_env({"FILO_DATA_DIR": str(tmp_path), "FILO_HANDLES_DATABASE_URL": url})
            await refusal(settings)
            assert len(told) == heard
    assert b"user\0filo\0database\0filo" in told[0].replace(b"client_encoding\0utf-8\0", b"")


async def test_another_isolation_of_the_databases_own_changes_nothing(tmp_path: Path) -> None:
    """Many attach at once and all win, although the database would have every transaction be serializable."""
    settings = on_postgres(tmp_path)
    name = settings.database.database
    servers.server().sql(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
    async with running_handles(tmp_path, environ=postgres_environ(tmp_path)) as handles:
        created = await handles.create()
        answers = await asyncio.gather(*(handles.attach(created) for _ in range(20)))
        assert sorted(answer.conversation.epoch for answer in answers) == list(range(1, 21))


@pytest.mark.parametrize(("durability", "commit"), [(Durability.FULL, "on"), (Durability.RELAXED, "off")])
async def test_durability_is_what_the_documents_say(tmp_path: Path, durability: Durability, commit: str) -> None:
    """The settings in force on the connections in use, and the server's own that they rest on."""
    async with database.opened(replace(on_postgres(tmp_path), durability=durability)) as opened:
        assert isinstance(opened.backend, postgres.Postgres)
        assert await opened.backend.effective() == {**postgres.NEEDED, "synchronous_commit": commit}


@pytest.fixture(name="planner")
async def _planner(tmp_path: Path) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A connection to a store that is told to shun scans, since its tables are too small to need indexes."""
    connection = await asyncpg.connect(sql_engine.dsn(on_postgres(tmp_path).database))
    await connection.execute("SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan")
    yield connection
    await connection.close()


async def test_no_query_grows_with_the_table(planner: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Each statement of the store has an index for what it searches and for its order: no scan, no sort."""
    every = [value for name, value in vars(statements).items() if name[0] != "_" and isinstance(value, Executable)]
    every += [statement for column in statements.SEALED for statement in column[2:]]
    every = [statement for statement in every if statement is not statements.META]  # a handful of facts, read at start
    assert len(every) >= 25
    for statement in every:
        text = postgres._compiled(statement)
        nothing = ", ".join(["NULL"] * len(text.names))
        await planner.execute(f"PREPARE asked AS {text.text}")
        rows = await planner.fetch(f"EXPLAIN EXECUTE asked({nothing})" if nothing else "EXPLAIN EXECUTE asked")
        await planner.execute("DEALLOCATE asked")
        plan = "\n".join(row[0] for row in rows)
        assert "Seq Scan" not in plan, (text.text, plan)
        assert "Sort" not in plan, (text.text, plan)


async def test_a_look_after_a_lock_is_fresh(tmp_path: Path) -> None:
    """Two replicas that store handles at once: each change sees the handle that the one before it stored."""
    settings = on_postgres(tmp_path)
    async with database.opened(settings) as one, database.opened(settings) as two:
        record = conversation()
        await one.store.create(NewConversation(record, "request", b"digest", b"agent"))

        def count(view: View) -> Decision[None]:
            assert view.conversation is not None
            covered = view.upstream.covers_turn if view.upstream else 0
            assert covered == view.conversation.turn_count
            after = view.conversation._replace(turn_count=covered + 1)
            return Decision(Change(after, UpstreamHandle("s", covered + 1, NOW)), None)

        await asyncio.gather(*(store.change(record.id, count) for store in (one.store, two.store) * 15))
        found = (await one.store.look(record.id)).conversation
        assert found is not None
        assert found.turn_count == 30


async def test_acknowledged_checkpoints_survive_the_databases_kill(tmp_path: Path) -> None:
    """Many write, PostgreSQL dies at once and comes back: the service answers again by itself, and has all it said."""
    server = await asyncio.to_thread(servers.new_server)
    await asyncio.to_thread(server.start)
    environ = postgres_environ(tmp_path, server)
    await database.migrate(Settings.from_env(environ))
    async with running_handles(tmp_path, environ=environ) as handles:
        created = [await handles.create() for _ in range(8)]
        await asyncio.gather(*(handles.attach(conversation) for conversation in created))
        acknowledged = dict.fromkeys([conversation.name for conversation in created], 0)

        refused: list[Reason] = []

        async def write(number: int) -> None:
            for turn_number in range(1, 10_000):
                try:
                    await handles.checkpoint(created[number], 1, turn_number)
                except ServiceError as error:
                    refused.append(error.reason)
                    return
                acknowledged[created[number].name] = turn_number

        writing = [asyncio.ensure_future(write(number)) for number in range(8)]
        await until(lambda: min(acknowledged.values()) >= 5)
        await asyncio.to_thread(server.kill)
        await asyncio.gather(*writing)
        assert refused == [Reason.STORE_UNAVAILABLE] * len(created)
        await asyncio.to_thread(server.start)
        for conversation_ in created:
            stored = await handles.turns(conversation_)
            assert stored == [turn(number) for number in range(1, len(stored) + 1)]
            assert len(stored) - acknowledged[conversation_.name] in {0, 1}
            assert (await handles.checkpoint(conversation_, 1, len(stored) + 1)).turn_count == len(stored) + 1
    await asyncio.to_thread(server.stop)

"""Erasure, looked for in the files: after DeleteConversation nothing of the conversation is left in them."""

import asyncio
import sqlite3
import uuid
from collections.abc import Iterable, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path

import asyncpg
import pytest

from filo.handles.v1 import handles_pb2 as pb
from filo.handles.v1.resources_pb2 import MODE_ASSISTANT, AgentConfig, Conversation, Owner, Turn
from services.common.clock import SystemClock
from services.common.errors import Reason, ServiceError
from services.handles import database, keyfile, rotation
from services.handles.codec import Sealing
from services.handles.config import Settings
from services.handles.sqlite_scrub import unused
from tests.support import postgres
from tests.support.clock import ManualClock
from tests.support.handles import OWNER, RunningHandles, postgres_environ, running_handles, turn, until

MARKER = "Zanzibar-"
SEALED = (
    ("turns", "body", "number"),
    ("agents", "body"),
    ("upstream_handles", "secret"),
    ("feedback", "text", "number"),
)
"""What is encrypted: the table, the column, and what ends its key."""

VALUES = 9
"""How many encrypted values a conversation that `fill` made has."""


async def fill(handles: RunningHandles, number: int) -> tuple[Conversation, list[bytes]]:
    """A conversation, and what can be recognised of it in a file: its id, its owner, its holder."""
    user = f"{MARKER}user-{number:04}"
    agent = AgentConfig(model="m", system_instruction=f"{MARKER}{number}" * 1000)
    created = await handles.create(mode=MODE_ASSISTANT, owner=Owner(user_id=user), agent=agent)
    await handles.attach(created, owner=Owner(user_id=user), holder=f"holder-{number:04}:7401")
    for first in (1, 3, 5):
        turns: list[Turn] = [turn(n, agent_text=f"{MARKER}{n}" * 300) for n in (first, first + 1)]
        handle = pb.CheckpointRequest().upstream_handle
        handle.secret = f"{MARKER}secret-{number}"
        request = pb.CheckpointRequest(name=created.name, epoch=1, turns=turns, upstream_handle=handle)
        await handles.stub.Checkpoint(request)
    advice = pb.AddFeedbackRequest(name=created.name, request_id=str(uuid.uuid4()), text=f"{MARKER}{number}" * 200)
    await handles.stub.AddFeedback(advice)
    return created, [created.name.partition("/")[2].encode(), user.encode(), f"holder-{number:04}".encode()]


def sealed(path: Path, conversation: Conversation) -> list[bytes]:
    """A piece of every encrypted value of a conversation, as it stands in the file."""
    identity = conversation.name.partition("/")[2]
    with closing(sqlite3.connect(path)) as connection:
        found = [
            row[0]
            for table, column, *_ in SEALED
            for row in connection.execute(f"SELECT {column} FROM {table} WHERE conversation_id = ?", [identity])  # noqa: S608 - our own names
        ]
    assert len(found) == VALUES
    return pieces(found)


def pieces(values: Iterable[bytes]) -> list[bytes]:
    """What can be recognised of ciphertext in a file, however it is cut."""
    return [value[at : at + 24] for value in values for at in range(20, len(value) - 24, 997)]


async def test_nothing_is_left_in_the_file_or_the_wal(tmp_path: Path) -> None:
    """Of one among many, deleted while the others go on: no id, no owner, no address, no piece of ciphertext."""
    path = tmp_path / "handles.db"
    clock = ManualClock()
    async with running_handles(tmp_path, clock=clock) as handles:
        filled = [await fill(handles, number) for number in range(30)]
        doomed, marks = filled[13]
        marks += sealed(path, doomed)
        before = path.read_bytes() + path.with_name("handles.db-wal").read_bytes()
        assert all(mark in before for mark in marks)
        await handles.stub.DeleteConversation(pb.DeleteConversationRequest(name=doomed.name))
        assert path.with_name("handles.db-wal").read_bytes() == b""
        await _swept(handles, clock)
        files = {name: (tmp_path / name).read_bytes() for name in ("handles.db", "handles.db-wal", "handles.db-shm")}
        assert files["handles.db-wal"] == b""
        for mark in marks:
            assert not [name for name, content in files.items() if mark in content], mark
        kept = files["handles.db"]
        assert all(mark in kept for _, others in filled[14:] for mark in others[:2])


async def test_the_deleted_is_unknown(tmp_path: Path) -> None:
    """To its holder, to its handles, to a second deletion; its creation's request id may be used again."""
    async with running_handles(tmp_path) as handles:
        request_id = "6b1c9f3e-7f0e-4b60-9d0c-0f6a2f4a7d11"
        created = await handles.create(request_id=request_id)
        await handles.attach(created)
        handle = (await handles.checkpoint(created, 1, 1, secret="s")).resume_handle
        delete = handles.stub.DeleteConversation
        await delete(pb.DeleteConversationRequest(name=created.name))
        for call in (
            handles.checkpoint(created, 1, 2),
            handles.stub.GetConversation(pb.GetConversationRequest(name=created.name)),
            handles.attach(created),
            delete(pb.DeleteConversationRequest(name=created.name)),
        ):
            with pytest.raises(ServiceError) as caught:
                await call
            assert caught.value.reason is Reason.CONVERSATION_NOT_FOUND
        assert await handles.validate(created, handle) == pb.HANDLE_RESULT_INVALID
        assert handles.metric("filo_handles_validations_total", result="unknown") == 1
        assert handles.metric("filo_handles_deletions_total", kind="asked") == 1
        assert (await handles.create(request_id=request_id)).name != created.name


async def test_nothing_is_left_in_postgresqls_tables(tmp_path: Path) -> None:
    """After a VACUUM FULL no file of a table or an index holds id, owner, address or ciphertext."""
    environ = postgres_environ(tmp_path)
    async with running_handles(tmp_path, environ=environ) as handles:
        filled = [await fill(handles, number) for number in range(10)]
        doomed, marks = filled[3]
        marks += pieces((await _stored(environ, doomed)).values())
        await handles.stub.DeleteConversation(pb.DeleteConversationRequest(name=doomed.name))
    server = postgres.server()
    name = environ["FILO_HANDLES_DATABASE_URL"].partition("@/")[2].partition("?")[0]
    for command in ("VACUUM FULL", "CHECKPOINT"):
        await asyncio.to_thread(server.sql, command, name)
    files = await asyncio.to_thread(lambda: [entry.read_bytes() for entry in _files(server, name)])
    assert any(filled[4][1][0] in content for content in files)
    for mark in marks:
        assert not any(mark in content for content in files), mark


async def test_what_postgresqls_log_keeps_no_key_opens(tmp_path: Path) -> None:
    """The log outlives a deletion, as backups do: it holds ciphertext, for which a rotation leaves no key."""
    server = await asyncio.to_thread(postgres.new_server)
    await asyncio.to_thread(server.start)
    environ = postgres_environ(tmp_path, server)
    settings = Settings.from_env(environ)
    await database.migrate(settings)
    async with running_handles(tmp_path, environ=environ) as handles:
        kept, doomed = [(await fill(handles, number))[0] for number in range(2)]
        stored = await _stored(environ, doomed)
        await handles.stub.DeleteConversation(pb.DeleteConversationRequest(name=doomed.name))
        async with database.opened(settings) as opened:
            before = opened.sealing.ring
            rotation.add_key(settings.key_file)
            await database.take_keys(opened, settings.key_file)
            await rotation.reencrypt(opened.store, SystemClock())
            assert await rotation.forget(opened, settings.key_file, SystemClock()) == [before.newest]
        turns = await handles.turns(kept)
        assert [one.number for one in turns] == [1, 2, 3, 4, 5, 6]
    await asyncio.to_thread(server.sql, "CHECKPOINT")
    log = await asyncio.to_thread(_log, server)
    await asyncio.to_thread(server.stop)
    assert all(piece in log for piece in pieces(stored.values()))
    for said in (turns[2].agent_text[:40], f"{MARKER}1{MARKER}1{MARKER}1", f"{MARKER}secret-1"):
        assert said.encode() not in log
    old, ring = Sealing(before), keyfile.load(settings.key_file)
    assert ring is not None
    for place, value in stored.items():
        assert MARKER.encode() in old.open(value, place)
        with pytest.raises(ValueError, match="which is not in the key file"):
            Sealing(ring).open(value, place)


def _log(server: postgres.Server) -> bytes:
    return b"".join(entry.read_bytes() for entry in (server.data / "pg_wal").iterdir() if entry.is_file())


async def _stored(environ: Mapping[str, str], conversation: Conversation) -> dict[str, bytes]:
    """Every encrypted value of a conversation on PostgreSQL, by its place."""
    identity = conversation.name.partition("/")[2]
    found: dict[str, bytes] = {}
    connection = await asyncpg.connect(environ["FILO_HANDLES_DATABASE_URL"])
    try:
        for table, column, *keys in SEALED:
            query = f"SELECT {', '.join((column, *keys))} FROM {table} WHERE conversation_id = $1"  # noqa: S608 - our own names
            for value, *key in await connection.fetch(query, identity):
                found["/".join((table, identity, *map(str, key)))] = bytes(value)
    finally:
        await connection.close()
    assert len(found) == VALUES
    return found


def _files(server: postgres.Server, database: str) -> list[Path]:
    number = server.sql(f"SELECT oid FROM pg_database WHERE datname = '{database}'").strip()  # noqa: S608 - our own name
    return [entry for entry in (server.data / "base" / number).iterdir() if entry.is_file()]


async def test_what_rows_left_where_they_had_been_goes_too(tmp_path: Path) -> None:
    """SQLite leaves copies in the gaps when it moves rows: the sweeper's round wipes the unused parts of every page."""
    clock, path = ManualClock(), tmp_path / "handles.db"
    async with running_handles(tmp_path, clock=clock) as handles:
        created = [await handles.create() for _ in range(60)]
        for conversation in created:
            await handles.attach(conversation)
            await handles.checkpoint(conversation, 1, 1, secret="s")
        await _swept(handles, clock)  # what a process before may have left
        assert _litter(path) > 20
        await handles.stub.DeleteConversation(pb.DeleteConversationRequest(name=created[7].name))
        await _swept(handles, clock)
        content = path.read_bytes()
        assert LITTER not in content
        assert created[7].name.partition("/")[2].encode() not in content
        assert all(one.name.partition("/")[2].encode() in content for one in (*created[:7], *created[8:]))
        for conversation in created[:7]:  # and nobody brings it back
            await handles.checkpoint(conversation, 1, 2, secret="t")
    assert LITTER not in path.read_bytes()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


LITTER = b"what a row left behind"


def _litter(path: Path) -> int:
    """Write into the unused parts of all pages, as a row would that has moved; how many there were."""
    content, count = path.read_bytes(), 0
    with path.open("r+b") as file:
        for number in range(1, len(content) // 4096 + 1):
            for start, end in unused(content[(number - 1) * 4096 : number * 4096], number, 4096):
                if end - start > len(LITTER):
                    file.seek((number - 1) * 4096 + start)
                    file.write(LITTER)
                    count += 1
    return count


async def _swept(handles: RunningHandles, clock: ManualClock) -> None:
    """Let the sweeper make a round that begins after this moment: the one under way may have begun before it."""
    before = handles.metric("filo_handles_sweeps_total", result="done")

    def two_more() -> bool:
        clock.advance(60)
        return handles.metric("filo_handles_sweeps_total", result="done") >= before + 2

    await until(two_more)


def _deleted(handles: RunningHandles, clock: ManualClock, kind: str) -> bool:
    clock.advance(60)
    return handles.metric("filo_handles_deletions_total", kind=kind) > 0


async def test_the_sweeper_deletes_what_is_over(tmp_path: Path) -> None:
    """By itself: expired handles, then the abandoned conversation's end, then all of it; each counted, with its lag."""
    clock = ManualClock()
    async with running_handles(tmp_path, clock=clock) as handles:
        created = await handles.create()
        await handles.attach(created)
        await handles.checkpoint(created, 1, 1, secret="s")
        for seconds, kind in ((7200, "expired"), (7 * 86400, "abandoned"), (31 * 86400, "ended")):
            clock.advance(seconds)
            await until(partial(_deleted, handles, clock, kind))
        assert handles.metric("filo_handles_sweeps_total", result="internal") == 0
        with pytest.raises(ServiceError) as caught:
            await handles.attach(created, owner=OWNER)
        assert caught.value.reason is Reason.CONVERSATION_NOT_FOUND
        assert handles.metric("filo_handles_sweep_lag_seconds", kind="ended") >= 0

"""Rows that somebody else wrote: what a hand in the database can do to a conversation, and what it cannot."""

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy.engine import make_url

from filo.handles.v1 import handles_pb2 as pb
from filo.handles.v1.resources_pb2 import Conversation
from services.common.clock import SystemClock
from services.common.errors import Reason, ServiceError
from services.common.sql_engine import dsn
from services.handles import database, keyfile, rotation, sweeps
from services.handles.codec import Sealing
from services.handles.config import Settings
from tests.support.clock import ManualClock
from tests.support.handles import RunningHandles, postgres_environ, running_handles, until

_DAY = 86400.0


def _sqlite(directory: Path) -> dict[str, str]:
    return {"FILO_DATA_DIR": str(directory)}


@pytest.fixture(name="environ", params=[_sqlite, postgres_environ], ids=["sqlite", "postgres"])
def _environ(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """Settings of a new store, on each database."""
    make: Callable[[Path], dict[str, str]] = request.param
    return make(tmp_path)


@pytest.fixture(name="clock")
def _clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(name="handles")
async def _handles(tmp_path: Path, environ: dict[str, str], clock: ManualClock) -> AsyncIterator[RunningHandles]:
    async with running_handles(tmp_path, environ=environ, clock=clock) as handles:
        yield handles


async def meddle(environ: dict[str, str], statement: str, conversation: Conversation, value: bytes = b"") -> None:
    """Run a statement with a conversation's id (:id) and a value (:value), past the store."""
    identity, url = identity_of(conversation), environ.get("FILO_HANDLES_DATABASE_URL")
    if url is None:
        path = Path(environ["FILO_DATA_DIR"]) / "handles.db"
        with closing(sqlite3.connect(path)) as file, file:
            file.execute(statement, {"id": identity, "value": value})
        return
    connection = await asyncpg.connect(dsn(make_url(url)))
    quoted = {":id": f"'{identity}'", ":value": rf"'\x{value.hex()}'::bytea"}
    for name, text in quoted.items():
        statement = statement.replace(name, text)
    await connection.execute(statement)
    await connection.close()


def identity_of(conversation: Conversation) -> str:
    """The id in its name."""
    return conversation.name.partition("/")[2]


async def filled(handles: RunningHandles) -> Conversation:
    """A conversation with a turn and an upstream handle."""
    created = await handles.create()
    await handles.attach(created)
    await handles.checkpoint(created, 1, 1, secret=f"secret of {created.name}", covers_turn=1)
    return created


async def swept(handles: RunningHandles, clock: ManualClock, seconds: float) -> None:
    """Let time pass, and the sweeper do a round."""
    await until(lambda: clock.sleepers >= 2)  # the sweeper, and who looks for new keys
    rounds = handles.metric("filo_handles_sweeps_total", result="done")
    clock.advance(seconds)
    await until(lambda: handles.metric("filo_handles_sweeps_total", result="done") > rounds)


_SWAP = (
    "UPDATE upstream_handles SET secret = (SELECT secret FROM upstream_handles WHERE conversation_id <> :id) "
    "WHERE conversation_id = :id"
)
"""One conversation gets the other's upstream handle."""

_PLANT = "UPDATE upstream_handles SET secret = :value WHERE conversation_id = :id"


async def test_a_handle_of_another_conversation_is_nobodys(handles: RunningHandles, environ: dict[str, str]) -> None:
    """It is not given out, and counts as none: the conversation goes on from its transcript, and gets a new one."""
    robbed, _ = await filled(handles), await filled(handles)
    await meddle(environ, _SWAP, robbed)
    answer = await handles.attach(robbed)
    assert (answer.conversation.epoch, answer.HasField("upstream_handle")) == (2, False)
    assert [turn.number for turn in await handles.turns(robbed)] == [1]
    await handles.checkpoint(robbed, 2, 2, secret="new", covers_turn=2)
    assert (await handles.attach(robbed)).upstream_handle.secret == "new"


async def test_whoever_holds_it_goes_on(handles: RunningHandles, environ: dict[str, str]) -> None:
    """A sign of life deletes what does not open; every call after it works as if it had never been."""
    robbed, _ = await filled(handles), await filled(handles)
    await meddle(environ, _SWAP, robbed)
    await handles.stub.HeartbeatConversation(pb.HeartbeatConversationRequest(name=robbed.name, epoch=1))
    async with database.opened(Settings.from_env(environ)) as opened:
        view = await opened.store.look(identity_of(robbed))
    assert (view.upstream, view.spoiled) == (None, False)
    await handles.stub.EndConversation(pb.EndConversationRequest(name=robbed.name, epoch=1))


async def test_what_does_not_open_is_deleted_all_the_same(
    handles: RunningHandles, environ: dict[str, str], clock: ManualClock
) -> None:
    """At somebody's word, and by the sweeper, which one such row does not keep from the others."""
    robbed, other, third = await filled(handles), await filled(handles), await filled(handles)
    foreign = Sealing(keyfile.new().extended()).seal(b"secret", f"upstream_handles/{identity_of(robbed)}")
    for conversation in (robbed, other):
        await meddle(environ, _PLANT, robbed, foreign)
        await meddle(environ, "UPDATE agents SET body = :value WHERE conversation_id = :id", conversation, b"\0")
    await handles.stub.DeleteConversation(pb.DeleteConversationRequest(name=robbed.name))
    for days, kind in ((8, "abandoned"), (31, "ended")):
        await swept(handles, clock, days * _DAY)
        assert handles.metric("filo_handles_deletions_total", kind=kind) == 2
    for conversation in (robbed, other, third):
        with pytest.raises(ServiceError) as caught:
            await handles.stub.GetConversation(pb.GetConversationRequest(name=conversation.name))
        assert caught.value.reason is Reason.CONVERSATION_NOT_FOUND


async def test_a_handle_whose_key_is_not_at_hand_is_kept(handles: RunningHandles, environ: dict[str, str]) -> None:
    """Another replica may have sealed it with a key that this one has not seen yet: nothing is given up for that."""
    created = await filled(handles)
    later = Sealing(keyfile.new().extended()).seal(b"secret", f"upstream_handles/{identity_of(created)}")
    await meddle(environ, _PLANT, created, later)
    with pytest.raises(ServiceError) as caught:
        await handles.attach(created)
    assert caught.value.reason is Reason.INTERNAL
    kept = "UPDATE upstream_handles SET covers_turn = 0 WHERE conversation_id = :id AND secret = :value"
    await meddle(environ, kept, created, later)
    ring = keyfile.load(Path(environ["FILO_DATA_DIR"]) / "handles.key")
    assert ring is not None
    own = Sealing(ring).seal(b"found again", f"upstream_handles/{identity_of(created)}")
    back = "UPDATE upstream_handles SET secret = :value WHERE conversation_id = :id AND covers_turn = 0"
    await meddle(environ, back, created, own)
    assert (await handles.attach(created)).upstream_handle.secret == "found again"


@pytest.mark.parametrize("table", ["agents", "turns"])
async def test_nobody_plants_words(handles: RunningHandles, environ: dict[str, str], table: str) -> None:
    """A script or a turn in the clear, as a hand in the database would write it, is not read but refused."""
    created = await filled(handles)
    planted = b"\0" + created.agent.SerializeToString() if table == "agents" else b"\0\x08\x01"
    await meddle(environ, f"UPDATE {table} SET body = :value WHERE conversation_id = :id", created, planted)  # noqa: S608 - our own names
    with pytest.raises(ServiceError) as caught:
        await (handles.attach(created) if table == "agents" else handles.turns(created))
    assert caught.value.reason is Reason.INTERNAL


async def test_an_erasure_that_was_cut_off_is_finished(
    handles: RunningHandles, environ: dict[str, str], clock: ManualClock
) -> None:
    """Between two pieces its caller gives up, or the process dies: the sweeper's next round deletes the rest."""
    created = await filled(handles)
    async with database.opened(Settings.from_env(environ)) as opened:
        assert await opened.backend.write(partial(sweeps.seal_off, identity_of(created)), alone=True)
    with pytest.raises(ServiceError) as caught:
        await handles.attach(created)
    assert caught.value.reason is Reason.CONVERSATION_ENDED
    await swept(handles, clock, 60.0)
    assert handles.metric("filo_handles_deletions_total", kind="ended") == 1
    assert handles.metric("filo_handles_sweep_lag_seconds", kind="ended") == 0
    with pytest.raises(ServiceError) as caught:
        await handles.stub.GetConversation(pb.GetConversationRequest(name=created.name))
    assert caught.value.reason is Reason.CONVERSATION_NOT_FOUND


async def test_a_rotation_says_which_row_does_not_open(handles: RunningHandles, environ: dict[str, str]) -> None:
    """It stops there, and the key that the row may need is not dropped."""
    created = await filled(handles)
    path = Path(environ["FILO_DATA_DIR"]) / "handles.key"
    rotation.add_key(path)
    await meddle(environ, "UPDATE turns SET number = 2 WHERE conversation_id = :id", created)
    async with database.opened(Settings.from_env(environ)) as opened:
        with pytest.raises(ValueError, match=f"turns/{identity_of(created)}/2 was not sealed for it"):
            await rotation.forget(opened, path, SystemClock())
    assert list((keyfile.load(path) or keyfile.new()).sealing) == [2, 1]

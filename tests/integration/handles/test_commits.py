"""Commits that are shared, clocks that disagree, and processes that die: what was answered holds."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from filo.handles.v1.handles_pb2 import HANDLE_RESULT_INVALID, HANDLE_RESULT_VALID
from services.common.errors import Reason, ServiceError
from services.handles import database, decisions, sqlite, statements
from services.handles.config import Settings
from services.handles.database import Opened
from services.handles.decisions import Checkpoint, Decision
from services.handles.programs import Ask, Program
from services.handles.records import NewConversation, Turn, View
from tests.integration.handles.test_process import connected, on_free_ports, ready
from tests.support.clock import ManualClock
from tests.support.conversations import NOW, RULES, conversation
from tests.support.handles import postgres_environ, running_handles, turn


@pytest.fixture(name="opened")
async def _opened(tmp_path: Path) -> AsyncIterator[Opened]:
    """An open store on SQLite, with two conversations."""
    async with database.opened(Settings.from_env({"FILO_DATA_DIR": str(tmp_path)})) as opened:
        for number in (1, 2):
            record = conversation(id=f"{number:032x}")
            await opened.store.create(NewConversation(record, f"request {number}", b"digest", b"agent"))
        yield opened


def checkpoint(number: int) -> decisions.Decide[decisions.Stored]:
    """Store one turn."""
    return decisions.checkpoint(Checkpoint(epoch=0, turns=(Turn(number, b"body"),)), NOW, RULES)


async def test_waiting_writers_share_a_commit(opened: Opened) -> None:
    """Many at once are far fewer transactions, and every one is answered with what it did."""
    backend = opened.backend
    assert isinstance(backend, sqlite.Sqlite)
    begun: list[str] = []
    backend.connections[0].set_trace_callback(
        lambda statement: begun.append(statement) if "BEGIN" in statement else None
    )
    ids = [f"{number:032x}" for number in (1, 2)]
    answers = await asyncio.gather(*(opened.store.change(one, checkpoint(n)) for n in range(1, 51) for one in ids))
    assert [answer.conversation.turn_count for answer in answers] == [n for n in range(1, 51) for _ in ids]
    assert len(begun) <= 10


async def test_one_failure_does_not_concern_the_others(opened: Opened) -> None:
    """A refusal, a decision that breaks, a statement that fails after others wrote: each is its caller's alone."""

    def refuse(_: View) -> Decision[None]:
        raise ServiceError(Reason.EPOCH_FENCED, "Stop.")

    def broken(_: View) -> Decision[None]:
        raise RuntimeError("broken")

    def half() -> Program[None]:
        yield Ask(statements.DELETE, {"id": f"{2:032x}"})
        yield Ask(statements.INSERT_TURN, [{"id": f"{1:032x}", "number": 1, "body": b"x"}] * 2)

    one, two = f"{1:032x}", f"{2:032x}"
    results = await asyncio.gather(
        opened.store.change(one, checkpoint(1)),
        opened.store.change(one, refuse),
        opened.store.change(two, broken),
        opened.backend.write(half),
        opened.store.change(two, checkpoint(1)),
        return_exceptions=True,
    )
    kinds = [type(result) for result in results]
    assert kinds == [decisions.Stored, ServiceError, RuntimeError, sqlite3.IntegrityError, decisions.Stored]
    for identity in (one, two):
        assert await opened.store.turns(identity, 0, 10) == [Turn(1, b"body")]


@pytest.mark.parametrize("environ", [on_free_ports, postgres_environ], ids=["sqlite", "postgres"])
async def test_answered_checkpoints_survive_a_kill_under_load(tmp_path: Path, environ: object) -> None:
    """Sixteen writers, SIGKILL in their midst: after the restart each turn that was answered is there, and no other."""
    assert callable(environ)
    settings = {**on_free_ports(tmp_path), **environ(tmp_path)}
    acknowledged: dict[str, int] = {}
    async with ready(settings) as (process, line), connected(line, settings) as handles:
        created = [await handles.create() for _ in range(16)]
        await asyncio.gather(*(handles.attach(conversation_) for conversation_ in created))

        async def write(number: int) -> None:
            for turn_number in range(1, 10_000):
                if sum(acknowledged.values()) >= 100 and process.returncode is None:
                    process.kill()
                try:
                    await handles.checkpoint(created[number], 1, turn_number, secret=f"s{turn_number}")
                except ServiceError:
                    return
                acknowledged[created[number].name] = turn_number

        await asyncio.gather(*(write(number) for number in range(16)))
    assert sum(acknowledged.values()) >= 100
    async with ready(settings) as (_, line), connected(line, settings) as handles:
        for conversation_ in created:
            stored = await handles.turns(conversation_)
            assert stored == [turn(number) for number in range(1, len(stored) + 1)]
            assert len(stored) - acknowledged.get(conversation_.name, 0) in {0, 1}
            if stored:
                assert (await handles.attach(conversation_)).upstream_handle.secret == f"s{len(stored)}"


async def test_replicas_whose_clocks_disagree_give_each_epoch_once(tmp_path: Path) -> None:
    """An hour apart, on one PostgreSQL: attaches alternate, the older epoch is fenced, signs of life never go back."""
    environ = postgres_environ(tmp_path)
    early, late = ManualClock(), ManualClock(ManualClock().now() + timedelta(minutes=20))
    async with (
        running_handles(tmp_path, clock=early, environ=environ) as one,
        running_handles(tmp_path, clock=late, environ=environ) as two,
    ):
        created = await one.create()
        answers = await asyncio.gather(*(handles.attach(created) for handles in (one, two) * 10))
        assert sorted(answer.conversation.epoch for answer in answers) == list(range(1, 21))
        with pytest.raises(ServiceError) as caught:
            await one.checkpoint(created, 19, 1)
        assert caught.value.reason is Reason.EPOCH_FENCED
        first = (await two.checkpoint(created, 20, 1, secret="s1")).resume_handle
        handle = (await one.checkpoint(created, 20, 2, secret="s2")).resume_handle
        early.advance(2400)  # 40 minutes after its own sign of life, 20 after the other's
        assert await one.validate(created, handle) == HANDLE_RESULT_VALID
        late.advance(1800)
        assert await two.validate(created, handle) == HANDLE_RESULT_INVALID
        assert await two.validate(created, first) == HANDLE_RESULT_INVALID

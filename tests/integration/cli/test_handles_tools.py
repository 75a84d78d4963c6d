"""The operator's tools on a real database, beside a service that uses it."""

import asyncio
import json
import re
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from typer.testing import CliRunner

from filo.handles.v1 import handles_pb2 as pb
from filo.handles.v1.resources_pb2 import Conversation, Ledger
from services.cli import handles_tools, main
from services.handles import keyfile
from tests.support.clock import ManualClock
from tests.support.handles import SHARE_TOKEN, RunningHandles, postgres_environ, running_handles

pytestmark = pytest.mark.usefixtures("logging_as_before")

SECRET = "gemini-secret"


class Stored(NamedTuple):
    """A conversation behind a running service, and the settings that find its database."""

    environ: Mapping[str, str]
    handles: RunningHandles
    conversation: Conversation
    resume_handles: tuple[str, str]


@pytest.fixture(name="stored", params=["sqlite", "postgresql"])
async def _stored(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Stored]:
    environ = {"FILO_DATA_DIR": str(tmp_path)} if request.param == "sqlite" else postgres_environ(tmp_path)
    async with running_handles(tmp_path, environ=environ) as handles:
        created = await handles.create()
        await handles.attach(created)
        made = [(await handles.checkpoint(created, 1, at, secret=f"{SECRET}-{at}")).resume_handle for at in (1, 2)]
        await handles.stub.Checkpoint(pb.CheckpointRequest(name=created.name, epoch=1, ledger=Ledger(user_tokens=42)))
        yield Stored(environ, handles, created, (made[0], made[1]))


Tool = Callable[..., Any]


@pytest.fixture(name="tool")
def _tool(stored: Stored, capsys: pytest.CaptureFixture[str]) -> Tool:
    """Runs a tool in a thread, as its own process would be: gives what it printed, which holds no secret."""

    async def run(act: Callable[..., int], *arguments: Any, code: int = 0, **options: Any) -> str:  # noqa: ANN401
        capsys.readouterr()  # what the service has logged
        got = await asyncio.to_thread(act, stored.environ, *arguments, **options)
        shown = capsys.readouterr()
        assert got == code, shown.err
        text = shown.out + shown.err
        for secret in (SECRET, SHARE_TOKEN, *stored.resume_handles, "question 1", "answer 1", "Sell the thread"):
            assert secret not in text
        return text

    return run


async def test_conversations_are_listed(stored: Stored, tool: Tool) -> None:
    """The newest first, as many as asked for; as a table and as JSON."""
    newer = await stored.handles.create()
    rows = json.loads(await tool(handles_tools.ls, 10, as_json=True))
    assert [row["name"] for row in rows] == [newer.name, stored.conversation.name]
    assert (rows[1]["state"], rows[1]["turns"], rows[1]["handles_live"]) == ("held", 2, 2)
    assert rows[1]["owner"].startswith("shareTokens/")
    assert [row["name"] for row in json.loads(await tool(handles_tools.ls, 1, as_json=True))] == [newer.name]
    table = await tool(handles_tools.ls, 10, as_json=False)
    assert table.index(newer.name) < table.index(stored.conversation.name)


async def test_a_conversation_is_shown_by_name_by_id_and_by_handle(
    stored: Stored, tool: Tool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that is known but secrets and words; a handle comes by standard input, never by the command line."""
    name = stored.conversation.name
    shown = json.loads(await tool(handles_tools.show, name, as_json=True))
    assert shown["resume_handles"] | {"expire": ""} == {
        "issued": 2,
        "live": 2,
        "expired_up_to": 0,
        "revoked_up_to": 0,
        "expire": "",
    }
    assert shown["upstream_handle"]["covers_turn"] == 0
    assert (shown["ledger"], shown["agent"]["model"]) == ({"user_tokens": 42}, "models/gemini-live")
    by_id = json.loads(await tool(handles_tools.show, name.removeprefix("conversations/"), as_json=True))
    assert by_id == shown
    monkeypatch.setattr(handles_tools, "_read_handle", lambda: stored.resume_handles[0])
    assert json.loads(await tool(handles_tools.show, "-", as_json=True)) == shown
    assert re.search(r"agent\.model +models/gemini-live", await tool(handles_tools.show, name, as_json=False))


async def test_revoked_handles_are_worth_nothing_and_the_next_one_is(
    stored: Stored, tool: Tool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that were given out, found by one of them; the conversation goes on under its holder."""
    monkeypatch.setattr(handles_tools, "_read_handle", lambda: stored.resume_handles[0])
    done = json.loads(await tool(handles_tools.revoke, "-", as_json=True))
    assert done == {"name": stored.conversation.name, "revoked": 2, "revoked_up_to": 2}
    for handle in stored.resume_handles:
        assert await stored.handles.validate(stored.conversation, handle) == pb.HANDLE_RESULT_INVALID
    fresh = (await stored.handles.checkpoint(stored.conversation, 1, 3, secret="gemini-3")).resume_handle
    assert await stored.handles.validate(stored.conversation, fresh) == pb.HANDLE_RESULT_VALID
    again = json.loads(await tool(handles_tools.revoke, stored.conversation.name, as_json=True))
    assert again["revoked"] == 1


async def test_keys_are_rotated_beside_the_service(stored: Stored, tool: Tool) -> None:
    """A new key seals, old rows are re-encrypted, the old key is dropped; the service goes on reading and writing."""
    first = json.loads(await tool(handles_tools.rotate_keys, new_key=True, as_json=True))
    assert (first["sealing_key"], first["keys"]) == (2, [2, 1])
    assert first["reencrypted"] == 4  # the agent, the upstream handle, two turns
    assert [turn.number for turn in await stored.handles.turns(stored.conversation)] == [1, 2]
    again = json.loads(await tool(handles_tools.rotate_keys, new_key=False, as_json=True))
    assert again["reencrypted"] == 0
    done = json.loads(await tool(handles_tools.finish_rotation, as_json=True))
    assert done == {"dropped": [1], "keys": [2]}
    attached = await stored.handles.attach(stored.conversation)
    assert attached.upstream_handle.secret == f"{SECRET}-2"


async def test_a_row_that_does_not_open_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In one line, exit code 1: by whoever shows it, and by a rotation, which drops no key for it."""
    async with running_handles(tmp_path) as handles:
        created = await handles.create()
    with closing(sqlite3.connect(tmp_path / "handles.db")) as connection, connection:
        connection.execute("UPDATE agents SET body = substr(body, 1, length(body) - 1)")
    environ = {"FILO_DATA_DIR": str(tmp_path)}
    place = f"agents/{created.name.partition('/')[2]}"
    calls: list[Callable[[], int]] = [
        lambda: handles_tools.show(environ, created.name, as_json=True),
        lambda: handles_tools.rotate_keys(environ, new_key=True, as_json=True),
        lambda: handles_tools.finish_rotation(environ, as_json=True),
    ]
    for call in calls:
        capsys.readouterr()
        assert await asyncio.to_thread(call) == 1
        told = capsys.readouterr()
        assert (told.out, told.err.count("\n")) == ("", 1)
        assert place in told.err
    assert list((keyfile.load(tmp_path / "handles.key") or keyfile.new()).sealing) == [2, 1]


async def test_what_is_due_is_swept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the settings of the service, and told by kind."""
    async with running_handles(tmp_path, clock=ManualClock()) as handles:  # long ago, by the tool's own clock
        created = await handles.create()
        await handles.attach(created)
        await handles.checkpoint(created, 1, 1, secret=SECRET)
    environ = {"FILO_DATA_DIR": str(tmp_path)}
    capsys.readouterr()  # what the service has logged
    assert await asyncio.to_thread(handles_tools.sweep, environ, as_json=True) == 0
    assert json.loads(capsys.readouterr().out) == {"expired": 1, "abandoned": 1, "ended": 0}


async def test_the_schema_goes_back_and_forth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On an empty database to the newest, one back, and forward again; what does not exist is refused."""
    environ = {"FILO_DATA_DIR": str(tmp_path)}
    steps = []
    for target in ("head", "0001", "head"):
        assert await asyncio.to_thread(handles_tools.migrate, environ, target, as_json=True) == 0
        steps.append(json.loads(capsys.readouterr().out))
    assert steps[0]["before"] == "base"
    assert steps[1] == {"before": steps[0]["after"], "after": "0001"}
    assert steps[2] == {"before": "0001", "after": steps[0]["after"]}
    assert await asyncio.to_thread(handles_tools.migrate, environ, "9999", as_json=True) == 2
    assert "no schema 9999" in capsys.readouterr().err


async def test_what_is_not_there_is_told(stored: Stored, tool: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown conversation or handle: exit code 1; what is no name, a setting or a file that cannot be used: 2."""
    assert "no such conversation" in await tool(handles_tools.show, "0" * 32, as_json=True, code=1)
    monkeypatch.setattr(handles_tools, "_read_handle", lambda: "nonsense")
    assert "no such conversation" in await tool(handles_tools.revoke, "-", as_json=True, code=1)
    assert "name:" in await tool(handles_tools.show, "x", as_json=True, code=2)
    wrong = {**stored.environ, "FILO_HANDLES_LEASE": "long"}
    assert await asyncio.to_thread(handles_tools.ls, wrong, 1, as_json=True) == 2


def test_nothing_is_made_where_no_database_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From another directory than the service's: an empty list would say that nothing is stored."""
    environ = {"FILO_DATA_DIR": str(tmp_path)}
    for act in (
        partial(handles_tools.ls, environ, 1),
        partial(handles_tools.sweep, environ),
        partial(handles_tools.rotate_keys, environ, new_key=True),
        partial(handles_tools.finish_rotation, environ),
    ):
        assert act(as_json=False) == 2
        assert f"there is no database {tmp_path / 'handles.db'}" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_command_line_reaches_the_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each subcommand with its options, and none of them starts the service."""
    called: list[tuple[object, ...]] = []
    for name in ("ls", "show", "revoke", "sweep", "rotate_keys", "finish_rotation", "migrate"):

        def remember(_environ: object, *words: object, name: str = name, **options: object) -> int:
            called.append((name, *words, *sorted(options.items())))
            return 0

        monkeypatch.setattr(handles_tools, name, remember)
    commands = (
        "ls -n 3 --json",
        "show X",
        "revoke -",
        "sweep",
        "rotate-keys --no-new-key",
        "rotate-keys --finish",
        "migrate",
    )
    for words in commands:
        done = CliRunner().invoke(main.app, ["handles", *words.split()])
        assert done.exit_code == 0, done.output
    assert called == [
        ("ls", 3, ("as_json", True)),
        ("show", "X", ("as_json", False)),
        ("revoke", "-", ("as_json", False)),
        ("sweep", ("as_json", False)),
        ("rotate_keys", ("as_json", False), ("new_key", False)),
        ("finish_rotation", ("as_json", False)),
        ("migrate", "head", ("as_json", False)),
    ]

"""Keys: encryption of what is stored, a new key while everything goes on, and what is refused at the start."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from filo.handles.v1.resources_pb2 import Conversation
from services.common.clock import SystemClock
from services.common.lifecycle import StartupError
from services.handles import database, keyfile, programs, rotation
from services.handles.config import Settings
from services.handles.database import Opened
from tests.support.clock import ManualClock
from tests.support.handles import RunningHandles, postgres_environ, running_handles, turn, until

Environ = Callable[[Path], dict[str, str]]


def _sqlite(directory: Path) -> dict[str, str]:
    return {"FILO_DATA_DIR": str(directory)}


@pytest.fixture(name="environ", params=[_sqlite, postgres_environ], ids=["sqlite", "postgres"])
def _environ(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """Settings of a new store, on each database."""
    environ: dict[str, str] = request.param(tmp_path)
    return environ


@asynccontextmanager
async def served(tmp_path: Path, environ: dict[str, str]) -> AsyncIterator[tuple[RunningHandles, Opened]]:
    """A running service, and a second opening of its store, as a command has it."""
    async with (
        running_handles(tmp_path, environ=environ, clock=SystemClock()) as handles,
        database.opened(Settings.from_env(environ)) as opened,
    ):
        yield handles, opened


async def filled(handles: RunningHandles, turns: int = 5) -> Conversation:
    """A conversation with all that is encrypted."""
    created = await handles.create()
    await handles.attach(created)
    await handles.checkpoint(created, 1, *range(1, turns + 1), secret=f"secret of {created.name}")
    return created


async def test_a_rotation_goes_on_beside_the_service(
    tmp_path: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """New key, re-encryption in small batches under load, old key dropped: every value is read all along."""
    monkeypatch.setattr(rotation, "BATCH", 7)
    monkeypatch.setattr(rotation, "_LOOK", 0.02)
    clock, path = SystemClock(), tmp_path / "handles.key"
    async with served(tmp_path, environ) as (handles, opened):
        conversations = [await filled(handles) for _ in range(6)]
        assert rotation.add_key(path) == 2
        await until(partial(_taken, opened))
        await database.take_keys(opened, path)
        seen: list[tuple[str, int]] = []
        busy = asyncio.ensure_future(_work(handles, conversations[0]))
        resealed = await rotation.reencrypt(opened.store, clock, lambda table, rows: seen.append((table, rows)))
        await busy
        assert 6 * (5 + 1) <= resealed <= 6 * (5 + 1 + 1)
        assert len([table for table, _ in seen if table == "turns"]) >= 30 // 7
        assert await rotation.forget(opened, path, clock) == [1]
        await _whole(handles, conversations)
    assert "\n1 " not in path.read_text()
    async with running_handles(tmp_path, environ=environ) as handles:
        await _whole(handles, conversations)


async def _taken(opened: Opened) -> bool:
    """Whether the service has seen the new key."""
    return "sealing_key_2" in await opened.backend.read(programs.meta)


async def _work(handles: RunningHandles, conversation: Conversation) -> None:
    for number in range(6, 16):
        await handles.checkpoint(conversation, 1, number, secret=f"secret of {conversation.name}")


async def _whole(handles: RunningHandles, conversations: list[Conversation]) -> None:
    for conversation in conversations:
        stored = await handles.turns(conversation)
        assert stored == [turn(number) for number in range(1, len(stored) + 1)]
        assert len(stored) >= 5
        answer = await handles.attach(conversation)
        assert answer.upstream_handle.secret == f"secret of {conversation.name}"
        assert answer.conversation.agent == conversation.agent


async def test_what_still_needs_a_key_keeps_it(tmp_path: Path, environ: dict[str, str]) -> None:
    """While anything was sealed with an old key nothing is dropped: the first call re-encrypts, the second drops."""
    path = tmp_path / "handles.key"
    async with running_handles(tmp_path, environ=environ) as handles:
        await filled(handles)
    rotation.add_key(path)
    async with database.opened(Settings.from_env(environ)) as opened:
        assert await rotation.forget(opened, path, SystemClock()) == []
        assert list((keyfile.load(path) or keyfile.new()).sealing) == [2, 1]
        assert await rotation.forget(opened, path, SystemClock()) == [1]


async def test_a_missing_key_is_refused(tmp_path: Path, environ: dict[str, str]) -> None:
    """No start without a key that values may be sealed with; nor with another one of its number."""
    path = tmp_path / "handles.key"
    async with running_handles(tmp_path, environ=environ) as handles:
        await filled(handles)
    ring = keyfile.load(path)
    assert ring is not None
    two = ring.extended()
    keyfile.replace(path, two.only(2))
    with pytest.raises(StartupError, match="encryption key 1 is missing"):
        await _open(environ)
    keyfile.replace(path, keyfile.KeyRing(ring.hashes, {1: b"\0" * 32}))
    with pytest.raises(StartupError, match=r"key 1 in .* is not the one"):
        await _open(environ)
    path.unlink()
    with pytest.raises(StartupError, match="missing"):
        await _open(environ)
    assert not path.exists()


async def _open(environ: dict[str, str]) -> None:
    async with database.opened(Settings.from_env(environ)):
        pass


async def test_a_refused_key_file_leaves_nothing_behind(tmp_path: Path, environ: dict[str, str]) -> None:
    """A start with a key file of long ago, or of another store, is refused; the right one is as good as before."""
    path, wrong = tmp_path / "handles.key", tmp_path / "wrong.key"
    await _open(environ)
    shutil.copy(path, wrong)
    first = keyfile.load(path)
    rotation.add_key(path)
    async with database.opened(Settings.from_env(environ)) as opened:
        assert await rotation.forget(opened, path, SystemClock()) == [1]
    for refused, why in ((first, "encryption key 2 is missing"), (keyfile.new(), "is not the one")):
        assert refused is not None
        keyfile.replace(wrong, refused)
        with pytest.raises(StartupError, match=why):
            await _open({**environ, "FILO_HANDLES_KEY_FILE": str(wrong)})
        await _open(environ)


async def test_a_key_that_came_meanwhile_is_not_dropped(tmp_path: Path, environ: dict[str, str]) -> None:
    """Somebody adds a key, and a process begins to seal with it, while another looks through the rows to drop keys."""
    path = tmp_path / "handles.key"
    await _open(environ)
    rotation.add_key(path)
    async with database.opened(Settings.from_env(environ)) as opened:
        rotation.add_key(path)
        await _open(environ)
        assert await rotation.forget(opened, path, SystemClock()) == []
        assert list((keyfile.load(path) or keyfile.new()).sealing) == [3, 2, 1]
        assert "sealing_key_3" in await opened.backend.read(programs.meta)
        await database.take_keys(opened, path)
        assert sorted(await rotation.forget(opened, path, SystemClock())) == [1, 2]
    await _open(environ)


async def test_a_key_file_that_cannot_be_written_is_shortened_by_hand(tmp_path: Path, environ: dict[str, str]) -> None:
    """As with a mounted secret: the database asks for the older keys no more, so their lines may go."""
    path = tmp_path / "handles.key"
    await _open(environ)
    rotation.add_key(path)
    (tmp_path / ".handles.key.new").mkdir()
    async with database.opened(Settings.from_env(environ)) as opened:
        with pytest.raises(StartupError, match="cannot use the key file"):
            await rotation.forget(opened, path, SystemClock())
    await _open(environ)
    path.write_text("\n".join(line for line in path.read_text().splitlines() if not line.startswith("1 ")))
    await _open(environ)


async def test_keys_added_at_once_have_numbers_of_their_own(tmp_path: Path) -> None:
    """Whoever changes the file waits for others: no key is lost."""
    path = tmp_path / "handles.key"
    keyfile.create(path)
    added = await asyncio.gather(*(asyncio.to_thread(rotation.add_key, path) for _ in range(8)))
    assert sorted(added) == list(range(2, 10))
    assert list((keyfile.load(path) or keyfile.new()).sealing) == list(range(9, 0, -1))


async def test_a_key_added_during_a_start_is_taken(tmp_path: Path, environ: dict[str, str]) -> None:
    """The file changed between the start's look at it and the first look of who watches it."""
    path, clock = tmp_path / "handles.key", ManualClock()
    await _open(environ)
    async with database.opened(Settings.from_env(environ)) as opened:
        rotation.add_key(path)
        following = asyncio.ensure_future(rotation.follow(opened, path, clock))
        await until(lambda: clock.sleepers == 1)
        clock.advance(1.0)
        await until(lambda: opened.sealing.ring.newest == 2)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def test_a_servers_keys_are_never_made(tmp_path: Path) -> None:
    """Each replica would make its own: the text says how to make one for all, and what it says works."""
    environ = postgres_environ(tmp_path)
    path = tmp_path / "handles.key"
    path.unlink()
    with pytest.raises(StartupError, match="make one, for all replicas") as caught:
        await _open(environ)
    command = str(caught.value).partition("replicas: ")[2]
    process = await asyncio.create_subprocess_shell(f"umask 077; {command}")
    assert await process.wait() == 0
    await _open(environ)

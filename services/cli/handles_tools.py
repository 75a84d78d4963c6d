"""What `filo handles ls`, `show`, `revoke`, `sweep`, `rotate-keys` and `migrate` do: open the database, act, tell.

They work on the database itself, beside the services that use it, and need its key file. Nothing secret is shown.
"""

import asyncio
import getpass
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from prometheus_client import CollectorRegistry
from rich.console import Console

from services.cli.handles_view import listing
from services.cli.screen import Screen
from services.cli.telling import Work, show_facts, tell
from services.common import logs
from services.common.clock import SystemClock
from services.common.errors import Reason, ServiceError
from services.common.lifecycle import StartupError
from services.handles import database, operating, rotation
from services.handles.codec import UnreadableError
from services.handles.config import Settings
from services.handles.database import Opened
from services.handles.metrics import Metrics
from services.handles.sweeper import Sweeper

STDIN: Final = "-"
"""In place of a conversation: a resume handle is read from standard input, never from the command line."""

_QUIET: Final = "ERROR"

Act = Callable[[Opened, Settings, datetime], Awaitable[Any]]
"""Does something with an open database; returns what JSON has of it."""


def ls(environ: Mapping[str, str], most: int, *, as_json: bool) -> int:
    """Show the newest conversations."""

    async def act(opened: Opened, settings: Settings, now: datetime) -> list[dict[str, Any]]:
        found = await operating.listed(opened.store, most, now)
        return [operating.summary(record, now, settings.rules) for record in found]

    def show(rows: Sequence[Mapping[str, Any]], screen: Screen) -> None:
        if rows:
            screen.show(listing(rows, SystemClock().now()))
        else:
            screen.say("No conversation is stored.")

    return _run(environ, act, show, as_json=as_json)


def show(environ: Mapping[str, str], which: str, *, as_json: bool) -> int:
    """Show all that is known of a conversation but its words and its secrets."""

    async def act(opened: Opened, settings: Settings, now: datetime) -> dict[str, Any]:
        return await operating.details(opened.store, await _find(opened, which), now, settings.rules)

    return _run(environ, act, show_facts, as_json=as_json)


def revoke(environ: Mapping[str, str], which: str, *, as_json: bool) -> int:
    """Take back every resume handle of a conversation."""

    async def act(opened: Opened, settings: Settings, now: datetime) -> dict[str, Any]:
        return await operating.revoked(opened.store, await _find(opened, which), now, settings.rules)

    return _run(environ, act, show_facts, as_json=as_json)


def sweep(environ: Mapping[str, str], *, as_json: bool) -> int:
    """Delete what is due by its age, now."""

    async def act(opened: Opened, settings: Settings, _now: datetime) -> dict[str, int]:
        clock = SystemClock()
        metrics = Metrics(CollectorRegistry())
        swept = await Sweeper(opened.store, settings.rules, settings.retention, clock, metrics).once()
        return {kind.value: count for kind, count in swept.items()}

    return _run(environ, act, show_facts, as_json=as_json)


def rotate_keys(environ: Mapping[str, str], *, new_key: bool, as_json: bool) -> int:
    """Seal with a new key from now on, and re-encrypt what older ones sealed."""

    async def work() -> dict[str, Any]:
        settings = _where_one_is(environ)
        if new_key:
            rotation.add_key(settings.key_file)
        async with database.opened(settings) as opened:
            with Screen(Console(stderr=True)) as screen:
                done = await rotation.reencrypt(
                    opened.store, SystemClock(), lambda table, seen: screen.status(f"{table}: {seen:,} rows")
                )
            keys = opened.sealing.ring.sealing
            return {"sealing_key": opened.sealing.ring.newest, "reencrypted": done, "keys": list(keys)}

    def show(result: Mapping[str, Any], screen: Screen) -> None:
        show_facts(result, screen)
        if len(result["keys"]) > 1:
            screen.say("When every service has seen the new key: filo handles rotate-keys --finish")

    return _tell(work, show, as_json=as_json)


def finish_rotation(environ: Mapping[str, str], *, as_json: bool) -> int:
    """Drop the keys that nothing is sealed with any more."""

    async def act(opened: Opened, settings: Settings, _now: datetime) -> dict[str, Any]:
        dropped = await rotation.forget(opened, settings.key_file, SystemClock())
        return {"dropped": dropped, "keys": list(opened.sealing.ring.sealing)}

    def show(result: Mapping[str, Any], screen: Screen) -> None:
        show_facts(result, screen)
        if len(result["keys"]) > 1:
            screen.say(
                "Something was still sealed with an older key, and is re-encrypted now; wait a little, ask again."
            )

    return _run(environ, act, show, as_json=as_json)


def migrate(environ: Mapping[str, str], target: str, *, as_json: bool) -> int:
    """Bring the database to a schema, forward or back."""

    async def work() -> dict[str, str]:
        before, after = await database.migrate(_settings(environ), target)
        return {"before": before, "after": after}

    return _tell(work, show_facts, as_json=as_json)


async def _find(opened: Opened, which: str) -> str:
    """The id of the conversation that is meant.

    Raises:
        ServiceError: It is no name, or the handle on standard input belongs to no conversation.
    """
    if which != STDIN:
        return operating.identity(which)
    handle = await asyncio.to_thread(_read_handle)
    return await operating.owner_of(opened.store, opened.digests, handle)


def _read_handle() -> str:
    """A resume handle, not echoed where it is typed."""
    if sys.stdin.isatty():
        return getpass.getpass("Resume handle: ").strip()
    return sys.stdin.readline().strip()


def _settings(environ: Mapping[str, str]) -> Settings:
    logs.configure(_QUIET)
    return Settings.from_env(environ)


def _where_one_is(environ: Mapping[str, str]) -> Settings:
    """The settings, of a database that is there: looking at nothing would make an empty one.

    Raises:
        ConfigError: The settings are wrong.
        StartupError: There is no database file.
    """
    settings = _settings(environ)
    if settings.embedded and not settings.database_file.exists():
        raise StartupError(
            f"there is no database {settings.database_file}; run this where the service runs, or set FILO_DATA_DIR or"
            " FILO_HANDLES_DATABASE_URL as it has them"
        )
    return settings


def _run(environ: Mapping[str, str], act: Act, show: Callable[[Any, Screen], None], *, as_json: bool) -> int:
    async def work() -> Any:  # noqa: ANN401 - what JSON has
        settings = _where_one_is(environ)
        async with database.opened(settings) as opened:
            return await act(opened, settings, SystemClock().now())

    return _tell(work, show, as_json=as_json)


def _tell(work: Work, show: Callable[[Any, Screen], None], *, as_json: bool) -> int:
    async def readable() -> Any:  # noqa: ANN401 - what JSON has
        try:
            return await work()
        except UnreadableError as error:
            why = f"{error}; restore what was there, or delete its conversation"
            raise ServiceError(Reason.INTERNAL, why) from error

    return tell("filo handles", readable, as_json=as_json, show=show)

"""What may happen to a fleet while a crowd talks, and the table of what became of it."""

import asyncio
import signal
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from tests.drills.crowd import STUBBORN, Talker, Verdict
from tests.drills.fleet import RELAYS, Fleet, fleet
from tests.support import postgres
from tests.support.handles import postgres_environ, until

PACE: Final = {
    "FILO_EMULATOR_SPEED": "8",
    "FILO_EMULATOR_THINKING": "100ms",
    "FILO_EMULATOR_SILENCE": "0.2s",
    "FILO_EMULATOR_SESSIONS": "5000",
    "FILO_EMULATOR_REMEMBERED": "5000",
    "FILO_HANDLES_LEASE": "6s",
    "FILO_RELAY_DRAIN_TIMEOUT": "20s",
    "FILO_RELAY_DRAIN_SPREAD": "5s",
    "FILO_RELAY_RETRY_BASE": "0.1",
    "FILO_LOG_LEVEL": "INFO",
}


_TALKERS: Final = 15
"""So many talk without a pause; more of them take turns, for one machine is no data centre."""


@dataclass(frozen=True, slots=True)
class Times:
    """How long a drill takes, in seconds.

    Args:
        settled: Talk before, between and after what happens.
        away: How long the store is away.
        paused: How long a relay is paused after its clients have moved on.
        silence: Of a relay, after which a client asks, and then waits for an answer.
        killed: The relays that are killed.
    """

    settled: float = 2.0
    away: float = 20.0
    paused: float = 8.0
    silence: float = STUBBORN.ping_after
    killed: Sequence[str] = RELAYS


_CRUEL: Final = ("kill -9", "second SIGTERM")
"""Where a relay may die between the end of an answer and its checkpoint, and the next one answers again."""


@dataclass
class Report:
    """What became of a crowd.

    Attributes:
        names: What happened, in order.
        times: How long it took by plan.
        verdicts: Of each conversation.
        continuity: After each thing that happened, the worst that each conversation was told until then.
        notes: What else was measured or found wrong; a line that begins with FAIL is a failure.
        seconds: How long it took.
    """

    names: Sequence[str]
    times: Times = Times()
    verdicts: list[Verdict] = field(default_factory=list)
    continuity: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def name(self) -> str:
        """What happened, in words."""
        return ", then ".join(self.names)

    @property
    def failed(self) -> bool:
        """Whether anything was lost or doubled, or is not as it must be."""
        twice = any(one.twice for one in self.verdicts) and not set(self.names) & set(_CRUEL)
        return (
            twice or any(one.problems for one in self.verdicts) or any(note.startswith("FAIL") for note in self.notes)
        )


Happening = Callable[[Fleet, Sequence[Talker], Report], Awaitable[None]]


async def rolling(running: Fleet, _talkers: Sequence[Talker], report: Report) -> None:
    """A deploy: each relay in turn gets SIGTERM, drains, and is started again."""
    for relay in RELAYS:
        service = running.services[relay]
        took = await service.end(signal.SIGTERM)
        code = service.process.returncode if service.process else None
        report.notes.append(
            f"{'FAIL: ' if code or took > 25 else ''}relay {relay} left in {took:.1f} s, exit code {code}"
        )
        await service.start()
        await running.until_ready()
        await asyncio.sleep(report.times.settled)


async def killed(running: Fleet, _talkers: Sequence[Talker], report: Report) -> None:
    """Each relay in turn is killed in whatever it does, and started again."""
    for relay in report.times.killed:
        service = running.services[relay]
        held = await running.metric(relay, "filo_relay_conversations")
        await service.end(signal.SIGKILL)
        report.notes.append(f"relay {relay} was killed with {held:.0f} conversations")
        await asyncio.sleep(report.times.settled)
        await service.start()
        await running.until_ready()
        await asyncio.sleep(report.times.settled)


async def impatient(running: Fleet, _talkers: Sequence[Talker], report: Report) -> None:
    """A relay gets SIGTERM, and a second one while it drains: it is gone at once."""
    service = running.services["a"]
    service.send(signal.SIGTERM)
    await asyncio.sleep(0.7)
    took = await service.end(signal.SIGTERM)
    report.notes.append(f"{'FAIL: ' if took > 1 else ''}relay a was gone {took:.1f} s after the second SIGTERM")
    await service.start()
    await running.until_ready()


async def split_brain(running: Fleet, talkers: Sequence[Talker], report: Report) -> None:
    """A relay is paused past its lease while its clients move on, and then goes on."""
    service = running.services["a"]
    held = await running.metric("a", "filo_relay_conversations")
    service.send(signal.SIGSTOP)

    async def moved() -> bool:
        return await running.metric("b", "filo_relay_conversations") >= len(talkers)

    async def gone() -> bool:
        return not await running.metric("a", "filo_relay_conversations")

    await until(moved, 60.0)
    await asyncio.sleep(report.times.paused)  # past its lease
    before = await _heard(running, talkers)
    service.send(signal.SIGCONT)
    began = time.monotonic()
    try:
        await until(gone, 10.0)
        report.notes.append(
            f"relay a let go of {held:.0f} conversations {time.monotonic() - began:.1f} s after SIGCONT"
        )
    except TimeoutError:
        report.notes.append("FAIL: relay a still holds conversations 10 s after SIGCONT")
    after = await _heard(running, talkers)
    grown = sum(after.get(connection, 0) - frames for connection, frames in before.items())
    report.notes.append(
        f"{'FAIL: ' if grown else ''}frames that reached Gemini on its old connections after SIGCONT: {grown}"
    )
    await running.until_ready()


async def _heard(running: Fleet, talkers: Sequence[Talker]) -> dict[str, int]:
    """Frames received on each connection but the newest of each conversation."""
    found: dict[str, int] = {}
    for talker in talkers:
        account = await running.account(talker.speaker.stream)
        for connection in (account or {"connections": []})["connections"][:-1]:
            found[connection["id"]] = connection["frames_received"]
    return found


async def store_away(running: Fleet, talkers: Sequence[Talker], report: Report) -> None:
    """The handle store is away for 20 s: conversations talk on, and all is stored afterwards."""
    service = running.services["handles"]
    before = sum(len(talker.greetings) for talker in talkers)
    await service.end(signal.SIGKILL)
    turns = sum(len(talker.speaker.lines) for talker in talkers)
    await asyncio.sleep(report.times.away)
    turns = sum(len(talker.speaker.lines) for talker in talkers) - turns
    await service.start()
    again = sum(len(talker.greetings) for talker in talkers) - before
    report.notes.append(f"turns begun while the store was away: {turns}")
    report.notes.append(f"{'FAIL: ' if again else ''}sockets that had to be opened again: {again}")
    await asyncio.sleep(report.times.settled)


async def database_away(running: Fleet, talkers: Sequence[Talker], report: Report) -> None:
    """The handle store's PostgreSQL is killed and away for 20 s; the store itself stays."""
    server = running.database
    if server is None:
        raise RuntimeError("this drill needs a database server")
    before = sum(len(talker.greetings) for talker in talkers)
    await asyncio.to_thread(server.kill)
    turns = sum(len(talker.speaker.lines) for talker in talkers)
    await asyncio.sleep(report.times.away)
    turns = sum(len(talker.speaker.lines) for talker in talkers) - turns
    await asyncio.to_thread(server.start)
    again = sum(len(talker.greetings) for talker in talkers) - before
    report.notes.append(f"turns begun while the database was away: {turns}")
    report.notes.append(f"{'FAIL: ' if again else ''}sockets that had to be opened again: {again}")
    await asyncio.sleep(report.times.settled)


DRILLS: Final[Mapping[str, Happening]] = {
    "rolling deploy": rolling,
    "kill -9": killed,
    "second SIGTERM": impatient,
    "split brain": split_brain,
    "store away": store_away,
    "database away": database_away,
}


async def drill(names: Sequence[str], conversations: int, times: Times = Times(), **settings: str) -> Report:
    """Let a crowd talk while it happens, and judge.

    Args:
        names: Of `DRILLS`; they happen one after another to the same crowd.
        conversations: How many.
        times: How long.
        settings: More environment for all services.
    """
    report, began = Report(names, times), time.monotonic()
    policy = replace(STUBBORN, ping_after=times.silence, ping_timeout=times.silence)
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        if any(DRILLS[name] is database_away for name in names):
            server = await asyncio.to_thread(postgres.new_server)
            await asyncio.to_thread(server.start)
            settings = await asyncio.to_thread(postgres_environ, place, server) | settings
        else:
            server = None
        async with fleet(place, server, **{**PACE, **settings}) as running:
            talkers = [
                Talker(running, number, max(1.0, conversations / _TALKERS), policy)
                for number in range(1, conversations + 1)
            ]
            for talker in talkers:
                await talker.create()
            enough = asyncio.Event()
            async with asyncio.TaskGroup() as group:
                for talker in talkers:
                    group.create_task(talker.talk(enough))
                await _all_talk(talkers)
                await asyncio.sleep(report.times.settled)
                for name in names:
                    await DRILLS[name](running, talkers, report)
                    report.continuity[name] = [talker.continuity for talker in talkers]
                    if (twice := sum(talker.twice for talker in talkers)) and not set(report.continuity) & set(_CRUEL):
                        report.notes.append(f"FAIL: answers heard twice by the end of {name}: {twice}")
                enough.set()
            report.verdicts = [await talker.verdict() for talker in talkers]
    report.seconds = time.monotonic() - began
    return report


async def _all_talk(talkers: Sequence[Talker]) -> None:
    await until(lambda: all(talker.caller.completed for talker in talkers), 120.0)

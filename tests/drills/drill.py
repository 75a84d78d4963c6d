"""What may happen to a fleet while a crowd talks, and the table of what became of it."""

import asyncio
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
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


_HELD: Final = "filo_relay_conversations"
_SOON, _LONG = 30.0, 120.0
"""Seconds after which something that must come soon, or when a crowd has had its turn, never will."""
_GRACE: Final = 30.0
"""Seconds that Kubernetes gives a pod to end by default."""
_TALKERS: Final = 15
"""So many talk without a pause; more of them take turns, for one machine is no data centre."""


@dataclass(frozen=True, slots=True)
class Times:
    """How long a drill takes, in seconds.

    Args:
        away: How long the store is away.
        silence: Of a relay, after which a client asks, and then waits for an answer.
        killed: How many relays are killed, each time the one that holds more conversations.
    """

    away: float = 20.0
    silence: float = STUBBORN.ping_after
    killed: int = len(RELAYS)


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
        return any(one.problems for one in self.verdicts) or any(note.startswith("FAIL") for note in self.notes)

    def note(self, text: str, *, wrong: object = False) -> None:
        """Something was measured; it is a failure where it is `wrong`."""
        self.notes.append(f"{'FAIL: ' if wrong else ''}{text}")


Happening = Callable[[Fleet, Sequence[Talker], Report], Awaitable[None]]


async def rolling(running: Fleet, talkers: Sequence[Talker], report: Report) -> None:
    """A deploy: each relay in turn gets SIGTERM, drains, and is started again."""
    for relay in RELAYS:
        service = running.services[relay]
        took = await service.end(signal.SIGTERM)
        code = service.process.returncode if service.process else None
        report.note(f"relay {relay} left in {took:.1f} s, exit code {code}", wrong=code or took > _GRACE)
        await service.start()
        await running.until_ready()
        await _talk_on(talkers)


async def killed(running: Fleet, talkers: Sequence[Talker], report: Report) -> None:
    """One relay after another is killed in whatever it does, stays away until all have moved, and is started again."""
    for _ in range(report.times.killed):
        relay, held = await _busier(running)
        service = running.services[relay]
        await service.end(signal.SIGKILL)
        report.note(f"relay {relay} was killed with {held:.0f} conversations", wrong=not held)
        await _all_held(running, talkers, relay=_other(relay))
        await _talk_on(talkers)
        await service.start()
        await running.until_ready()


async def impatient(running: Fleet, _talkers: Sequence[Talker], report: Report) -> None:
    """A relay gets SIGTERM, and a second one while it drains: it is gone at once."""
    relay, held = await _busier(running)
    service = running.services[relay]
    service.send(signal.SIGTERM)

    async def draining() -> bool:
        return not await running.is_ready(relay)

    await until(draining, _SOON)
    early = service.process is None or service.process.returncode is not None
    took = await service.end(signal.SIGTERM)
    wrong = early or not held or took > 1
    left = f"with {held:.0f} conversations before was gone {took:.1f} s after the second SIGTERM"
    report.note(f"relay {relay} {left}{', or even before it' if early else ''}", wrong=wrong)
    await service.start()
    await running.until_ready()


async def split_brain(running: Fleet, talkers: Sequence[Talker], report: Report) -> None:
    """A relay is paused past its lease while its clients move on, and then goes on."""
    relay, held = await _busier(running)
    service = running.services[relay]
    its_own = await _connections_of(running, talkers, relay)
    service.send(signal.SIGSTOP)
    lease = asyncio.create_task(asyncio.sleep(running.lease + 1.0))  # only time lets a lease run out
    await _all_held(running, talkers, relay=_other(relay))
    await lease
    before = await _frames(running, talkers, its_own)
    service.send(signal.SIGCONT)
    began = time.monotonic()

    async def gone() -> bool:
        return not await running.metric(relay, _HELD)

    try:
        await until(gone, 10.0)
        report.note(f"relay {relay} let go of {held:.0f} conversations {time.monotonic() - began:.1f} s after SIGCONT")
    except TimeoutError:
        report.note(f"relay {relay} still holds conversations 10 s after SIGCONT", wrong=True)
    after = await _frames(running, talkers, its_own)
    report.note(
        f"frames that reached Gemini after SIGCONT on the {len(its_own)} connections that it had before SIGSTOP: "
        f"{after - before}",
        wrong=after != before or len(its_own) < held or not held,
    )
    await running.until_ready()


async def _connections_of(running: Fleet, talkers: Sequence[Talker], relay: str) -> frozenset[str]:
    """The open connections to Gemini of a relay, once somebody has been heard on each: the account knows voices."""
    found: set[str] = set()

    async def all_known() -> bool:
        found.clear()
        for talker in talkers:
            if await running.holder(talker.conversation) == relay:
                account = await running.account(talker.speaker.stream) or {"connections": []}
                found.update(one["id"] for one in account["connections"] if one["closed"] is None)
        return len(found) >= await running.metric(relay, _HELD)

    await until(all_known, _SOON)
    return frozenset(found)


async def _frames(running: Fleet, talkers: Sequence[Talker], connections: frozenset[str]) -> int:
    """How many frames were received on these connections so far."""
    accounts = [await running.account(talker.speaker.stream) or {"connections": []} for talker in talkers]
    each = [one for account in accounts for one in account["connections"] if one["id"] in connections]
    return sum(one["frames_received"] for one in each)


async def store_away(running: Fleet, talkers: Sequence[Talker], report: Report) -> None:
    """The handle store is away for 20 s: conversations talk on, and all is stored afterwards."""
    service = running.services["handles"]
    async with _undisturbed(talkers, report, "store"):
        await service.end(signal.SIGKILL)
        await asyncio.sleep(report.times.away)  # the length of the absence is what is tried
        await service.start()


async def database_away(running: Fleet, talkers: Sequence[Talker], report: Report) -> None:
    """The handle store's PostgreSQL is killed and away for 20 s; the store itself stays."""
    server = running.database
    if server is None:
        raise RuntimeError("this drill needs a database server")
    async with _undisturbed(talkers, report, "database"):
        await asyncio.to_thread(server.kill)
        await asyncio.sleep(report.times.away)  # the length of the absence is what is tried
        await asyncio.to_thread(server.start)


@asynccontextmanager
async def _undisturbed(talkers: Sequence[Talker], report: Report, what: str) -> AsyncIterator[None]:
    """Something is away in this context, and nobody is cut off for it, then or afterwards."""
    sockets, turns = sum(len(one.greetings) for one in talkers), sum(one.caller.completed for one in talkers)
    yield
    turns = sum(one.caller.completed for one in talkers) - turns
    report.note(f"turns completed while the {what} was away: {turns}", wrong=not turns)
    await _talk_on(talkers)
    again = sum(len(one.greetings) for one in talkers) - sockets
    report.note(f"sockets that had to be opened again: {again}", wrong=again)


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
                for name in names:
                    await DRILLS[name](running, talkers, report)
                    report.continuity[name] = [talker.continuity for talker in talkers]
                enough.set()
            report.verdicts = [await talker.verdict() for talker in talkers]
    report.seconds = time.monotonic() - began
    return report


async def _all_talk(talkers: Sequence[Talker]) -> None:
    await until(lambda: all(talker.caller.completed for talker in talkers), _LONG)


async def _talk_on(talkers: Sequence[Talker]) -> None:
    """Until there are as many turns more as there are talkers: after whatever happened, they are in full swing."""
    before = sum(talker.caller.completed for talker in talkers)
    await until(lambda: sum(talker.caller.completed for talker in talkers) >= before + len(talkers), _LONG)


async def _busier(running: Fleet) -> tuple[str, float]:
    """The relay that holds more conversations, and how many: whatever was before, it has something to lose."""
    held = {relay: await running.metric(relay, _HELD) for relay in RELAYS}
    return max(held.items(), key=lambda one: one[1])


def _other(relay: str) -> str:
    return next(one for one in RELAYS if one != relay)


async def _all_held(running: Fleet, talkers: Sequence[Talker], relay: str) -> None:
    """Until a relay holds every conversation."""

    async def moved() -> bool:
        return await running.metric(relay, _HELD) >= len(talkers)

    await until(moved, _LONG)

"""The store against its promises while servers and the database die: random clients, kill -9, and a model that judges.

In the manner of etcd's robustness tests: traffic, failures, a history, a model. In every run of the tests only until
the database and a server have died and every kind of answer was seen, which takes seconds; for as long as
``FILO_ROBUSTNESS_SECONDS`` says in ``make test-robustness``. ``FILO_ROBUSTNESS_SEED`` repeats choices.
"""

import asyncio
import os
import random
from pathlib import Path

import pytest

from services.handles import database
from services.handles.config import Settings
from services.handles.policy import KEPT_RESUME_HANDLES
from tests.robustness.handles.cluster import Replica, replicas
from tests.robustness.handles.model import Call, History, Outcome, violations
from tests.robustness.handles.traffic import Traffic
from tests.support import postgres
from tests.support.handles import postgres_environ, until

SECONDS = float(os.environ.get("FILO_ROBUSTNESS_SECONDS", "0"))
SEED = int(os.environ.get("FILO_ROBUSTNESS_SEED", "1"))
TTL = 1.0
SERVERS, RELAYS, GUESTS, CONVERSATIONS = 3 if SECONDS else 2, 12, 3, 6
NEEDED = {(call, Outcome.DONE) for call in Call} | {
    (Call.CHECKPOINT, Outcome.UNKNOWN),
    (Call.CHECKPOINT, Outcome.REFUSED),
}
"""What a history must hold before it proves anything."""


async def failures(
    servers: list[Replica], database_server: postgres.Server, stop: asyncio.Event, killed: list[float]
) -> None:
    """Kill a server now and then and start it again, and once in a while the database; notes when each died."""
    choices = random.Random(SEED)  # noqa: S311 - choices, not secrets
    loop = asyncio.get_running_loop()
    while not await stopped(stop, choices.uniform(0.3, 0.8)):
        killed.append(loop.time())
        if len(killed) % 4 == 1:
            await asyncio.to_thread(database_server.kill)
            await asyncio.to_thread(database_server.start)
        else:
            victim = choices.choice(servers)
            await victim.kill()
            await victim.start()


async def stopped(stop: asyncio.Event, within: float) -> bool:
    """Whether the end comes within so many seconds."""
    try:
        await asyncio.wait_for(stop.wait(), within)
    except TimeoutError:
        return False
    return True


def enough(history: History, killed: list[float]) -> bool:
    """Whether the database and a server have died, and every kind of answer was seen."""
    seen = {(event.call, event.outcome) for event in history.events}
    judged = {event.accepted for event in history.events if event.call is Call.VALIDATE}
    return len(killed) >= 2 and seen >= NEEDED and judged >= {True, False}


@pytest.mark.timeout(SECONDS + 120)
async def test_the_store_keeps_its_promises_while_everything_dies(tmp_path: Path) -> None:
    """No two holders of one epoch, no acknowledged checkpoint lost, no revoked, expired or foreign handle let in."""
    server = await asyncio.to_thread(postgres.new_server)
    await asyncio.to_thread(server.start)
    environ = {
        **postgres_environ(tmp_path, server),
        "FILO_HANDLES_ADDRESS": "127.0.0.1:0",
        "FILO_HANDLES_METRICS_ADDRESS": "127.0.0.1:0",
        "FILO_HANDLES_HANDLE_TTL": f"{TTL:g}s",
        "FILO_HANDLES_SWEEP_INTERVAL": "1s",
        "FILO_LOG_LEVEL": "WARNING",
    }
    await database.migrate(Settings.from_env(environ))
    history = History(ttl=TTL, kept=KEPT_RESUME_HANDLES)
    async with replicas(SERVERS, environ, tmp_path) as servers:
        traffic = Traffic(servers, history, SEED)
        await traffic.create(CONVERSATIONS)
        stop = asyncio.Event()
        clients = [traffic.relay(stop) for _ in range(RELAYS)] + [traffic.guest(stop) for _ in range(GUESTS)]
        running = [asyncio.ensure_future(task) for task in (*clients, traffic.reaper(stop))]
        killed: list[float] = []
        killer = asyncio.ensure_future(failures(servers, server, stop, killed))
        await asyncio.sleep(SECONDS)  # as long as whoever runs it wants; none at all among the other tests
        await until(lambda: enough(history, killed), timeout=60)
        stop.set()
        await killer
        await asyncio.gather(*running)
        names = {event.conversation for event in history.events}
        history.transcripts = {name: await traffic.transcript(name) for name in names}
    await asyncio.to_thread(server.stop)
    assert violations(history) == []
    assert traffic.unforeseen == []
    assert enough(history, killed)
    print(f"{len(history.events)} calls, {len(killed)} kills")  # noqa: T201 - for whoever runs it for minutes

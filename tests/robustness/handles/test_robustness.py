"""The store against its promises while servers and the database die: random clients, kill -9, and a model that judges.

In the manner of etcd's robustness tests: traffic, failures, a history, a model. A few seconds in every run of the
tests, as long as ``FILO_ROBUSTNESS_SECONDS`` says in ``make test-robustness``; ``FILO_ROBUSTNESS_SEED`` repeats
choices.
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
from tests.support.handles import postgres_environ

SECONDS = float(os.environ.get("FILO_ROBUSTNESS_SECONDS", "4"))
SEED = int(os.environ.get("FILO_ROBUSTNESS_SEED", "1"))
TTL = 1.0
SERVERS, RELAYS, GUESTS, CONVERSATIONS = 3, 12, 3, 6


async def failures(servers: list[Replica], database_server: postgres.Server, stop: asyncio.Event, seed: int) -> int:
    """Kill a server now and then and start it again, and once in a while the database; returns how many were killed."""
    choices = random.Random(seed)  # noqa: S311 - choices, not secrets
    killed = 0
    while not stop.is_set():
        await asyncio.sleep(choices.uniform(0.3, 0.8))
        if killed % 4 == 0:
            await asyncio.to_thread(database_server.kill)
            await asyncio.to_thread(database_server.start)
        else:
            victim = choices.choice(servers)
            await victim.kill()
            await victim.start()
        killed += 1
    return killed


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
        killer = asyncio.ensure_future(failures(servers, server, stop, SEED))
        await asyncio.sleep(SECONDS)
        stop.set()
        killed = await killer
        await asyncio.gather(*running)
        names = {event.conversation for event in history.events}
        history.transcripts = {name: await traffic.transcript(name) for name in names}
    await asyncio.to_thread(server.stop)
    assert violations(history) == []
    assert traffic.unforeseen == []
    assert killed >= 2
    print(f"{len(history.events)} calls, {killed} kills")  # noqa: T201 - for whoever runs it for minutes
    seen = {(event.call, event.outcome) for event in history.events}
    assert {(call, Outcome.DONE) for call in Call} <= seen
    assert {(Call.CHECKPOINT, Outcome.UNKNOWN), (Call.CHECKPOINT, Outcome.REFUSED)} <= seen
    assert {event.accepted for event in history.events if event.call is Call.VALIDATE} == {True, False}

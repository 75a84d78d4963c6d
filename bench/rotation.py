"""What a rotation costs, from the client's clock: how long input is held, how long the agent is silent, what is lost.

Handle store and relay are processes of their own, as in production. The emulator runs in this process, beside the
clients, so that one clock times both ends of the relay. The emulator's own setup is measured by dialling it directly,
all through the same run. Conversations rotate side by side, at random moments.
"""

import argparse
import asyncio
import gc
import json
import os
import random
import sys
import tempfile
import time
import uuid
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import uvloop
from websockets.asyncio.client import connect

from bench import rotation_report, rotation_table
from bench.rotation_measure import Measured, measure
from bench.rotation_talk import Microphone
from bench.rotation_tap import Tap, instruction, watching
from filo.handles.v1.resources_pb2 import MODE_SALES_AGENT, AgentConfig
from filo.relay.v1 import relay_pb2 as pb
from filo.relay.v1 import relay_pb2_grpc as rpc
from services.cli.stack import addresses
from services.common import grpc_client, logs
from services.emulator import faults
from services.relay.upstream import backend
from tests.support.emulator import RunningEmulator, running_emulator
from tests.support.relay import SHARE_TOKEN, SHARED

RESULTS: Final = Path("bench/results/rotation.json")
_MODEL: Final = "models/gemini-2.5-flash-native-audio"
_START: Final = 60.0
_FOR_EVER: Final = 10**9
_MOST_SECONDS: Final = 320.0


@dataclass(frozen=True)
class Situation:
    """Where conversations stand when they are rotated.

    Args:
        name: In the report.
        goaway: When the emulator announces the end; a fault without ``do``.
        speed: Pace of the answers.
        line: What the client says again and again.
        conversations: How many run side by side.
        until: The message that makes the client speak again.
    """

    name: str
    goaway: Mapping[str, Any]
    speed: float
    line: str
    conversations: int
    until: str = "turn:complete"


SITUATIONS: Final = (
    Situation(
        "idle", {"when": "turn", "after": 0.5, "spread": 0.8, "time_left": 10.0}, 50.0, "Yes.", 10, "session:rotated"
    ),
    Situation(
        "client speaking",
        {"when": "activity", "after": 0.3, "spread": 1.2, "time_left": 1.6},
        50.0,
        "My company makes thread for sails and for kites.",
        10,
    ),
    Situation(
        "agent speaking",
        {"when": "answer", "after": 0.3, "spread": 1.2, "time_left": 1.3, "chance": 0.7},
        1.6,
        "Tell me more of it.",
        10,
    ),
)


@dataclass
class Stage:
    """The relay with all that is around it.

    Args:
        emulator: In this process.
        client_url: The relay's door.
        control: The relay's control API.
        tap: Watches the emulator.
    """

    emulator: RunningEmulator
    client_url: str
    control: "rpc.RelayServiceAsyncStub"
    tap: Tap
    dialled: list[tuple[float, float]] = field(default_factory=list)

    async def create(self, number: int) -> pb.CreateSessionResponse:
        """Create a session."""
        agent = AgentConfig(model=_MODEL, system_instruction=instruction(number))
        request = pb.CreateSessionRequest(
            request_id=str(uuid.uuid4()), mode=MODE_SALES_AGENT, owner=SHARED, agent=agent, test=True
        )
        return await self.control.CreateSession(request)

    async def probe(self) -> None:
        """Let another process dial the emulator directly, until cancelled; notes what it tells."""
        url = f"{self.emulator.url}{backend.DEVELOPER_PATH}?key=k"
        command = (sys.executable, "-m", "bench.rotation_probe", url, str(self.emulator.ca_path))
        process = await asyncio.create_subprocess_exec(*command, stdout=PIPE)
        try:
            while process.stdout and (line := await process.stdout.readline()):
                connecting, set_up = json.loads(line)
                self.dialled.append((connecting, set_up))
        finally:
            process.kill()
            await process.wait()


async def staged(stack: AsyncExitStack, situation: Situation, close_delay: float) -> Stage:
    """Start everything; it stops when `stack` is left."""
    plan = [{"do": "goaway", "times": _FOR_EVER, "ends_in": 20.0, **situation.goaway}]
    emulator = await stack.enter_async_context(
        running_emulator(
            faults=tuple(faults.read(json.dumps(plan))),
            speed=situation.speed,
            close_delay=close_delay,
            seed=random.randrange(10**6),  # noqa: S311 - another run, other moments
        )
    )
    data = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("FILO_", "GEMINI_"))}
    where = addresses({**environ, **dict.fromkeys(_SOCKETS, "127.0.0.1:0")})
    environ |= {name: str(address) for name, address in where.items()} | {
        "FILO_DATA_DIR": str(data),
        "FILO_RELAY_UPSTREAM_URL": emulator.url,
        "FILO_RELAY_UPSTREAM_CA": str(emulator.ca_path),
        "FILO_RELAY_STABLE_AFTER": "100ms",  # connections are rotated at once here, and that is no failure
        "FILO_RELAY_MAX_AGE": "0",
        "GEMINI_API_KEY": "emulator",
    }
    for name in ("handles", "relay"):
        await stack.enter_async_context(_process(name, environ))
    channel = await stack.enter_async_context(grpc_client.channel(where["FILO_RELAY_CONTROL_ADDRESS"]))
    url = f"ws://{where['FILO_RELAY_CLIENT_ADDRESS']}/ws/ai-voice"
    gc.collect()
    gc.freeze()  # the services do the same; a pause of the instrument is none of the relay's
    return Stage(emulator, url, rpc.RelayServiceStub(channel), stack.enter_context(watching()))


_SOCKETS: Final = (
    "FILO_HANDLES_ADDRESS",
    "FILO_HANDLES_METRICS_ADDRESS",
    "FILO_RELAY_CLIENT_ADDRESS",
    "FILO_RELAY_CONTROL_ADDRESS",
    "FILO_RELAY_METRICS_ADDRESS",
)


@asynccontextmanager
async def _process(name: str, environ: Mapping[str, str]) -> AsyncIterator[None]:
    """A service while the context is open; it is ready when its one line comes."""
    command = (sys.executable, "-m", "services.cli.main", name)
    process = await asyncio.create_subprocess_exec(*command, env=environ, stdout=PIPE, stderr=DEVNULL)
    try:
        async with asyncio.timeout(_START):
            ready = await process.stdout.readline() if process.stdout else b""
        if b" ready: " not in ready:
            raise RuntimeError(f"{name} did not start")
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def converse(stage: Stage, situation: Situation, number: int, enough: asyncio.Event) -> Microphone:
    """One conversation, until there are enough rotations; returns its client, whose socket is closed."""
    session = await stage.create(number)
    query = {"mode": "sales_agent", "sessionToken": session.session_token, "shareToken": SHARE_TOKEN}
    opening = connect(f"{stage.client_url}?{urlencode(query)}", compression=None, proxy=None)
    async with Microphone(opening, number) as client:
        talking = asyncio.create_task(client.run())
        await asyncio.sleep(random.random())  # noqa: S311 - no two alike
        turns = 0
        while not enough.is_set() and client.closed is None:
            if not client.speaking and len(client.all(situation.until)) >= turns:
                client.say(f"{situation.line} And {turns}.")
                turns += 1
            await asyncio.sleep(0.05)
        await client.finish()
        await cancelled(talking)
        await asyncio.sleep(2.5)  # a rotation that has begun comes to its end
    return client


async def cancelled(task: "asyncio.Task[None]") -> None:
    """Cancel a task that goes on for ever.

    Raises:
        Exception: It had failed before.
    """
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def cell(situation: Situation, close_delay: float, rotations: int) -> dict[str, Any]:
    """Measure one situation with one delay of the close."""
    async with AsyncExitStack() as stack:
        stage = await staged(stack, situation, close_delay)
        probing = asyncio.create_task(stage.probe())
        enough = asyncio.Event()
        began = time.monotonic()
        talks = [
            asyncio.create_task(converse(stage, situation, number, enough))
            for number in range(1, situation.conversations + 1)
        ]
        while time.monotonic() - began < _MOST_SECONDS and not any(talk.done() for talk in talks):
            await asyncio.sleep(0.25)
            if sum(len(opened) - 1 for opened in stage.tap.connections.values()) >= rotations:
                break
        enough.set()
        clients = await asyncio.gather(*talks)
        await cancelled(probing)
        found: list[Measured] = []
        for number, client in enumerate(clients, start=1):
            found += measure(client, stage.tap, stage.tap.connections.get(number, []))
        accounts = [stage.emulator.account.voice(client.speaker.stream) for client in clients]
        lost = sum(stage.tap.lost(client.sent) for client in clients)
        seconds = time.monotonic() - began
    return rotation_report.cell(situation.name, close_delay, found, stage.dialled, accounts, lost) | {
        "conversations": situation.conversations,
        "seconds": round(seconds, 1),
    }


async def run(rotations: int, delays: list[float], only: str) -> dict[str, Any]:
    """Measure every cell, one after the other."""
    cells = []
    for situation in SITUATIONS:
        for delay in delays:
            if only in situation.name:
                cells.append(await cell(situation, delay, rotations))
                print(rotation_table.line(cells[-1]), flush=True)
    return {"machine": rotation_report.machine(), "rotations": rotations, "cells": cells}


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rotations", type=int, default=500, help="in each cell, at least")
    parser.add_argument("--delays", default="0,1.5", help="of the close's acknowledgement, seconds")
    parser.add_argument("--only", default="", help="situations whose name has this in it")
    parser.add_argument("--write", type=Path, default=RESULTS, help="where the result goes, as JSON")
    given = parser.parse_args()
    logs.configure("WARNING")
    report = uvloop.run(run(given.rotations, [float(delay) for delay in given.delays.split(",")], given.only))
    given.write.parent.mkdir(parents=True, exist_ok=True)
    given.write.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(rotation_table.table(report))


if __name__ == "__main__":
    main()

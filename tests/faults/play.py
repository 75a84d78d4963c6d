"""Plays cells over real sockets: two relays, a handle store and the emulator, in one process."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Final

import msgspec
from google.protobuf.json_format import ParseDict

from filo.handles.v1.resources_pb2 import AgentConfig
from filo.relay.v1 import relay_pb2 as pb
from services.relay.core.model import Policy
from services.relay.core.states import Phase
from services.relay.live import LiveConversation
from tests.faults import edge, table
from tests.faults.caller import PATIENCE, Caller
from tests.faults.edge import Balancer, EdgeScene, Mishap
from tests.faults.gemini import GeminiScene
from tests.faults.scene import Outcome, Scene
from tests.support.client import Speaker
from tests.support.relay import AGENT, RunningRelay, another_relay, running_relay

AnyCell = table.Cell | edge.Cell
CELLS: Final[tuple[AnyCell, ...]] = (*table.CELLS, *edge.CELLS)
"""The whole matrix."""
POLICY: Final = Policy(
    goaway_margin=0.1, goaway_unknown=0.3, grace=5.0, retry_base=0.02, retry_cap=0.1, stable_after=0.5, stall_after=1.0
)
EMULATOR: Final = {"speed": 80.0, "thinking": 0.01, "silence": 0.1}
AT_ONCE: Final = 4
"""Cells that are played beside each other: most of a cell is waiting."""
_streams = count(7_000)

Stack = tuple[RunningRelay, RunningRelay]
"""Two relays before one store and one emulator."""


def excluded() -> list[tuple[str, table.Point, str]]:
    """What is not played: the row, the point, why."""
    return [(row.name, point, why) for row in table.ROWS for point, why in row.senseless.items()]


@asynccontextmanager
async def stack(directory: Path) -> AsyncIterator[Stack]:
    """Run both relays, with short times."""
    async with (
        running_relay(directory, emulator=EMULATOR, policy=POLICY, connect_timeout=2.0, close_timeout=0.5) as first,
        another_relay(first) as second,
    ):
        yield first, second


async def play_all(cells: Iterable[AnyCell], at_once: int = AT_ONCE) -> Mapping[AnyCell, Outcome]:
    """Play cells, so many beside each other, on one stack."""
    waiting = iter(cells)
    outcomes: dict[AnyCell, Outcome] = {}

    async def work(relays: Stack) -> None:
        for cell in waiting:
            outcomes[cell] = await play(relays, cell)

    with tempfile.TemporaryDirectory() as directory:
        async with stack(Path(directory)) as relays, asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(work(relays))
    return outcomes


async def play(relays: Stack, cell: AnyCell) -> Outcome:
    """Plant facts, let it happen, go on, ask for the facts; then judge."""
    first = relays[0]
    speaker = Speaker(next(_streams))
    tag = f"Scene {speaker.stream}."
    session = await first.create(agent=_agent(tag))
    first.emulator.faults.add(msgspec.structs.replace(fault, instruction=tag) for fault in cell.plan)
    if isinstance(cell, edge.Cell):
        scene = await _at_the_edge(relays, cell, session, speaker)
    else:
        scene = await _at_gemini(first, cell, session, speaker)
    return scene.judged(cell, first.emulator.account.voice(speaker.stream))


def _agent(tag: str) -> AgentConfig:
    """An agent with a tool; the emulator knows its faults by the tag in the instruction."""
    agent = AgentConfig(model=AGENT.model, system_instruction=f"Your name is Al. You work for Ox. {tag}")
    ParseDict({"functionDeclarations": [{"name": "lookup", "description": "Looks a price up."}]}, agent.tools.add())
    return agent


async def _at_gemini(
    relay: RunningRelay, cell: table.Cell, session: pb.CreateSessionResponse, speaker: Speaker
) -> Scene:
    url = f"ws://{relay.where.client_address}"
    scene = GeminiScene(Caller(url, session, speaker))
    try:
        async with scene.caller.calling():
            await scene.happen(cell)
            if not cell.stops:
                await scene.remember()
        if cell.stops:
            scene.caller = Caller(url, session, speaker)
            async with scene.caller.calling():
                await scene.come_back()
                await scene.remember()
    except AssertionError as error:
        scene.outcome.problems.append(str(error))
    return scene


async def _at_the_edge(relays: Stack, cell: edge.Cell, session: pb.CreateSessionResponse, speaker: Speaker) -> Scene:
    first, second = relays
    async with Balancer(first.where.client_address).listening() as balancer:
        scene = EdgeScene(Caller(balancer.url, session, speaker), balancer, second.where.client_address)
        try:
            async with scene.caller.calling():
                rest = await scene.reach(cell.point)
                live = await _held(first, session.conversation)
                scene.strike(cell.mishap, live)
                scene.caller.go_on(rest)
                if cell.mishap is Mishap.SECOND:
                    await _second_socket(scene, Caller(balancer.url, session, speaker))
                else:
                    await scene.returned()
                    await scene.remember()
        except AssertionError as error:
            scene.outcome.problems.append(str(error))
    return scene


async def _held(relay: RunningRelay, conversation: str) -> LiveConversation:
    """The conversation at its relay, once it dials: nothing tells a client of that."""
    async with asyncio.timeout(PATIENCE):
        while (live := relay.where.registry.find(conversation)) is None or live.core.phase is Phase.PARKED:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return live


async def _second_socket(scene: EdgeScene, second: Caller) -> None:
    scene.caller = second
    async with second.calling():
        await scene.first.until("the end of the first", lambda: False)
        over = scene.first.over
        scene.check(holds=over is not None and over.code == edge.TAKEN_OVER, problem=f"the first ended with {over}")
        await scene.come_back()
        await scene.remember()

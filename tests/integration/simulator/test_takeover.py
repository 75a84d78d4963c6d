"""Runs outlive the simulator: it is killed or stopped, they go on at the same turn; nothing is lost or said twice."""

import asyncio
import os
import signal
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from filo.simulator.v1 import simulator_pb2 as pb
from filo.simulator.v1 import simulator_pb2_grpc as rpc
from services.cli.child import Child
from services.common import grpc_client
from services.common.config import parse_address
from tests.integration.simulator.conftest import Stack
from tests.support.relay import RunningRelay
from tests.support.simulator import RunningSimulator, running_simulator, runs_url

pytestmark = pytest.mark.timeout(240)
SECONDS = 200
READY = 60.0
ENDS: Final = (
    ("prospect_said", signal.SIGTERM),
    ("answering", signal.SIGKILL),
    ("agent_said", signal.SIGTERM),
    ("prospect_said", signal.SIGKILL),
    ("answering", signal.SIGTERM),
    ("agent_said", signal.SIGKILL),
)
"""How one simulator after the other ends: at which event of a turn, and by what."""


@asynccontextmanager
async def process(directory: Path, relay: RunningRelay, url: str) -> AsyncIterator[tuple[Child, Any]]:
    """A simulator in a process of its own, and its stub."""
    environ = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(sys.path),
        "FILO_DATA_DIR": str(directory),
        "FILO_SIMULATOR_DATABASE_URL": url,
        "FILO_SIMULATOR_ADDRESS": "127.0.0.1:0",
        "FILO_SIMULATOR_METRICS_ADDRESS": "127.0.0.1:0",
        "FILO_SIMULATOR_LEASE": "1s",
        "FILO_SIMULATOR_SPEED": "20",
        "FILO_SIMULATOR_EMULATOR_URL": relay.emulator.control_url,
        "FILO_RELAY_CONTROL_ADDRESS": str(relay.where.control_address),
        "FILO_RELAY_CLIENT_URL": f"ws://{relay.where.client_address}",
    }
    command = (sys.executable, "-m", "services.cli.main", "simulator")
    child = Child("simulator", command, environ, directory / "simulator.log")
    where = await child.start(READY)
    address = parse_address(where.split()[1].rstrip(","))
    try:
        async with grpc_client.channel(address) as channel:
            yield child, rpc.SimulatorServiceStub(channel)
    finally:
        child.tell(signal.SIGKILL)
        await child.ended()


async def until(stub: Any, run: pb.Run, turn: int, kind: str) -> list[pb.WatchRunResponse]:  # noqa: ANN401 - a stub
    """Everything up to an event of that kind in that turn."""
    seen = []
    async for event in stub.WatchRun(pb.WatchRunRequest(name=run.name)):
        seen.append(event)
        if event.turn >= turn and event.WhichOneof("event") == kind:
            break
    return seen


def whole(run: pb.Run, turns: int) -> None:
    """Every turn once, every frame once, everything remembered; the totals are those of a run without a death."""
    report = run.report
    assert run.outcome == pb.OUTCOME_COMPLETED, run.reason
    assert (report.turns_completed, run.turns_completed, len(run.transcript)) == (turns, turns, turns)
    assert [line.turn for line in run.transcript] == list(range(1, turns + 1))
    assert (report.lost_turns, report.duplicate_turns, report.regreetings) == (0, 0, 0)
    assert (report.audio.frames_lost, report.audio.frames_doubled) == (0, 0)
    assert report.facts.recalled == report.facts.asked >= report.facts.planted > 0
    assert report.passed, [check for check in report.checks if not check.passed]


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_a_simulator_that_ends_leaves_its_run_to_the_next(stack: Stack, tmp_path: Path, kind: str) -> None:
    """Killed and stopped while it speaks, while it hears, and after an answer: the next goes on at the same turn."""
    url, turns = runs_url(kind, tmp_path), 3 * len(ENDS) + 1
    request = pb.StartRunRequest(request_id=str(uuid.uuid4()), spec=pb.RunSpec(turns=turns, seed=2))
    seen: list[pb.WatchRunResponse] = []
    async with asyncio.timeout(SECONDS), stack(lifetime=600.0, emulator={"speed": 20.0}) as (_, relay):
        for at, (where, end) in enumerate(ENDS):
            async with process(tmp_path, relay, url) as (simulator, stub):
                run = (await stub.StartRun(request)).run
                before, seen = seen, await until(stub, run, 3 * at + 2, where)
                assert seen[: len(before)] == before, "what was seen is never taken back"
                simulator.tell(end)
                await simulator.ended()
        async with process(tmp_path, relay, url) as (_, stub):
            after = [event async for event in stub.WatchRun(pb.WatchRunRequest(name=run.name))]
            again = (await stub.StartRun(request)).run
    ended = after[-1].finished.run
    whole(ended, turns)
    assert after[: len(seen)] == seen
    assert [event.sequence for event in after] == list(range(1, len(after) + 1))
    marks = ended.report.takeovers
    assert [mark.handed_over for mark in marks] == [end is signal.SIGTERM for _, end in ENDS]
    for at, mark in enumerate(marks):
        assert mark.at_turn in (3 * at + 2, 3 * at + 3)
        assert mark.gap_ms > 0
    assert again == ended, "the same request is still the same run"
    said = [event.turn for event in after if event.HasField("prospect_said")]
    assert said == list(range(1, turns + 1)), "each line is said once"


async def test_in_writing_too(stack: Stack, tmp_path: Path) -> None:
    """A typed line that the relay has is not typed again."""
    url = runs_url("sqlite", tmp_path)
    async with asyncio.timeout(SECONDS), stack(emulator={"speed": 20.0}) as (_, relay):
        async with process(tmp_path, relay, url) as (first, stub):
            spec = pb.RunSpec(turns=8, channel=pb.CHANNEL_TEXT)
            run = (await stub.StartRun(pb.StartRunRequest(request_id=str(uuid.uuid4()), spec=spec))).run
            await until(stub, run, 4, "prospect_said")
            first.tell(signal.SIGKILL)
            await first.ended()
        async with process(tmp_path, relay, url) as (_, stub):
            after = [event async for event in stub.WatchRun(pb.WatchRunRequest(name=run.name))]
    ended = after[-1].finished.run
    assert ended.outcome == pb.OUTCOME_COMPLETED, ended.reason
    assert (ended.report.turns_completed, ended.report.regreetings, ended.report.duplicate_turns) == (8, 0, 0)
    assert ended.report.passed, [check for check in ended.report.checks if not check.passed]


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
async def test_a_run_without_resumption_ends_with_its_simulator(
    stack: Stack, tmp_path: Path, end: signal.Signals
) -> None:
    """In the world before Filo nobody goes on: the run is lost, in the turn in which the simulator ended."""
    url = runs_url("sqlite", tmp_path)
    async with asyncio.timeout(SECONDS), stack(emulator={"speed": 20.0}) as (_, relay):
        async with process(tmp_path, relay, url) as (first, stub):
            spec = pb.RunSpec(turns=8, no_resume=True)
            run = (await stub.StartRun(pb.StartRunRequest(request_id=str(uuid.uuid4()), spec=spec))).run
            await until(stub, run, 4, "prospect_said")
            first.tell(end)
            await first.ended()
        async with process(tmp_path, relay, url) as (_, stub):
            after = [event async for event in stub.WatchRun(pb.WatchRunRequest(name=run.name))]
    ended = after[-1].finished.run
    assert ended.outcome == pb.OUTCOME_LOST
    assert ended.reason.startswith("The simulator ended in turn 4"), ended.reason
    assert ended.reason.endswith("this run does not resume.")
    assert not ended.report.takeovers, "nobody has gone on with it"
    assert "turns_completed" in {check.name for check in ended.report.checks if not check.passed}


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_replicas_share_a_database_and_no_run(stack: Stack, tmp_path: Path, kind: str) -> None:
    """Three simulators, room for two runs each, nine runs started at one: each is performed once."""
    url = runs_url(kind, tmp_path)
    shared: dict[str, Any] = {"database_url": url, "lease": 5.0, "most_runs": 2}
    async with asyncio.timeout(SECONDS), stack(**shared) as (first, relay), AsyncExitStack() as others:
        where: dict[str, Any] = {
            "control": relay.where.control_address,
            "client_url": f"ws://{relay.where.client_address}",
            "emulator_url": relay.emulator.control_url,
        }
        simulators: list[RunningSimulator] = [first]
        for name in ("b", "c"):
            more = running_simulator(tmp_path / name, **where, **shared)
            simulators.append(await others.enter_async_context(more))
        runs = [await first.start(turns=5, seed=seed) for seed in range(9)]
        watched = await asyncio.gather(*(simulators[at % 3].watch(run) for at, run in enumerate(runs)))
        performed = [each.metric("filo_simulator_runs_total", outcome="completed") for each in simulators]
    for events in watched:
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))
        whole(events[-1].finished.run, turns=5)
    assert sum(performed) == 9, performed
    assert sum(count > 0 for count in performed) > 1, performed


async def test_a_run_that_is_performed_elsewhere_is_stopped_from_here(stack: Stack, tmp_path: Path) -> None:
    """StopRun at a replica that does not have the run: its holder ends it after the turn in progress."""
    url = runs_url("sqlite", tmp_path)
    async with asyncio.timeout(SECONDS), stack(database_url=url, lease=0.6) as (first, relay):
        where = {"control": relay.where.control_address, "client_url": f"ws://{relay.where.client_address}"}
        async with running_simulator(tmp_path / "b", **where, database_url=url, lease=0.6) as second:  # type: ignore[arg-type]
            run = await first.start(turns=500)
            await second.stub.StopRun(pb.StopRunRequest(name=run.name))
            ended = (await second.watch(run))[-1].finished.run
    assert ended.outcome == pb.OUTCOME_STOPPED
    assert ended.turns_completed < 500

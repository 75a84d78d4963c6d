"""The service around the runs: idempotent starts, errors with their field, stops, and what a death leaves behind."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiosqlite
import pytest

from filo.simulator.v1 import simulator_pb2 as pb
from filo.simulator.v1 import simulator_pb2_grpc as rpc
from services.common import grpc_client, logs
from services.common.config import Address
from services.common.errors import Reason, ServiceError
from services.common.lifecycle import StartupError
from services.simulator import service, store
from services.simulator.config import Settings
from tests.integration.simulator.conftest import Stack
from tests.support.simulator import ANY_PORT, RunningSimulator, running_simulator, runs_url

SECONDS = 55
NOBODY = Address("127.0.0.1", 1)
NOWHERE: dict[str, Any] = {"control": NOBODY, "client_url": "ws://127.0.0.1:1"}


async def refusal(call: object) -> ServiceError:
    """The error that a call is answered with."""
    with pytest.raises(ServiceError) as raised:
        await call  # type: ignore[misc]  # any awaitable
    return raised.value


async def until_turn(simulator: RunningSimulator, run: pb.Run, turn: int) -> None:
    """Wait until the run is in that turn."""
    async for event in simulator.stub.WatchRun(pb.WatchRunRequest(name=run.name)):
        if event.turn >= turn:
            return


async def collect(events: AsyncIterator[pb.WatchRunResponse]) -> list[pb.WatchRunResponse]:
    """Everything to the end of the stream."""
    return [event async for event in events]


def lonely(directory: Path) -> Settings:
    """Settings of a simulator with nothing around it."""
    return Settings(
        address=ANY_PORT, metrics_address=ANY_PORT, relay_control_address=NOBODY, data_dir=directory, turn_timeout=1.0
    )


async def test_the_same_request_starts_one_run(stack: Stack) -> None:
    """Repeated while it runs and after it: the same run; with another spec: refused."""
    request = pb.StartRunRequest(request_id=str(uuid.uuid4()), spec=pb.RunSpec(turns=2))
    async with asyncio.timeout(SECONDS), stack() as (simulator, _):
        first = (await simulator.stub.StartRun(request)).run
        again = (await simulator.stub.StartRun(request)).run
        await simulator.watch(first)
        ended = (await simulator.stub.StartRun(request)).run
        request.spec.turns = 3
        other = await refusal(simulator.stub.StartRun(request))
        listed = (await simulator.stub.ListRuns(pb.ListRunsRequest())).runs
    assert first.name == again.name == ended.name
    assert ended.outcome == pb.OUTCOME_COMPLETED
    assert other.reason is Reason.REQUEST_ID_REUSED
    assert [run.name for run in listed] == [first.name]


async def test_bad_requests_name_their_field(stack: Stack) -> None:
    """INVALID_ARGUMENT with the field, RUN_NOT_FOUND with the name."""
    fresh = str(uuid.uuid4())
    async with asyncio.timeout(SECONDS), stack() as (simulator, _):
        stub = simulator.stub
        refused = [
            await refusal(stub.StartRun(pb.StartRunRequest(request_id="mine", spec=pb.RunSpec()))),
            await refusal(stub.StartRun(pb.StartRunRequest(request_id=fresh))),
            await refusal(stub.StartRun(pb.StartRunRequest(request_id=fresh, spec=pb.RunSpec(turns=10_001)))),
            await refusal(stub.ListRuns(pb.ListRunsRequest(page_size=1001))),
            await refusal(stub.ListRuns(pb.ListRunsRequest(page_token="x"))),
            await refusal(stub.ListRuns(pb.ListRunsRequest(page_token="9" * 5_000))),
            await refusal(anext(aiter(stub.WatchRun(pb.WatchRunRequest(name="runs/1", after_sequence=-1))))),
        ]
        missing = [
            await refusal(stub.GetRun(pb.GetRunRequest(name="runs/none"))),
            await refusal(stub.StopRun(pb.StopRunRequest(name="runs/none"))),
            await refusal(anext(aiter(stub.WatchRun(pb.WatchRunRequest(name="runs/none"))))),
        ]
    assert {error.reason for error in refused} == {Reason.INVALID_ARGUMENT}
    assert [error.metadata["field"] for error in refused] == [
        "request_id",
        "spec",
        "spec.turns",
        "page_size",
        "page_token",
        "page_token",
        "after_sequence",
    ]
    assert {error.reason for error in missing} == {Reason.RUN_NOT_FOUND}


async def test_runs_are_listed_newest_first_in_pages(stack: Stack) -> None:
    """Every run once, without its report and transcript."""
    async with asyncio.timeout(SECONDS), stack() as (simulator, _):
        names = [(await simulator.run(turns=1)).name for _ in range(5)]
        listed: list[pb.Run] = []
        token, pages = "", 0
        while token or not pages:
            page = await simulator.stub.ListRuns(pb.ListRunsRequest(page_size=2, page_token=token))
            listed += page.runs
            token, pages = page.next_page_token, pages + 1
    assert [run.name for run in listed] == names[::-1]
    assert pages == 3
    assert not any(run.HasField("report") or run.transcript for run in listed)
    assert {run.outcome for run in listed} == {pb.OUTCOME_COMPLETED}


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_numbers_beyond_every_event_and_run_find_nothing_more(tmp_path: Path, kind: str) -> None:
    """The largest that the contract can say is no error on any database."""
    async with (
        asyncio.timeout(SECONDS),
        running_simulator(tmp_path, **NOWHERE, database_url=runs_url(kind, tmp_path)) as simulator,
    ):
        run = await simulator.run(turns=1)
        assert run.outcome == pb.OUTCOME_FAILED
        assert await simulator.watch(run, after=2**63 - 1) == []
        for token in (str(2**40), str(2**63 - 1)):
            assert (await simulator.stub.ListRuns(pb.ListRunsRequest(page_token=token))).runs[0].name == run.name


async def test_a_stopped_run_completes_its_turn(stack: Stack) -> None:
    """StopRun ends it after the turn in progress, judged and kept; stopping it again changes nothing."""
    async with asyncio.timeout(SECONDS), stack() as (simulator, _):
        run = await simulator.start(turns=500)
        await until_turn(simulator, run, 3)
        running = (await simulator.stub.StopRun(pb.StopRunRequest(name=run.name))).run
        ended = (await simulator.watch(run))[-1].finished.run
        again = (await simulator.stub.StopRun(pb.StopRunRequest(name=run.name))).run
    assert running.outcome == pb.OUTCOME_UNSPECIFIED
    assert running.report.outcome == "running"
    assert ended.outcome == again.outcome == pb.OUTCOME_STOPPED
    assert 3 <= ended.turns_completed < 500
    assert ended.reason == f"The run was stopped after turn {ended.turns_completed}."
    assert all(line.agent for line in ended.transcript)
    assert (ended.report.counted_by, ended.report.lost_turns) == ("emulator", 0)


async def test_a_simulator_that_is_stopped_hands_its_runs_over(stack: Stack, tmp_path: Path) -> None:
    """Within 2 s, and its watchers are told to come again; the next simulator goes on at once, and knows of a stop."""
    async with asyncio.timeout(SECONDS), stack() as (_, relay):
        where: dict[str, Any] = {
            "control": relay.where.control_address,
            "client_url": f"ws://{relay.where.client_address}",
        }
        loop = asyncio.get_running_loop()
        async with running_simulator(tmp_path / "own", speed=4.0, **where) as simulator:
            run = await simulator.start(turns=500)
            channel = grpc_client.channel(simulator.where.address)  # outlives the simulator, as a watcher's own would
            events = aiter(rpc.SimulatorServiceStub(channel).WatchRun(pb.WatchRunRequest(name=run.name)))
            while (await anext(events)).turn < 1:
                pass
            stopping = loop.time()
            rest = asyncio.ensure_future(collect(events))
        assert loop.time() - stopping < 2.0
        told = await refusal(rest)
        await channel.close()
        async with running_simulator(tmp_path / "own", lease=600.0, **where) as simulator:
            kept = await simulator.get(run)
            await until_turn(simulator, run, 3)
            await simulator.stub.StopRun(pb.StopRunRequest(name=run.name))
            ended = (await simulator.watch(run))[-1].finished.run
    assert (told.reason, told.meaning.retryable) == (Reason.SERVICE_UNAVAILABLE, True)
    assert kept.outcome == pb.OUTCOME_UNSPECIFIED
    assert ended.outcome == pb.OUTCOME_STOPPED
    assert [mark.handed_over for mark in ended.report.takeovers] == [True]


async def test_a_stop_outlives_the_simulator_that_was_told(stack: Stack, tmp_path: Path) -> None:
    """StopRun, and the simulator is stopped before the turn is over: whoever goes on with the run ends it."""
    async with asyncio.timeout(SECONDS), stack() as (_, relay):
        where: dict[str, Any] = {
            "control": relay.where.control_address,
            "client_url": f"ws://{relay.where.client_address}",
        }
        async with running_simulator(tmp_path / "own", speed=4.0, **where) as simulator:
            run = await simulator.start(turns=500)
            await until_turn(simulator, run, 1)
            await simulator.stub.StopRun(pb.StopRunRequest(name=run.name))
        async with running_simulator(tmp_path / "own", **where) as simulator:
            ended = (await simulator.watch(run))[-1].finished.run
    assert ended.outcome == pb.OUTCOME_STOPPED
    assert ended.turns_completed < 500


async def test_a_run_that_has_not_begun_is_handed_over_too(stack: Stack, tmp_path: Path) -> None:
    """Stopped in the very moment of its start: the next simulator begins it, and nobody had died."""
    async with asyncio.timeout(SECONDS), stack() as (_, relay):
        where: dict[str, Any] = {
            "control": relay.where.control_address,
            "client_url": f"ws://{relay.where.client_address}",
        }
        async with running_simulator(tmp_path / "own", **where) as simulator:
            runs = [await simulator.start(turns=2) for _ in range(3)]
        async with running_simulator(tmp_path / "own", lease=600.0, **where) as simulator:
            ended = [(await simulator.watch(run))[-1].finished.run for run in runs]
    assert [run.outcome for run in ended] == [pb.OUTCOME_COMPLETED] * 3
    assert not any(not mark.handed_over for run in ended for mark in run.report.takeovers)


async def test_a_run_that_nobody_can_go_on_with_is_failed_with_what_it_had(tmp_path: Path) -> None:
    """Its simulator died and its persona is no longer there: the next one ends it, with its transcript and report."""
    run = pb.Run(name="runs/1", spec=pb.RunSpec(turns=9, persona="gone"))
    events = [pb.WatchRunResponse(sequence=n, turn=turn) for n, turn in ((1, 0), (2, 1), (3, 1), (4, 2))]
    fact = pb.Fact(phrase="company", value="Brightwater")
    events[0].started.conversation = "conversations/1"
    events[1].prospect_said.CopyFrom(pb.ProspectSaid(text="So. My company is Brightwater.", told=[fact]))
    events[2].agent_said.text = "Noted."
    events[3].prospect_said.CopyFrom(pb.ProspectSaid(text="What is my company?", asked=[fact]))
    async with store.opened(lonely(tmp_path).database) as runs:
        await runs.create(str(uuid.uuid4()), pb.RunSpec(turns=9), run)
        await runs.append(run.name, events)
    async with asyncio.timeout(SECONDS), running_simulator(tmp_path, **NOWHERE) as simulator:
        watched = await simulator.watch(run, after=3)
        found = await simulator.get(run)
    assert (found.outcome, found.turns_completed) == (pb.OUTCOME_FAILED, 1)
    assert found.reason.startswith("The run cannot go on: spec.persona: gone: there is none of that name")
    assert [(line.prospect, line.agent) for line in found.transcript] == [
        ("So. My company is Brightwater.", "Noted."),
        ("What is my company?", ""),
    ]
    assert (found.report.outcome, found.report.facts.planted, found.report.facts.asked) == ("failed", 1, 0)
    assert [event.sequence for event in watched] == [4, 5]
    assert watched[-1].finished.run == found


async def test_a_run_without_a_relay_fails_with_a_sentence(tmp_path: Path) -> None:
    """Nobody answers CreateSession: the run could not begin, and says why."""
    async with (
        asyncio.timeout(SECONDS),
        running_simulator(tmp_path, control=NOBODY, client_url="ws://127.0.0.1:1") as simulator,
    ):
        run = await simulator.run(turns=3)
    assert run.outcome == pb.OUTCOME_FAILED
    assert run.reason.startswith("The run could not begin:")
    assert simulator.metric("filo_simulator_runs_total", outcome="failed") == 1


@pytest.mark.usefixtures("logging_as_before")
async def test_a_run_that_cannot_be_kept_leaves_the_others_alone(stack: Stack, tmp_path: Path) -> None:
    """The table of events is gone under a run: it fails and is counted; the simulator answers on."""
    logs.configure()  # as a process does: without, the error is drawn with every variable, for seconds
    async with asyncio.timeout(SECONDS), stack() as (simulator, _):
        run = await simulator.start(turns=300)
        await until_turn(simulator, run, 2)
        async with aiosqlite.connect(tmp_path / "runs.db") as database:
            await database.execute("DROP TABLE run_events")
        events = await simulator.watch(run)
        assert not events[-1].HasField("finished")
        listed = (await simulator.stub.ListRuns(pb.ListRunsRequest())).runs
        assert [found.name for found in listed] == [run.name]
        assert simulator.metric("filo_simulator_runs_total", outcome="failed") == 1
        assert simulator.metric("filo_simulator_runs_running") == 0


async def test_a_database_that_cannot_be_opened_is_one_line(tmp_path: Path) -> None:
    """Not a traceback: which database, and why."""
    (tmp_path / "runs.db").write_text("this is not a database, and long enough to be read as one" * 40)
    with pytest.raises(StartupError, match=r"cannot open the runs at .*runs\.db: file is not a database"):
        async with service.running(lonely(tmp_path)):
            pass


def test_bad_settings_are_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    """Every problem on a line of its own."""
    code = service.main({"FILO_SIMULATOR_SPEED": "fast", "FILO_SIMULATOR_CHANNEL": "smoke"})
    assert code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert [line.split(":")[1].strip() for line in lines] == ["FILO_SIMULATOR_SPEED", "FILO_SIMULATOR_CHANNEL"]

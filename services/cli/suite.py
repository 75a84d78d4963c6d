"""`filo train --suite`: many runs, so many at once, in a stack of their own; one table, one verdict."""

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rich import box
from rich.console import RenderableType
from rich.table import Table

from filo.simulator.v1 import simulator_pb2 as pb
from filo.simulator.v1 import simulator_pb2_grpc as rpc
from services.cli import ownstack
from services.cli.following import RETRIES, follow
from services.cli.ownstack import Wrecker
from services.cli.screen import Screen
from services.cli.stack import Choices
from services.cli.supervisor import Supervisor
from services.cli.train_view import clean, outcome, verdict
from services.common import grpc_client
from services.common.config import Address
from services.common.errors import Reason, ServiceError
from services.common.tls import Transport
from services.simulator.suite import Planned, Suite

_RETRY_WAIT: Final = 1.0
"""Seconds between attempts to start a run, while the simulator is away."""


@dataclass
class Conductor:
    """Runs a suite in one stack.

    Args:
        stub: The simulator.
        suite: What is to be run.
        parallel: How many at once.
        screen: Where each result is shown.
        supervisor: Has the services, where they are this command's own.
    """

    stub: "rpc.SimulatorServiceAsyncStub"
    suite: Suite
    parallel: int
    screen: Screen
    supervisor: Supervisor | None = None
    _done: dict[str, pb.SuiteRun] = field(default_factory=dict)
    _patience: int = RETRIES

    async def perform(self) -> pb.SuiteResult:
        """Run everything; what breaks services runs alone, at the end. Safe to cancel."""
        result = pb.SuiteResult(name=self.suite.name, parallel=self.parallel)
        result.start_time.FromDatetime(datetime.now(UTC))
        shared = [planned for planned in self.suite.runs if not planned.exclusive]
        places = asyncio.Semaphore(self.parallel)
        async with asyncio.TaskGroup() as group:
            for planned in shared:
                group.create_task(self._in_turn(places, planned))
        for planned in self.suite.runs:
            if planned.exclusive:
                await self._one(planned)
        result.end_time.FromDatetime(datetime.now(UTC))
        result.runs.extend(self._done[planned.title] for planned in self.suite.runs)
        result.no_resume = any(planned.spec.no_resume for planned in self.suite.runs)
        result.passed = all(not run.error and run.run.report.passed for run in result.runs)
        return result

    async def _in_turn(self, places: asyncio.Semaphore, planned: Planned) -> None:
        async with places:
            await self._one(planned)

    async def _one(self, planned: Planned) -> None:
        done = pb.SuiteRun(
            title=planned.title,
            persona=Path(planned.spec.persona).stem,
            agent=Path(planned.spec.agent).stem,
            fault_plan=planned.fault_plan,
            seed=planned.spec.seed,
        )
        try:
            done.run.CopyFrom(await self._run(planned))
        except ServiceError as error:
            done.error = f"{error.reason}: {error.detail}"
            self._patience = 0 if error.meaning.retryable else self._patience
        self._done[planned.title] = done
        self.screen.say(line(done), style="" if is_good(done) else "bold red")
        self.screen.status(f"{len(self._done)} of {len(self.suite.runs)} runs are done")

    async def _run(self, planned: Planned) -> pb.Run:
        if planned.exclusive and self.supervisor is None:
            raise ServiceError(Reason.INVALID_ARGUMENT, "it breaks services, and these are not this command's own")
        name = await start(self.stub, planned.spec, self._patience)
        self._patience = RETRIES
        wrecker = Wrecker(self.supervisor) if self.supervisor else None
        run = await follow(self.stub, name, wrecker.see if wrecker else lambda _: None)
        if wrecker:
            await wrecker.done()
        return run


async def start(stub: "rpc.SimulatorServiceAsyncStub", spec: pb.RunSpec, patience: int = RETRIES) -> str:
    """Start a run at a simulator that may be busy; returns its name. Safe to cancel.

    Args:
        stub: The simulator.
        spec: What to run.
        patience: Seconds in which one that is away may come back; where it did not for one run, none for the next.

    Raises:
        ServiceError: The simulator refuses, or is away and does not come back.
    """
    request = pb.StartRunRequest(request_id=str(uuid.uuid4()), spec=spec)
    for _ in range(patience):
        try:
            return (await stub.StartRun(request)).run.name
        except ServiceError as error:
            if not error.meaning.retryable:
                raise
        await asyncio.sleep(_RETRY_WAIT)
    return (await stub.StartRun(request)).run.name


async def conduct(
    suite: Suite,
    parallel: int,
    address: Address | None,
    environ: Mapping[str, str],
    directory: Path,
    screen: Screen,
    transport: Transport = Transport(),  # noqa: B008 - frozen
) -> pb.SuiteResult:
    """Run a suite in a stack of its own, or in the services at `address`. Safe to cancel.

    Args:
        suite: What is to be run.
        parallel: How many at once.
        address: A simulator that runs already; None for a stack of its own.
        environ: The user's environment.
        directory: Where the services of a stack of its own keep their data and print.
        screen: Where it is shown.
        transport: What encrypts the calls.

    Raises:
        ServiceError: The simulator cannot be reached.
        ChildError: A service could not start, or ended by itself.
    """
    async with AsyncExitStack() as stack:
        own = None
        if address is None:
            screen.say("Starting four services, each a process of its own:")
            services = ownstack.running(_choices(suite, directory), environ, directory / "logs", screen.say)
            own = await stack.enter_async_context(services)
            address = own.simulator
        channel = await stack.enter_async_context(grpc_client.channel(address, "simulator", transport))
        stub = rpc.SimulatorServiceStub(channel)
        await stub.ListRuns(pb.ListRunsRequest(page_size=1))  # nobody there is told once, and not by each run
        conductor = Conductor(stub, suite, parallel, screen, own.supervisor if own else None)
        with screen:
            if own is None:
                return await conductor.perform()
            return await own.supervisor.guard(conductor.perform())


def table(result: pb.SuiteResult) -> Table:
    """Every run in a row."""
    headings = (
        "run",
        "how it ended",
        "turns",
        "faults",
        "cuts",
        "facts",
        "lost",
        "doubled",
        "gap",
        "context",
        "",
        "failed",
    )
    shown = Table(box=box.SIMPLE_HEAD, title=f"Suite {clean(result.name)}", title_justify="left")
    for heading in headings:
        shown.add_column(heading)
    for run in result.runs:
        shown.add_row(*_row(run))
    return shown


def conclusion(result: pb.SuiteResult) -> str:
    """One sentence about all of it."""
    good = sum(is_good(run) for run in result.runs)
    cuts = sum(len(run.run.report.rotations) + len(run.run.report.client_reconnects) for run in result.runs)
    seconds = (result.end_time.ToDatetime() - result.start_time.ToDatetime()).total_seconds()
    return f"{good} of {len(result.runs)} runs passed, through {cuts} cuts, in {seconds:.0f} s."


def is_good(run: pb.SuiteRun) -> bool:
    """Whether a run was run and passed."""
    return not run.error and run.run.report.passed


def failed_checks(run: pb.SuiteRun) -> Sequence[str]:
    """The names of the checks that failed."""
    return [check.name for check in run.run.report.checks if not check.passed]


def line(run: pb.SuiteRun) -> str:
    """What is told when a run has ended."""
    if run.error:
        return f"  ERROR   {clean(run.title)}: {clean(run.error)}"
    if is_good(run):
        return f"  passed  {clean(run.title)}"
    return f"  FAILED  {clean(run.title)}: {', '.join(failed_checks(run)) or clean(run.run.reason)}"


def _row(run: pb.SuiteRun) -> list[RenderableType]:
    if run.error:
        return [clean(run.title), "not run", *[""] * 8, verdict(good=False), clean(run.error)]
    told = run.run.report
    gaps = [mark.gap_ms for mark in told.rotations] + [mark.gap_ms for mark in told.client_reconnects]
    return [
        clean(run.title),
        outcome(run.run),
        f"{told.turns_completed}/{told.turns_planned}",
        str(len(told.faults)),
        str(len(gaps)),
        f"{told.facts.recalled}/{told.facts.asked}",
        f"{told.lost_turns} / {told.audio.frames_lost}",
        f"{told.duplicate_turns} / {told.audio.frames_doubled}",
        f"{max(gaps):,} ms" if gaps else "",
        f"{max(told.tokens.context_by_turn, default=0):,}",
        verdict(good=is_good(run)),
        ", ".join(failed_checks(run)),
    ]


def _choices(suite: Suite, directory: Path) -> Choices:
    return Choices(
        data_dir=directory,
        connection_lifetime=suite.stack.connection_lifetime,
        goaway_lead=suite.stack.goaway_lead,
        speed=suite.stack.speed,
        window=suite.stack.window,
        backend=suite.stack.backend,
    )

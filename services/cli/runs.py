"""`filo runs`: the runs that a simulator keeps, to list, to read, to watch and to stop."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer
from rich import box
from rich.table import Table

from services.cli import options

if TYPE_CHECKING:
    from filo.simulator.v1.simulator_pb2 import WatchRunResponse as Event
    from filo.simulator.v1.simulator_pb2_grpc import SimulatorServiceAsyncStub as Stub

WHAT: Final = "List, read, watch and stop training runs."
EXIT_NOT_WELL: Final = 1
EXIT_BAD_INPUT: Final = 2
EXIT_CANNOT_RUN: Final = 3

app = typer.Typer(name="runs", help=WHAT, no_args_is_help=True)


@app.command(name="ls")
def ls(limit: options.Newest = 20, address: options.SimulatorAddress = "", *, as_json: options.Json = False) -> None:
    """List runs, newest first."""
    from filo.simulator.v1 import simulator_pb2 as pb  # noqa: PLC0415 - only what runs is imported
    from services.cli import report, train_view  # noqa: PLC0415 - the same
    from services.cli.screen import Screen  # noqa: PLC0415 - the same

    async def work(stub: "Stub") -> int:
        found = (await stub.ListRuns(pb.ListRunsRequest(page_size=limit))).runs
        if as_json:
            for run in found:
                print(json.dumps(report.plain(run)))
            return 0
        table = Table(box=box.SIMPLE_HEAD)
        for heading in ("run", "started", "how it stands", "turns", "persona", "faults", "title"):
            table.add_column(heading)
        for run in found:
            spec = run.spec
            table.add_row(
                run.name,
                run.create_time.ToDatetime().isoformat(" ", "seconds"),
                train_view.outcome(run),
                f"{run.turns_completed}/{spec.turns}",
                Path(spec.persona).stem,
                Path(spec.fault_plan).stem or (f"chaos {spec.chaos:g}" if spec.chaos else ""),
                train_view.clean(spec.title),
            )
        Screen().show(table)
        return 0

    _ask(address, work)


@app.command()
def show(run: options.RunName, address: options.SimulatorAddress = "", *, as_json: options.Json = False) -> None:
    """Read a run: what was said, what was counted, which checks hold.

    Exit code: 1 when it has ended and did not pass.
    """
    from filo.simulator.v1 import simulator_pb2 as pb  # noqa: PLC0415 - only what runs is imported
    from services.cli import report, train_view  # noqa: PLC0415 - the same
    from services.cli.screen import Screen  # noqa: PLC0415 - the same

    async def work(stub: "Stub") -> int:
        found = (await stub.GetRun(pb.GetRunRequest(name=_name(run)))).run
        if as_json:
            print(json.dumps(report.plain(found)))
        else:
            screen = Screen()
            screen.say(report.to_transcript(found.transcript))
            screen.show(train_view.summary(found))
            screen.show(train_view.checks(found))
        return EXIT_NOT_WELL if found.outcome and not found.report.passed else 0

    _ask(address, work)


@app.command()
def watch(
    run: options.RunName,
    after: options.AfterSequence = 0,
    address: options.SimulatorAddress = "",
    *,
    as_json: options.Json = False,
) -> None:
    """Watch a run to its end, from the beginning or from after any event.

    Exit code: 1 when it did not pass.
    """
    from filo.simulator.v1 import simulator_pb2 as pb  # noqa: PLC0415 - only what runs is imported
    from services.cli import report  # noqa: PLC0415 - the same
    from services.cli.following import follow  # noqa: PLC0415 - the same
    from services.cli.screen import Screen  # noqa: PLC0415 - the same
    from services.cli.train_view import TrainView  # noqa: PLC0415 - the same
    from services.simulator.report import window  # noqa: PLC0415 - the same

    async def work(stub: "Stub") -> int:
        spec = (await stub.GetRun(pb.GetRunRequest(name=_name(run)))).run.spec
        if as_json:
            ended = await follow(
                stub, _name(run), lambda event: print(json.dumps(report.event(event)), flush=True), after
            )
            return 0 if ended.report.passed else EXIT_NOT_WELL
        with Screen() as screen:
            view = TrainView(spec.turns, window(spec.model))

            def see(event: "Event") -> None:
                for line in view.lines(event):
                    screen.show(line)
                screen.status(view.status())

            ended = await follow(stub, _name(run), see, after)
        return 0 if ended.report.passed else EXIT_NOT_WELL

    _ask(address, work)


@app.command()
def stop(run: options.RunName, address: options.SimulatorAddress = "", *, as_json: options.Json = False) -> None:
    """Let a run end after the turn in progress; it is kept, with its report."""
    from filo.simulator.v1 import simulator_pb2 as pb  # noqa: PLC0415 - only what runs is imported
    from services.cli import report, train_view  # noqa: PLC0415 - the same

    async def work(stub: "Stub") -> int:
        found = (await stub.StopRun(pb.StopRunRequest(name=_name(run)))).run
        said = (
            f"{found.name} has ended: {train_view.outcome(found)}"
            if found.outcome
            else f"{found.name} ends after its turn"
        )
        print(json.dumps(report.plain(found)) if as_json else said)
        return 0

    _ask(address, work)


@app.command(name="report")
def write_report(
    run: options.RunOrFile,
    html: options.HtmlPage = Path("report.html"),
    baseline: options.Baseline = None,
    address: options.SimulatorAddress = "",
) -> None:
    """Write the report of a run, or of a suite's record, as one HTML page.

    Of a run in progress it shows what is known so far. A file needs no simulator.
    """
    from filo.simulator.v1 import simulator_pb2 as pb  # noqa: PLC0415 - only what runs is imported
    from services.cli import reading  # noqa: PLC0415 - the same
    from services.cli.records import Wanted  # noqa: PLC0415 - the same

    wanted = Wanted(html, baseline)

    def keep(found: "pb.Run | pb.SuiteResult") -> int:
        wanted.prepare()
        if isinstance(found, pb.Run):
            wanted.keep_run(found, wanted.baseline_run())
        else:
            wanted.keep_suite(found, wanted.baseline_suite())
        print(html)
        return 0

    async def work(stub: "Stub") -> int:
        return keep((await stub.GetRun(pb.GetRunRequest(name=_name(run)))).run)

    try:
        if Path(run).exists():
            raise typer.Exit(keep(reading.load(Path(run))))
        _ask(address, work)
    except reading.RecordError as error:
        raise typer.Exit(_fail(str(error), EXIT_BAD_INPUT)) from error
    except OSError as error:
        raise typer.Exit(_fail(f"{html}: {error.strerror or error}", EXIT_BAD_INPUT)) from error


def _ask(address: str, work: "Callable[[Stub], Awaitable[int]]") -> None:
    """Ask the simulator; ends the command with its exit code."""
    import os  # noqa: PLC0415 - only where a command runs

    from filo.simulator.v1 import simulator_pb2_grpc as rpc  # noqa: PLC0415 - only what runs is imported
    from services.cli.interrupt import cancelled_by_signals  # noqa: PLC0415 - the same
    from services.common import grpc_client, tls  # noqa: PLC0415 - the same
    from services.common.config import Environment  # noqa: PLC0415 - the same
    from services.common.errors import Reason, ServiceError  # noqa: PLC0415 - the same

    where = options.address("--address", address or options.SIMULATOR)
    env = Environment(os.environ)
    transport = tls.read(env, "simulator", {"SIMULATOR_ADDRESS": where})
    if env.problems:
        raise typer.Exit(_fail("; ".join(env.problems), EXIT_BAD_INPUT))

    async def ask() -> int:
        async with grpc_client.channel(where, "simulator", transport) as channel:
            with cancelled_by_signals():
                return await work(rpc.SimulatorServiceStub(channel))

    try:
        raise typer.Exit(asyncio.run(ask()))
    except asyncio.CancelledError:
        raise typer.Exit(EXIT_NOT_WELL) from None
    except ServiceError as error:
        bad = error.reason in (Reason.INVALID_ARGUMENT, Reason.RUN_NOT_FOUND)
        away = f"no simulator answers at {where}; start the services first: filo up"
        silent = error.reason in (Reason.SERVICE_UNAVAILABLE, Reason.DEADLINE_EXCEEDED)
        text = away if silent else error.detail
        raise typer.Exit(_fail(text, EXIT_BAD_INPUT if bad else EXIT_CANNOT_RUN)) from error


def _name(run: str) -> str:
    return run if run.startswith("runs/") else f"runs/{run}"


def _fail(line: str, code: int) -> int:
    print(f"filo runs: {line}", file=sys.stderr)
    return code

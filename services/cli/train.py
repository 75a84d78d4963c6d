"""`filo train`: start a training run, watch it to its end, tell what it came to."""

import asyncio
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from filo.simulator.v1 import simulator_pb2 as pb
from services.cli import ownstack, report, stack, suite
from services.cli.child import ChildError
from services.cli.ownstack import Wrecker
from services.cli.reading import RecordError
from services.cli.records import Wanted
from services.cli.screen import Screen
from services.cli.stack import Choices
from services.cli.train_view import checks, clean, summary
from services.cli.trainer import conduct
from services.common import tls
from services.common.config import Address, Environment
from services.common.errors import Reason, ServiceError
from services.common.tls import Transport
from services.simulator import agent, faultplan, persona
from services.simulator import suite as documents
from services.simulator.documents import DocumentError

DOCUMENTS: Final[Mapping[str, Any]] = {"persona": persona, "agent": agent, "fault_plan": faultplan}
"""Which field of a spec names which kind of document."""

EXIT_NOT_WELL: Final = 1
"""The run did not pass: a check of its report failed, or it could not be performed to its end."""

EXIT_BAD_INPUT: Final = 2
EXIT_CANNOT_RUN: Final = 3


def specification(*, rotation: str, channel: str, prospect: str = "", **values: Any) -> pb.RunSpec:  # noqa: ANN401 - fields
    """A run as the command line says it; enums in words, empty for the default; files are read by `read`."""
    return pb.RunSpec(
        rotation=pb.Rotation.Value(f"ROTATION_{rotation.upper() or 'UNSPECIFIED'}"),
        channel=pb.Channel.Value(f"CHANNEL_{channel.upper() or 'UNSPECIFIED'}"),
        prospect=pb.ProspectKind.Value(f"PROSPECT_KIND_{prospect.upper() or 'UNSPECIFIED'}"),
        **values,
    )


def read(spec: pb.RunSpec) -> None:
    """Put the documents that the spec names by their paths into it, and look at all of them.

    Raises:
        DocumentError: Some cannot be used; it names everything that is wrong.
    """
    wrong: list[str] = []
    for field, kind in DOCUMENTS.items():
        if not getattr(spec, field):
            continue
        try:
            name, document = documents.reference(getattr(spec, field), Path(), kind.KIND, kind.load)
        except DocumentError as error:
            wrong += [f"{kind.KIND} {line}" for line in error.lines]
        else:
            setattr(spec, field, name)
            setattr(spec, f"{field}_document", document)
    if wrong:
        raise DocumentError("run", "", wrong)


@dataclass(frozen=True, slots=True)
class Own:
    """A stack of the command's own.

    Attributes:
        choices: How it is run; its data directory is filled in.
        environ: The user's environment.
    """

    choices: Choices
    environ: Mapping[str, str]


async def conduct_alone(own: Own, spec: pb.RunSpec, directory: Path, screen: Screen) -> pb.Run:
    """Start all services, run, and stop them; faults of services are done to them.

    Raises:
        ChildError: A service could not start, or ended by itself.
        ServiceError: The simulator refuses.
        TimeoutError: After Ctrl-C the run does not end in time.
        asyncio.CancelledError: The second Ctrl-C, or the first one before there was a run.
    """
    screen.say("Starting four services, each a process of its own:")
    choices = replace(own.choices, data_dir=directory)
    async with ownstack.running(choices, own.environ, directory / "logs", screen.say) as started:
        wrecker = Wrecker(started.supervisor)
        work = conduct(started.simulator, spec, screen, see=wrecker.see)
        ended = await started.supervisor.guard(work)
        await wrecker.done()
        return ended


def run(
    address: Address, spec: pb.RunSpec, wanted: Wanted, environ: Mapping[str, str], own: Choices | None = None
) -> int:
    """The command for one run.

    Args:
        address: The simulator.
        spec: What to run.
        wanted: Where the report goes, if anywhere, and what it compares the run with.
        environ: Where the certificates are named, if there are any; the simulator's own will do.
        own: Run in a stack of its own, made so, instead of at `address`.

    Returns:
        The exit code: 0 when the run passed, 1 when not, 2 for bad input, 3 when nothing could be run.
    """
    screen = Screen()
    try:
        read(spec)
        _check_possible(spec, own)
        baseline = wanted.baseline_run()
    except (RecordError, DocumentError) as error:
        return _unusable("run", error)

    def perform(transport: Transport) -> int:
        ended = asyncio.run(_conducted(address, spec, screen, transport, Own(own, environ) if own else None))
        return tell(ended, wanted.keep_run(ended, baseline), screen)

    return _guarded(perform, wanted, environ, address)


async def _conducted(
    address: Address, spec: pb.RunSpec, screen: Screen, transport: Transport, own: Own | None
) -> pb.Run:
    if own is None:
        return await conduct(address, spec, screen, transport)
    with tempfile.TemporaryDirectory(prefix="filo-train-") as scratch:
        return await conduct_alone(own, spec, Path(scratch), screen)


def run_suite(
    path: Path,
    parallel: int,
    address: Address | None,
    wanted: Wanted,
    environ: Mapping[str, str],
    *,
    no_resume: bool = False,
) -> int:
    """The command for a suite.

    Args:
        path: The suite's file.
        parallel: How many runs at once.
        address: A simulator that runs already; None for a stack of its own.
        wanted: Where the results go, and what the report compares them with.
        environ: The user's environment.
        no_resume: Run everything in the world before Filo.

    Returns:
        The exit code, as of `run`.
    """
    screen = Screen()
    try:
        planned = documents.load(path, no_resume=no_resume)
        baseline = wanted.baseline_suite()
    except (RecordError, DocumentError) as error:
        return _unusable("suite", error)

    def perform(transport: Transport) -> int:
        with tempfile.TemporaryDirectory(prefix="filo-suite-") as scratch:
            work = suite.conduct(planned, parallel, address, environ, Path(scratch), screen, transport)
            result = asyncio.run(work)
        return _tell_suite(result, wanted.keep_suite(result, baseline), screen)

    return _guarded(perform, wanted, environ, address or Address(stack.LOOPBACK, 0))


def _unusable(what: str, error: RecordError | DocumentError) -> int:
    if isinstance(error, RecordError):
        return _fail(str(error), EXIT_BAD_INPUT)
    told = error.lines if error.source else error.problems
    return _fail("\n".join([f"this {what} cannot be used:", *told]), EXIT_BAD_INPUT)


def _check_possible(spec: pb.RunSpec, own: Choices | None) -> None:
    """Refuse to break services that somebody else has started."""
    plan = faultplan.load(spec.fault_plan, spec.fault_plan_document)
    if faultplan.Target.SERVICE in plan.targets and own is None:
        raise DocumentError("run", "", [f"{spec.fault_plan}: breaks services, which is possible only with --own"])


def _guarded(perform: Callable[[Transport], int], wanted: Wanted, environ: Mapping[str, str], address: Address) -> int:
    """Do the work; what goes wrong is one line and an exit code."""
    env = Environment(environ)
    transport = tls.read(env, "simulator", {"SIMULATOR_ADDRESS": address})
    if env.problems:
        return _fail("; ".join(env.problems), EXIT_BAD_INPUT)
    try:
        wanted.prepare()
        return perform(transport)
    except ServiceError as error:
        return _refused(error, address)
    except ChildError as error:
        return _fail("\n".join((f"{error}; the last that it said:", *error.lines)), EXIT_CANNOT_RUN)
    except (TimeoutError, asyncio.CancelledError):
        return _fail("left; the simulator keeps the run", EXIT_NOT_WELL)
    except OSError as error:
        return _fail(f"{wanted.path}: {error.strerror or error}", EXIT_BAD_INPUT)


def _tell_suite(result: pb.SuiteResult, written: Sequence[Path], screen: Screen) -> int:
    screen.show(suite.table(result))
    screen.say(suite.conclusion(result), style="bold green" if result.passed else "bold red")
    screen.say(f"Results: {', '.join(map(str, written))}")
    if any(one.error for one in result.runs):
        return EXIT_CANNOT_RUN
    return 0 if result.passed else EXIT_NOT_WELL


def tell(ended: pb.Run, written: Sequence[Path], screen: Screen) -> int:
    """Tell what a run came to.

    Args:
        ended: The run, with its report.
        written: The files of its record.
        screen: Where it is told.

    Returns:
        The exit code, by the report's verdict.
    """
    screen.show(summary(ended))
    screen.show(checks(ended))
    wrong = [check for check in ended.report.checks if not check.passed]
    for check in wrong:
        screen.say(f"Failed: {check.name}: {clean(check.finding)}", style="bold red")
        for shown in check.evidence[:3]:
            screen.say(f"  {clean(report.evidence(shown))}", style="red")
    if written:
        screen.say(f"Report: {', '.join(map(str, written))}")
    if not ended.report.passed and not wrong:
        screen.say(f"Failed: {clean(ended.reason)}", style="bold red")
    return 0 if ended.report.passed else EXIT_NOT_WELL


def _refused(error: ServiceError, address: Address) -> int:
    if error.reason is Reason.INVALID_ARGUMENT:
        return _fail(error.detail, EXIT_BAD_INPUT)
    if error.reason in (Reason.SERVICE_UNAVAILABLE, Reason.DEADLINE_EXCEEDED):
        return _fail(f"no simulator answers at {address}; start the services first: filo up", EXIT_CANNOT_RUN)
    return _fail(f"{error.reason}: {error.detail}", EXIT_CANNOT_RUN)


def _fail(line: str, code: int) -> int:
    print(f"filo train: {line}", file=sys.stderr)
    return code

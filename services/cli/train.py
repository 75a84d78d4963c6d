"""`filo train`: start a training run, watch it to its end, tell what it came to."""

import asyncio
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from filo.simulator.v1 import simulator_pb2 as pb
from filo.simulator.v1 import simulator_pb2_grpc as rpc
from services.cli import report
from services.cli.interrupt import cancelled_by_signals
from services.cli.screen import Screen
from services.cli.train_view import HEADING, TrainView, summary
from services.common import grpc_client, tls
from services.common.config import Address, Environment
from services.common.errors import Reason, ServiceError
from services.common.tls import Transport

EXIT_NOT_WELL: Final = 1
"""The run did not complete, or a check of its report failed."""

EXIT_BAD_INPUT: Final = 2
EXIT_CANNOT_RUN: Final = 3

_RETRIES: Final = 5
_RETRY_WAIT: Final = 1.0
"""Seconds between attempts to watch on, when the simulator is away: it keeps its runs over a restart."""

_LAST_TURN: Final = 20.0
"""Seconds that a run gets to finish the turn in progress after Ctrl-C."""


def specification(*, rotation: str, channel: str, **values: Any) -> pb.RunSpec:  # noqa: ANN401 - fields of RunSpec
    """A run as the command line says it; `rotation` and `channel` in words, empty for the simulator's default."""
    return pb.RunSpec(
        rotation=pb.Rotation.Value(f"ROTATION_{rotation.upper() or 'UNSPECIFIED'}"),
        channel=pb.Channel.Value(f"CHANNEL_{channel.upper() or 'UNSPECIFIED'}"),
        **values,
    )


class Trainer:
    """One run, from its start to its report.

    Args:
        stub: The simulator.
        screen: Where the run is shown.
    """

    def __init__(self, stub: "rpc.SimulatorServiceAsyncStub", screen: Screen) -> None:
        self._stub = stub
        self._screen = screen
        self._view = TrainView(0)
        self._seen = 0
        self._name = ""

    @property
    def started(self) -> bool:
        """Whether there is a run."""
        return bool(self._name)

    async def start(self, spec: pb.RunSpec) -> None:
        """Start the run.

        Raises:
            ServiceError: The simulator refuses, or cannot be reached.
        """
        answer = await self._stub.StartRun(pb.StartRunRequest(request_id=str(uuid.uuid4()), spec=spec))
        self._name = answer.run.name
        self._view = TrainView(answer.run.spec.turns)
        self._screen.say(HEADING, style="dim")

    async def watch(self) -> pb.Run:
        """Show the run until it ends; returns it with its report.

        Safe to cancel and to call again: it goes on after the last event that was shown.

        Raises:
            ServiceError: The simulator is away and does not come back.
        """
        for _ in range(_RETRIES):
            try:
                async for event in self._stub.WatchRun(pb.WatchRunRequest(name=self._name, after_sequence=self._seen)):
                    self._show(event)
                    if event.HasField("finished"):
                        return event.finished.run
            except ServiceError as error:
                if not error.meaning.retryable:
                    raise
            await asyncio.sleep(_RETRY_WAIT)
        raise ServiceError(Reason.SERVICE_UNAVAILABLE, f"the simulator does not say how {self._name} goes on")

    async def stop(self) -> pb.Run:
        """Let the turn in progress finish, and show how the run ends; returns it with its report.

        Raises:
            ServiceError: The simulator is away.
            TimeoutError: The run does not end in time.
        """
        self._screen.say("Stopping after this turn; Ctrl-C again to leave at once.", style="dim")
        await self._stub.StopRun(pb.StopRunRequest(name=self._name))
        async with asyncio.timeout(_LAST_TURN):
            return await self.watch()

    def _show(self, event: pb.WatchRunResponse) -> None:
        self._seen = event.sequence
        for line in self._view.lines(event):
            self._screen.show(line)
        self._screen.status(self._view.status())


async def conduct(
    address: Address,
    spec: pb.RunSpec,
    screen: Screen,
    transport: Transport = Transport(),  # noqa: B008 - frozen
) -> pb.Run:
    """Start a run and watch it to its end; Ctrl-C stops the run, a second one leaves it alone.

    Args:
        address: The simulator.
        spec: What to run.
        screen: Where it is shown.
        transport: What encrypts the calls.

    Raises:
        ServiceError: The simulator refuses, or cannot be reached.
        TimeoutError: After Ctrl-C the run does not end in time.
        asyncio.CancelledError: The second Ctrl-C, or the first one before there was a run.
    """
    async with grpc_client.channel(address, "simulator", transport) as channel:
        trainer = Trainer(rpc.SimulatorServiceStub(channel), screen)
        with screen:
            try:
                with cancelled_by_signals():
                    await trainer.start(spec)
                    return await trainer.watch()
            except asyncio.CancelledError:
                if not trainer.started:
                    raise
                with cancelled_by_signals():
                    return await trainer.stop()


def save(run: pb.Run, directory: Path) -> None:
    """Write ``report.json`` and ``transcript.txt``.

    Raises:
        OSError: The directory cannot be written to.
    """
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "report.json").write_text(report.to_json(run.report), encoding="utf-8")
    (directory / "transcript.txt").write_text(report.to_transcript(run.transcript), encoding="utf-8")


def run(address: Address, spec: pb.RunSpec, directory: Path | None, environ: Mapping[str, str]) -> int:
    """The command.

    Args:
        address: The simulator.
        spec: What to run.
        directory: Where the report goes, if anywhere.
        environ: Where the certificates are named, if there are any; the simulator's own will do.

    Returns:
        The exit code: 0 when every turn was completed and every check holds, 1 when not, 2 for bad input, 3 when
        nothing could be run.
    """
    screen = Screen()
    env = Environment(environ)
    transport = tls.read(env, "simulator", {"SIMULATOR_ADDRESS": address})
    if env.problems:
        return _fail("; ".join(env.problems), EXIT_BAD_INPUT)
    try:
        if directory:
            directory.mkdir(parents=True, exist_ok=True)
        ended = asyncio.run(conduct(address, spec, screen, transport))
        if directory:
            save(ended, directory)
    except ServiceError as error:
        return _refused(error, address)
    except (TimeoutError, asyncio.CancelledError):
        return _fail("left; the simulator keeps the run", EXIT_NOT_WELL)
    except OSError as error:
        return _fail(f"{directory}: {error.strerror or error}", EXIT_BAD_INPUT)
    return _tell(ended, directory, screen)


def _tell(ended: pb.Run, directory: Path | None, screen: Screen) -> int:
    screen.show(summary(ended))
    wrong = report.failed(ended.report)
    for name in wrong:
        screen.say(f"Failed: {name}.", style="bold red")
    if directory:
        screen.say(f"Report: {directory / 'report.json'}, {directory / 'transcript.txt'}")
    return EXIT_NOT_WELL if wrong or ended.outcome != pb.OUTCOME_COMPLETED else 0


def _refused(error: ServiceError, address: Address) -> int:
    if error.reason is Reason.INVALID_ARGUMENT:
        return _fail(error.detail, EXIT_BAD_INPUT)
    if error.reason is Reason.SERVICE_UNAVAILABLE:
        return _fail(f"no simulator answers at {address}; start the services first: filo up", EXIT_CANNOT_RUN)
    return _fail(f"{error.reason}: {error.detail}", EXIT_CANNOT_RUN)


def _fail(line: str, code: int) -> int:
    print(f"filo train: {line}", file=sys.stderr)
    return code

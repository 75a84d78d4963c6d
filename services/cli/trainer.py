"""One run, watched at a terminal from its start to its report."""

import asyncio
import uuid
from typing import Final

from filo.simulator.v1 import simulator_pb2 as pb
from filo.simulator.v1 import simulator_pb2_grpc as rpc
from services.cli.following import See, follow
from services.cli.interrupt import cancelled_by_signals
from services.cli.screen import Screen
from services.cli.train_view import HEADING, TrainView
from services.common import grpc_client
from services.common.config import Address
from services.common.tls import Transport
from services.simulator.report import window

_LAST_TURN: Final = 20.0
"""Seconds that a run gets to finish the turn in progress after Ctrl-C."""


class Trainer:
    """One run, from its start to its report.

    Args:
        stub: The simulator.
        screen: Where the run is shown.
        see: Takes each event too.
    """

    def __init__(self, stub: "rpc.SimulatorServiceAsyncStub", screen: Screen, see: See = lambda _: None) -> None:
        self._stub = stub
        self._screen = screen
        self._see = see
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
        self._view = TrainView(answer.run.spec.turns, window(answer.run.spec.model))
        self._screen.say(HEADING, style="dim")

    async def watch(self) -> pb.Run:
        """Show the run until it ends; returns it with its report.

        Safe to cancel and to call again: it goes on after the last event that was shown.

        Raises:
            ServiceError: The simulator is away and does not come back.
        """
        return await follow(self._stub, self._name, self._show, self._seen)

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
        self._see(event)
        for line in self._view.lines(event):
            self._screen.show(line)
        self._screen.status(self._view.status())


async def conduct(
    address: Address,
    spec: pb.RunSpec,
    screen: Screen,
    transport: Transport = Transport(),  # noqa: B008 - frozen
    see: See = lambda _: None,
) -> pb.Run:
    """Start a run and watch it to its end; Ctrl-C stops the run, a second one leaves it alone.

    Args:
        address: The simulator.
        spec: What to run.
        screen: Where it is shown.
        transport: What encrypts the calls.
        see: Takes each event too.

    Raises:
        ServiceError: The simulator refuses, or cannot be reached.
        TimeoutError: After Ctrl-C the run does not end in time.
        asyncio.CancelledError: The second Ctrl-C, or the first one before there was a run.
    """
    async with grpc_client.channel(address, "simulator", transport) as channel:
        trainer = Trainer(rpc.SimulatorServiceStub(channel), screen, see)
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

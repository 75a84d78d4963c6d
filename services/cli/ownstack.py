"""A stack of a command's own: all services on free ports, for as long as it runs; and the hand that breaks them."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from filo.simulator.v1 import simulator_pb2 as pb
from services.cli import stack, up
from services.cli.stack import Choices
from services.cli.supervisor import Supervisor
from services.common.config import Address

_SIGNALS: Final = {"kill": signal.SIGKILL, "restart": signal.SIGTERM}
"""How a fault of a service is done."""


_PATIENT: Final = {
    "FILO_SIMULATOR_RECONNECT_ATTEMPTS": "20",
    "FILO_SIMULATOR_RECONNECT_LONGEST_WAIT": "2s",
    "FILO_SIMULATOR_TURN_TIMEOUT": "60s",
    "FILO_SIMULATOR_LEASE": "3s",
}
"""There is one relay, and no other to go to: a client that comes back waits until it has started again. There is one
simulator: nobody else is busy with the runs of one that died."""


@dataclass(frozen=True, slots=True)
class OwnStack:
    """Services that this command has started.

    Attributes:
        simulator: Where its gRPC listens.
        supervisor: Has them all.
    """

    simulator: Address
    supervisor: Supervisor


@asynccontextmanager
async def running(
    choices: Choices, environ: Mapping[str, str], logs: Path, tell: Callable[[str], None]
) -> AsyncIterator[OwnStack]:
    """Start every service, and stop them all at the end. Safe to cancel.

    Args:
        choices: How to run the stack.
        environ: The user's environment; its Filo settings are left out, so that runs are the same everywhere.
        logs: Where what the services print goes.
        tell: Shows a line as each is ready.

    Raises:
        ChildError: One of them could not start.
    """
    own = {name: value for name, value in environ.items() if not name.startswith(("FILO_", "GEMINI_"))}
    own |= dict.fromkeys(stack.SOCKETS, f"{stack.LOOPBACK}:0") | _PATIENT
    where = stack.addresses(own)
    async with Supervisor(logs) as supervisor:
        await up.launch(supervisor, stack.services(choices, own, where), tell)
        yield OwnStack(where["FILO_SIMULATOR_ADDRESS"], supervisor)


class Wrecker:
    """Breaks services when a run asks for it.

    Args:
        supervisor: Has the services.
    """

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._tasks: set[asyncio.Task[None]] = set()

    def see(self, event: pb.WatchRunResponse) -> None:
        """Take an event of a run; one that asks for a fault of a service has it done, beside everything else."""
        mark = event.fault_struck
        if event.HasField("fault_struck") and mark.target == "service":
            away = mark.back_after.ToNanoseconds() / 1e9
            work = self._supervisor.restart(mark.service, _SIGNALS[mark.kind], away)
            task = asyncio.create_task(work, name=f"{mark.kind} {mark.service}")
            self._tasks.add(task)

    async def done(self) -> None:
        """Wait until everything that was broken is back. Safe to cancel.

        Raises:
            ChildError: A service did not come back.
        """
        tasks, self._tasks = self._tasks, set()
        await asyncio.gather(*tasks)

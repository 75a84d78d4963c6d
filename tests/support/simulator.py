"""A simulator in this process, before a real relay or whatever stands for one, for tests of every room."""

import asyncio
import threading
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from prometheus_client import CollectorRegistry

from filo.client import Policy
from filo.simulator.v1 import simulator_pb2 as pb
from filo.simulator.v1 import simulator_pb2_grpc as rpc
from services.common import grpc_client
from services.common.config import Address
from services.simulator import service, tables
from services.simulator.config import Settings
from tests.support import postgres

ANY_PORT = Address("127.0.0.1", 0)
QUICK = Policy(shortest_wait=0.02, first_wait=0.04, longest_wait=0.2)


@dataclass(frozen=True)
class RunningSimulator:
    """A simulator that is ready.

    Args:
        where: Its addresses.
        registry: Its metrics.
        channel: An open channel to it, that raises `ServiceError`.
    """

    where: service.Running
    registry: CollectorRegistry
    channel: grpc.aio.Channel = field(repr=False)

    @property
    def stub(self) -> "rpc.SimulatorServiceAsyncStub":
        """The client."""
        return rpc.SimulatorServiceStub(self.channel)

    def metric(self, name: str, **labels: str) -> float:
        """The value of a series that must exist."""
        value = self.registry.get_sample_value(name, labels)
        assert value is not None, f"no series {name} {labels}"
        return value

    async def start(self, **spec: Any) -> pb.Run:  # noqa: ANN401 - any field of RunSpec
        """Start a run."""
        request = pb.StartRunRequest(request_id=str(uuid.uuid4()), spec=pb.RunSpec(**spec))
        return (await self.stub.StartRun(request)).run

    async def get(self, run: pb.Run) -> pb.Run:
        """Read a run."""
        return (await self.stub.GetRun(pb.GetRunRequest(name=run.name))).run

    async def watch(self, run: pb.Run, after: int = 0) -> list[pb.WatchRunResponse]:
        """Every event of a run to its end."""
        request = pb.WatchRunRequest(name=run.name, after_sequence=after)
        return [event async for event in self.stub.WatchRun(request)]

    async def run(self, **spec: Any) -> pb.Run:  # noqa: ANN401 - any field of RunSpec
        """Start a run and wait for its end."""
        events = await self.watch(await self.start(**spec))
        return events[-1].finished.run


def runs_url(kind: str, directory: Path) -> str:
    """The URL of a database without a run, ``sqlite`` or ``postgres``, with the schema of this code."""
    if kind == "sqlite":
        return f"sqlite:///{directory / 'shared.db'}"
    url = postgres.server().database()
    runner = threading.Thread(target=asyncio.run, args=(tables.migrate(url),))  # there may be a loop here already
    runner.start()
    runner.join()
    return url


@asynccontextmanager
async def running_simulator(
    data_dir: Path,
    *,
    control: Address,
    client_url: str,
    emulator_url: str = "",
    **overrides: Any,  # noqa: ANN401 - any field of Settings
) -> AsyncIterator[RunningSimulator]:
    """Run a simulator, with a channel to it, while the context is open.

    Args:
        data_dir: Where it keeps its runs; a second start with the same directory is a restart.
        control: The relay's gRPC.
        client_url: The relay's WebSocket, ``ws://127.0.0.1:port``.
        emulator_url: The emulator's control API, if its account is wanted.
        overrides: More settings; where they say nothing, speech is fast and waits are short.
    """
    given = {"speed": 50.0, "silence": 0.6, "turn_timeout": 20.0, "reconnect": QUICK, **overrides}
    settings = Settings(
        address=ANY_PORT,
        metrics_address=ANY_PORT,
        relay_control_address=control,
        relay_client_url=client_url,
        emulator_url=emulator_url,
        data_dir=data_dir,
        **given,
    )
    registry = CollectorRegistry()
    async with (
        service.running(settings, registry=registry) as where,
        grpc_client.channel(where.address) as channel,
    ):
        yield RunningSimulator(where, registry, channel)

"""`filo.simulator.v1.SimulatorService` over gRPC: reads requests, asks `Runs`, writes responses."""

import re
import uuid
from collections.abc import AsyncIterator
from typing import Final

from filo.simulator.v1 import simulator_pb2 as pb
from filo.simulator.v1 import simulator_pb2_grpc
from services.common.errors import invalid
from services.common.grpc_server import Context
from services.simulator.runs import Runs
from services.simulator.store import MOST

SERVICE: Final = "filo.simulator.v1.SimulatorService"
DEFAULT_PAGE: Final = 50
LARGEST_PAGE: Final = 1_000
_TOKEN: Final = re.compile(r"[0-9]{1,19}")


class SimulatorServicer(simulator_pb2_grpc.SimulatorServiceServicer):
    """The RPCs; errors are raised as `ServiceError` and rendered by the server's interceptor."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs

    async def StartRun(self, request: pb.StartRunRequest, _: Context) -> pb.StartRunResponse:  # noqa: N802 - gRPC's name
        """Start a run and answer at once."""
        try:
            request_id = str(uuid.UUID(request.request_id))
        except ValueError as error:
            raise invalid("request_id", "must be a UUID") from error
        if not request.HasField("spec"):
            raise invalid("spec", "is required")
        return pb.StartRunResponse(run=await self._runs.start(request_id, request.spec))

    async def GetRun(self, request: pb.GetRunRequest, _: Context) -> pb.GetRunResponse:  # noqa: N802 - gRPC's name
        """Read a run with its report."""
        return pb.GetRunResponse(run=await self._runs.get(request.name))

    async def ListRuns(self, request: pb.ListRunsRequest, _: Context) -> pb.ListRunsResponse:  # noqa: N802 - gRPC's name
        """List runs, newest first."""
        size = request.page_size or DEFAULT_PAGE
        if not 1 <= size <= LARGEST_PAGE:
            raise invalid("page_size", f"must be 1 to {LARGEST_PAGE}, not {size}")
        before = None
        if request.page_token:
            if not _TOKEN.fullmatch(request.page_token):
                raise invalid("page_token", "is not one that this service gave")
            before = min(int(request.page_token), MOST)
        found = await self._runs.page(size + 1, before)
        page = found[:size]
        following = str(page[-1][0]) if len(found) > size else ""
        return pb.ListRunsResponse(runs=[run for _, run in page], next_page_token=following)

    async def WatchRun(  # noqa: N802 - gRPC's name
        self, request: pb.WatchRunRequest, _: Context
    ) -> AsyncIterator[pb.WatchRunResponse]:
        """Stream what happens in a run."""
        if request.after_sequence < 0:
            raise invalid("after_sequence", "must not be negative")
        async for event in self._runs.watch(request.name, request.after_sequence):
            yield event

    async def StopRun(self, request: pb.StopRunRequest, _: Context) -> pb.StopRunResponse:  # noqa: N802 - gRPC's name
        """Stop a run after the turn in progress."""
        return pb.StopRunResponse(run=await self._runs.stop(request.name))

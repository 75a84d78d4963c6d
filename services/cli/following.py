"""Following a run to its end, over restarts of the simulator that performs it."""

import asyncio
from collections.abc import Callable
from typing import Final

from filo.simulator.v1 import simulator_pb2 as pb
from filo.simulator.v1 import simulator_pb2_grpc as rpc
from services.common.errors import Reason, ServiceError

See = Callable[[pb.WatchRunResponse], None]
"""Takes each event of a run."""

RETRIES: Final = 60
"""Attempts in a row to watch on while the simulator is away: a deploy is over by then, and its runs go on after it."""
_RETRY_WAIT: Final = 1.0
"""Seconds between two of them."""


async def follow(stub: "rpc.SimulatorServiceAsyncStub", name: str, see: See, after: int = 0) -> pb.Run:
    """Watch a run to its end; returns it with its report. Safe to cancel.

    Args:
        stub: The simulator, or any that shares its database.
        name: ``runs/{id}``.
        see: Takes each event once.
        after: Only events after this one.

    Raises:
        ServiceError: The simulator refuses, or is away and does not come back.
    """
    failed = 0
    known = pb.Run()
    while failed < RETRIES:
        try:
            async for event in stub.WatchRun(pb.WatchRunRequest(name=name, after_sequence=after)):
                after, failed = event.sequence, 0
                see(event)
                if event.HasField("finished"):
                    return event.finished.run
            if known.outcome:  # it had ended before this stream began: its last event is not after `after`
                return known
            known = (await stub.GetRun(pb.GetRunRequest(name=name))).run
        except ServiceError as error:
            if not error.meaning.retryable:
                raise
        failed += 1
        await asyncio.sleep(_RETRY_WAIT)
    raise ServiceError(Reason.SERVICE_UNAVAILABLE, f"the simulator does not say how {name} goes on")

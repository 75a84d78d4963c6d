"""Holds each API key to its quotas of runs."""

from collections.abc import Sequence

from filo.simulator.v1 import simulator_pb2 as pb
from services.common.api_keys import Keys
from services.common.clock import Clock
from services.common.errors import Reason, ServiceError
from services.common.grpc_wrapping import Wrap
from services.common.quotas import Quotas, Standing
from services.simulator.runs import Runs
from services.simulator.servicer import SERVICE


def held_to_quotas(keys: Keys | None, clock: Clock, runs: Runs) -> Sequence[Wrap]:
    """What is put around the simulator's calls; nothing without keys.

    Args:
        keys: Who calls.
        clock: Tells when.
        runs: All of them.
    """
    if keys is None:
        return ()

    async def standing(name: str) -> Standing:
        try:
            run = await runs.get(name)
        except ServiceError as error:
            return Standing.OVER if error.reason is Reason.RUN_NOT_FOUND else Standing.BUSY
        return Standing.BUSY if run.outcome == pb.OUTCOME_UNSPECIFIED else Standing.OVER

    return (Quotas(keys, clock, standing).limited(f"/{SERVICE}/StartRun", lambda answer: answer.run.name),)

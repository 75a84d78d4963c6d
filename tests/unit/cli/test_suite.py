"""A suite's conductor: what it does about a simulator that is away."""

import pytest

from filo.simulator.v1 import simulator_pb2 as pb
from services.cli import suite
from services.cli.following import RETRIES
from services.cli.screen import Screen
from services.common.errors import Reason, ServiceError
from services.simulator.suite import Planned, Stack, Suite

AWAY = ServiceError(Reason.SERVICE_UNAVAILABLE, "nobody answers")


class Absent:
    """A stub of a simulator that has gone away in the middle of a suite; counts who asks for it."""

    asked = 0

    async def StartRun(self, _: pb.StartRunRequest) -> pb.StartRunResponse:  # noqa: N802 - gRPC's name
        """Nobody answers."""
        self.asked += 1
        raise AWAY


async def test_a_simulator_that_does_not_come_back_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the first run as long as a deploy may take; the others find it still away, and every run says so."""
    monkeypatch.setattr(suite, "_RETRY_WAIT", 0)
    stub, runs = Absent(), tuple(Planned(f"run {at}", pb.RunSpec()) for at in range(5))
    conductor = suite.Conductor(stub, Suite("small", Stack(), runs), 1, Screen())  # type: ignore[arg-type]  # a stand-in
    result = await conductor.perform()
    assert stub.asked == RETRIES + 1 + 4
    assert [run.error for run in result.runs] == ["SERVICE_UNAVAILABLE: nobody answers"] * 5
    assert not result.passed

"""Following a run: what is done when a stream ends."""

from collections.abc import AsyncIterator

import pytest

from filo.simulator.v1 import simulator_pb2 as pb
from services.cli import following


class Simulator:
    """A stub of a simulator that has a run with these events.

    Args:
        run: The run as it stands.
        events: What has happened in it.
    """

    def __init__(self, run: pb.Run, events: list[pb.WatchRunResponse]) -> None:
        self.run = run
        self.events = events
        self.asked = 0

    async def WatchRun(self, request: pb.WatchRunRequest) -> AsyncIterator[pb.WatchRunResponse]:  # noqa: N802 - gRPC's
        """The events after a number, and no more."""
        self.asked += 1
        for event in self.events:
            if event.sequence > request.after_sequence:
                yield event

    async def GetRun(self, _: pb.GetRunRequest) -> pb.GetRunResponse:  # noqa: N802 - gRPC's name
        """The run."""
        return pb.GetRunResponse(run=self.run)


@pytest.mark.parametrize("after", [2, 3, 99])
async def test_a_run_that_has_ended_is_followed_from_any_number(after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also from its last event on, after which there is none: the run is returned, with no wait for more."""
    monkeypatch.setattr(following, "_RETRY_WAIT", 0)
    run = pb.Run(name="runs/x", outcome=pb.OUTCOME_COMPLETED)
    ended = pb.WatchRunResponse(sequence=3, finished=pb.Finished(run=run))
    simulator = Simulator(run, [pb.WatchRunResponse(sequence=1), pb.WatchRunResponse(sequence=2), ended])
    seen: list[pb.WatchRunResponse] = []
    assert await following.follow(simulator, run.name, seen.append, after) == run  # type: ignore[arg-type]  # a stand-in
    assert seen == [event for event in simulator.events if event.sequence > after]
    assert simulator.asked <= 2

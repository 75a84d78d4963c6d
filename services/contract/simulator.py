"""The contract of `filo.simulator.v1`: what each call is asked, and what it must say."""

import uuid
from typing import Final

from google.protobuf.message import Message

from filo.simulator.v1 import simulator_pb2 as pb
from services.common.errors import Reason
from services.contract.cases import Asking, Case

SERVICE: Final = "filo.simulator.v1.SimulatorService"
_NOBODY: Final = "runs/" + "0" * 32
_TITLE: Final = "held against the contract"


def _path(call: str) -> str:
    return f"/{SERVICE}/{call}"


def _start() -> pb.StartRunRequest:
    return pb.StartRunRequest(request_id=str(uuid.uuid4()), spec=pb.RunSpec(turns=1, seed=7, speed=100, title=_TITLE))


async def _run(asking: Asking) -> str:
    answer: pb.StartRunResponse = await asking.expect(_path("StartRun"), _start())
    return answer.run.name


async def _new(_: Asking) -> Message:
    return _start()


async def _no_id(_: Asking) -> Message:
    return pb.StartRunRequest(request_id="1", spec=_start().spec)


async def _no_spec(_: Asking) -> Message:
    return pb.StartRunRequest(request_id=str(uuid.uuid4()))


async def _too_many_turns(_: Asking) -> Message:
    return pb.StartRunRequest(request_id=str(uuid.uuid4()), spec=pb.RunSpec(turns=1_000_000))


async def _another(asking: Asking) -> Message:
    request = _start()
    await asking.expect(_path("StartRun"), request)
    request.spec.seed = 8
    return request


async def _get(asking: Asking) -> Message:
    return pb.GetRunRequest(name=await _run(asking))


async def _get_nobody(_: Asking) -> Message:
    return pb.GetRunRequest(name=_NOBODY)


async def _list(asking: Asking) -> Message:
    for _ in range(2):
        await _run(asking)
    return pb.ListRunsRequest(page_size=1)


async def _list_too_many(_: Asking) -> Message:
    return pb.ListRunsRequest(page_size=100_000)


async def _list_elsewhere(_: Asking) -> Message:
    return pb.ListRunsRequest(page_token="?")  # noqa: S106 - no secret


async def _watch(asking: Asking) -> Message:
    return pb.WatchRunRequest(name=await _run(asking))


async def _watch_before(asking: Asking) -> Message:
    return pb.WatchRunRequest(name=await _run(asking), after_sequence=-1)


async def _watch_nobody(_: Asking) -> Message:
    return pb.WatchRunRequest(name=_NOBODY)


async def _stop(asking: Asking) -> Message:
    return pb.StopRunRequest(name=await _run(asking))


async def _stop_nobody(_: Asking) -> Message:
    return pb.StopRunRequest(name=_NOBODY)


_RUN: Final = ("run.name", "run.create_time", "run.spec.persona", "run.spec.model", "run.spec.agent")
_SPEC: Final = {"run.spec.turns": 1, "run.spec.seed": 7, "run.spec.title": _TITLE}

CASES: Final[tuple[Case, ...]] = (
    Case(
        _path("StartRun"),
        "a new run",
        _new,
        has=_RUN,
        equals={"run.outcome": pb.OUTCOME_UNSPECIFIED},
        echoes={"run.spec.turns": "spec.turns", "run.spec.seed": "spec.seed", "run.spec.title": "spec.title"},
    ),
    Case(_path("StartRun"), "an id that is no UUID", _no_id, Reason.INVALID_ARGUMENT),
    Case(_path("StartRun"), "no spec", _no_spec, Reason.INVALID_ARGUMENT),
    Case(_path("StartRun"), "too many turns", _too_many_turns, Reason.INVALID_ARGUMENT),
    Case(_path("StartRun"), "another run by the same id", _another, Reason.REQUEST_ID_REUSED),
    Case(
        _path("GetRun"),
        "one that was started",
        _get,
        has=(*_RUN, "run.report.run_id"),
        equals={**_SPEC, "run.report.turns_planned": 1},
        echoes={"run.name": "name"},
    ),
    Case(_path("GetRun"), "nobody's name", _get_nobody, Reason.RUN_NOT_FOUND),
    Case(
        _path("ListRuns"),
        "the newest of two",
        _list,
        has=("runs.0.name", "runs.0.create_time", "next_page_token"),
        equals={"runs.0.spec.title": _TITLE, "runs.0.report": None},
    ),
    Case(_path("ListRuns"), "too large a page", _list_too_many, Reason.INVALID_ARGUMENT),
    Case(_path("ListRuns"), "a token that nobody gave", _list_elsewhere, Reason.INVALID_ARGUMENT),
    Case(_path("WatchRun"), "from the beginning", _watch, has=("time",), equals={"sequence": 1}),
    Case(_path("WatchRun"), "after less than nothing", _watch_before, Reason.INVALID_ARGUMENT),
    Case(_path("WatchRun"), "nobody's name", _watch_nobody, Reason.RUN_NOT_FOUND),
    Case(_path("StopRun"), "one that was started", _stop, has=_RUN, equals=_SPEC, echoes={"run.name": "name"}),
    Case(_path("StopRun"), "nobody's name", _stop_nobody, Reason.RUN_NOT_FOUND),
)
"""Every call of the simulator."""

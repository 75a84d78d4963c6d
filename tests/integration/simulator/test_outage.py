"""A database that goes away while the simulator is in use: callers are told so, and runs go on when it is back."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from filo.simulator.v1 import simulator_pb2 as pb
from services.common.errors import Reason, ServiceError
from services.simulator import tables
from services.simulator.servicer import SERVICE
from tests.integration.simulator.conftest import Stack
from tests.support import postgres
from tests.support.postgres import Server
from tests.support.simulator import RunningSimulator

pytestmark = pytest.mark.timeout(120)
SECONDS = 100
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@asynccontextmanager
async def database() -> AsyncIterator[tuple[Server, str]]:
    """A PostgreSQL of the test's own, to be killed, and the URL of a database in it."""
    server = await asyncio.to_thread(postgres.new_server)
    await asyncio.to_thread(server.start)
    url = await asyncio.to_thread(server.database)
    await tables.migrate(url)
    try:
        yield server, url
    finally:
        await asyncio.to_thread(server.stop)


async def until_health_is(simulator: RunningSimulator, wanted: int) -> None:
    """Wait, as a load balancer does, until the simulator says so."""
    stub: Any = health_pb2_grpc.HealthStub(simulator.channel)  # its stubs know no asyncio
    async for answer in stub.Watch(health_pb2.HealthCheckRequest(service=SERVICE)):
        if answer.status == wanted:
            return


async def test_while_the_database_is_away_calls_say_when_to_come_again_and_health_says_no(stack: Stack) -> None:
    """UNAVAILABLE with retry advice for every call, NOT_SERVING; all well again by itself when it is back."""
    async with asyncio.timeout(SECONDS), database() as (server, url), stack(database_url=url) as (simulator, _):
        run = await simulator.run(turns=1)
        await until_health_is(simulator, SERVING)
        await asyncio.to_thread(server.kill)
        stub, name = simulator.stub, run.name
        request = pb.StartRunRequest(request_id=str(uuid.uuid4()), spec=pb.RunSpec(turns=1))
        calls: list[Any] = [
            stub.StartRun(request),
            stub.GetRun(pb.GetRunRequest(name=name)),
            stub.ListRuns(pb.ListRunsRequest()),
            stub.StopRun(pb.StopRunRequest(name=name)),
            anext(aiter(stub.WatchRun(pb.WatchRunRequest(name=name)))),
        ]
        for call in calls:
            with pytest.raises(ServiceError) as told:
                await call
            assert (told.value.reason, told.value.retry_after) == (Reason.STORE_UNAVAILABLE, 1.0)
            assert told.value.meaning.retryable
        await until_health_is(simulator, NOT_SERVING)
        await asyncio.to_thread(server.start)
        await until_health_is(simulator, SERVING)
        assert (await stub.GetRun(pb.GetRunRequest(name=name))).run == run
        again = (await stub.StartRun(request)).run
        assert (await simulator.watch(again))[-1].finished.run.outcome == pb.OUTCOME_COMPLETED


async def test_a_run_whose_database_was_away_goes_on_at_the_same_turn(stack: Stack) -> None:
    """Not lost, not failed: what was not stored is done again, once, and the totals are those of any run."""
    async with (
        asyncio.timeout(SECONDS),
        database() as (server, url),
        stack(database_url=url, emulator={"speed": 20.0}, lease=2.0) as (simulator, _),
    ):
        run = await simulator.start(turns=12, seed=3)
        async for event in simulator.stub.WatchRun(pb.WatchRunRequest(name=run.name)):
            if event.turn >= 3:
                break
        await asyncio.to_thread(server.kill)
        await until_health_is(simulator, NOT_SERVING)
        await asyncio.to_thread(server.start)
        await until_health_is(simulator, SERVING)
        ended = (await simulator.watch(run))[-1].finished.run
    assert (ended.outcome, ended.turns_completed) == (pb.OUTCOME_COMPLETED, 12), ended.reason
    assert len(ended.report.takeovers) == 1
    assert ended.report.passed, [check for check in ended.report.checks if not check.passed]

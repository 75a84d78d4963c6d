"""Calls are counted in the ecosystem's names, as the caller and the server see them end."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import CollectorRegistry
from typing_extensions import override

from services.common import grpc_client, grpc_server
from services.common.config import Address
from services.common.errors import Reason, ServiceError
from services.common.grpc_metrics import GrpcMetrics, counted
from services.common.grpc_outcome import code_name
from services.common.grpc_wrapping import Wrapping
from services.common.readiness import Readiness

HEALTH = "grpc.health.v1.Health"
ANYWHERE = Address("127.0.0.1", 0)


class Health(health_pb2_grpc.HealthServicer):
    """Answers, refuses, is slow or fails, by the name that it is asked about."""

    @override
    async def Check(self, request: health_pb2.HealthCheckRequest, context: object) -> health_pb2.HealthCheckResponse:
        if request.service == "refused":
            raise ServiceError(Reason.CONVERSATION_NOT_FOUND, "no")
        if request.service == "slow":
            await asyncio.sleep(60)
        if request.service == "broken":
            raise RuntimeError
        return health_pb2.HealthCheckResponse()

    @override
    async def Watch(
        self, request: health_pb2.HealthCheckRequest, context: object
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        yield health_pb2.HealthCheckResponse()
        if request.service == "refused":
            raise ServiceError(Reason.CONVERSATION_NOT_FOUND, "no")


async def until(reached: Callable[[], bool]) -> None:
    """Wait until it is so."""
    async with asyncio.timeout(10):
        while not reached():  # noqa: ASYNC110 - what is counted wakes nobody
            await asyncio.sleep(0.005)


class Scene:
    """A server, a caller, and what each counted."""

    def __init__(self, stub: Any) -> None:  # noqa: ANN401 - has no public type
        self.stub = stub
        self.server = CollectorRegistry()
        self.client = CollectorRegistry()

    def handled(self, side: str, method: str, code: str) -> float | None:
        """How often a method ended so."""
        kind = "unary" if method == "Check" else "server_stream"
        labels = {"grpc_type": kind, "grpc_service": HEALTH, "grpc_method": method, "grpc_code": code}
        registry = self.server if side == "server" else self.client
        return registry.get_sample_value(f"grpc_{side}_handled_total", labels)

    async def counted(self, side: str, method: str, code: str, times: float) -> None:
        """Wait until it is counted: the server may note an end after the caller has seen it."""
        await until(lambda: self.handled(side, method, code) == times)


@asynccontextmanager
async def scene() -> AsyncIterator[Scene]:
    """A health service that counts, and a channel to it that counts."""
    server_side, client_side = CollectorRegistry(), CollectorRegistry()
    server = grpc.aio.server()
    wraps = [counted(GrpcMetrics(server_side, "server", [HEALTH])), grpc_server.errors()]
    health_pb2_grpc.add_HealthServicer_to_server(Health(), Wrapping(server, wraps).as_server())
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    metrics = GrpcMetrics(client_side, "client", [HEALTH])
    try:
        async with grpc_client.channel(Address("127.0.0.1", port), metrics=metrics) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            made = Scene(stub)
            made.server, made.client = server_side, client_side
            yield made
    finally:
        await server.stop(None)


def ask(name: str) -> health_pb2.HealthCheckRequest:
    """A request."""
    return health_pb2.HealthCheckRequest(service=name)


async def test_every_code_starts_at_zero() -> None:
    """A rate over a series that appears with its first event would miss that event."""
    async with scene() as made:
        for method in ("Check", "Watch"):
            for code in grpc.StatusCode:
                assert made.handled("server", method, code_name(code)) == 0
                assert made.handled("client", method, code_name(code)) == 0


@pytest.mark.parametrize(("name", "code"), [("", "OK"), ("refused", "NotFound"), ("broken", "Internal")])
async def test_a_call_is_counted_on_both_sides(name: str, code: str) -> None:
    """By the code that the caller is told, with its duration."""
    async with scene() as made:
        with suppress(ServiceError):
            await made.stub.Check(ask(name))
        for side in ("server", "client"):
            await made.counted(side, "Check", code, 1)
        labels = {"grpc_type": "unary", "grpc_service": HEALTH, "grpc_method": "Check"}
        assert made.server.get_sample_value("grpc_server_started_total", labels) == 1
        assert made.server.get_sample_value("grpc_server_handling_seconds_count", labels) == 1
        assert made.client.get_sample_value("grpc_client_handling_seconds_count", labels) == 1


async def test_a_deadline_is_counted_as_such() -> None:
    """The server is only told that it is cancelled; it sees by the time that was left why."""
    async with scene() as made:
        with pytest.raises(ServiceError, match="DEADLINE_EXCEEDED"):
            await made.stub.Check(ask("slow"), timeout=0.1)
        for side in ("server", "client"):
            await made.counted(side, "Check", "DeadlineExceeded", 1)


async def test_a_caller_that_gives_up_is_counted_as_cancelled() -> None:
    """On both sides."""
    async with scene() as made:
        asking = asyncio.ensure_future(made.stub.Check(ask("slow"), timeout=30))
        labels = {"grpc_type": "unary", "grpc_service": HEALTH, "grpc_method": "Check"}
        await until(lambda: made.server.get_sample_value("grpc_server_started_total", labels) == 1)
        asking.cancel()
        for side in ("server", "client"):
            await made.counted(side, "Check", "Cancelled", 1)


@pytest.mark.parametrize(("name", "code"), [("", "OK"), ("refused", "NotFound")])
async def test_a_stream_is_counted_when_it_ends(name: str, code: str) -> None:
    """Once, by how it ended, whatever it gave before."""
    async with scene() as made:
        got = 0
        with suppress(ServiceError):
            async for _ in made.stub.Watch(ask(name)):
                got += 1
        assert got == 1
        for side in ("server", "client"):
            await made.counted(side, "Watch", code, 1)


async def until_not_serving(stub: Any) -> None:  # noqa: ANN401 - has no public type
    """Wait until health tells that it is not ready."""
    async with asyncio.timeout(10):
        while (await stub.Check(ask(""))).status == health_pb2.HealthCheckResponse.SERVING:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.005)


async def test_health_is_served_in_the_clear_besides() -> None:
    """A probe without a certificate reaches health, and nothing else; what is not ready is alive all the same."""
    readiness = Readiness()
    with_free_port = grpc_server.serving(ANYWHERE, [HEALTH], lambda _: None)
    async with with_free_port as free:
        pass
    async with (
        grpc_server.serving(ANYWHERE, [], lambda _: None, probes=free, readiness=readiness),
        grpc.aio.insecure_channel(str(free)) as channel,
    ):
        stub: Any = health_pb2_grpc.HealthStub(channel)
        assert (await stub.Check(ask(""))).status == health_pb2.HealthCheckResponse.SERVING
        readiness.set(ready=False)
        await until_not_serving(stub)
        assert (await stub.Check(ask(grpc_server.LIVE))).status == health_pb2.HealthCheckResponse.SERVING
        reflect: Any = channel.unary_unary("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await reflect(b"")
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED

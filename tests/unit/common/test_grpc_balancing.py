"""A channel spreads its calls over every server behind a name."""

from contextlib import AsyncExitStack
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from typing_extensions import override

from services.common import grpc_client


class Named(health_pb2_grpc.HealthServicer):
    """Counts the calls that it gets."""

    def __init__(self) -> None:
        self.calls = 0

    @override
    async def Check(self, request: health_pb2.HealthCheckRequest, context: object) -> health_pb2.HealthCheckResponse:
        self.calls += 1
        return health_pb2.HealthCheckResponse()


async def test_calls_go_round() -> None:
    """Not all to the first address: one of three servers gets no more than its share and a little."""
    servers = [Named() for _ in range(3)]
    ports = []
    async with AsyncExitStack() as stack:
        for servicer in servers:
            server = grpc.aio.server()
            health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
            ports.append(server.add_insecure_port("127.0.0.1:0"))
            await server.start()
            stack.push_async_callback(server.stop, None)
        target = "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in ports)
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(target, options=grpc_client.OPTIONS))
        stub: Any = health_pb2_grpc.HealthStub(channel)
        for _ in range(60):
            await stub.Check(health_pb2.HealthCheckRequest(), wait_for_ready=True, timeout=10)
    assert sum(servicer.calls for servicer in servers) == 60
    assert all(servicer.calls >= 10 for servicer in servers)

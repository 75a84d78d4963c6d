"""A connection whose other end has fallen silent without a reset is noticed; one that is only quiet is kept."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2

from services.common import grpc_client, grpc_keepalive, grpc_server
from services.common.config import Address
from services.common.errors import ServiceError

TIME, TIMEOUT = 0.2, 0.3
"""A hundredth of the time, so that nobody waits half a minute."""


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings of every channel and server, faster."""
    monkeypatch.setattr(grpc_client, "OPTIONS", _faster(grpc_client.OPTIONS, grpc_keepalive.both))
    monkeypatch.setattr(grpc_server, "_OPTIONS", _faster(grpc_server._OPTIONS, grpc_keepalive.server))


def _faster(options: tuple[Any, ...], keepalive: Callable[..., grpc_keepalive.Options]) -> tuple[Any, ...]:
    usual = keepalive()
    assert set(usual) <= set(options), "every channel and every server has them"
    return (*(option for option in options if option not in usual), *keepalive(TIME, TIMEOUT))


class Watched:
    """Says one thing, then nothing; knows when nobody listens any more."""

    def __init__(self) -> None:
        self.left = asyncio.Event()

    def register(self, server: grpc.aio.Server) -> None:
        """Serve it, under a name of its own."""
        watch = grpc.unary_stream_rpc_method_handler(
            self._watch,
            request_deserializer=health_pb2.HealthCheckRequest.FromString,
            response_serializer=health_pb2.HealthCheckResponse.SerializeToString,
        )
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Quiet", {"Watch": watch}),))

    async def _watch(self, _request: object, _context: object) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        try:
            yield health_pb2.HealthCheckResponse()
            await asyncio.Event().wait()
        finally:
            self.left.set()


@dataclass
class Hole:
    """A network between both; what it is given is kept once it is black.

    Attributes:
        port: Where it listens.
        black: From then on nothing comes through, in neither direction, and nobody is told.
    """

    target: int
    port: int = 0
    black: bool = False
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    pumps: list[asyncio.Task[None]] = field(default_factory=list)

    async def join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Connect both."""
        behind, into = await asyncio.open_connection("127.0.0.1", self.target)
        self.writers += [writer, into]
        self.pumps += [asyncio.create_task(self._pump(*way)) for way in ((reader, into), (behind, writer))]

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                if not self.black:
                    writer.write(data)
                    await writer.drain()
        if not self.black:
            writer.close()


@asynccontextmanager
async def watching() -> AsyncIterator[tuple[Hole, Watched, Any]]:
    """A stream through a hole; its first event has come."""
    servicer = Watched()
    async with grpc_server.serving(Address("127.0.0.1", 0), [], servicer.register) as address:
        hole = Hole(address.port)
        listening = await asyncio.start_server(hole.join, "127.0.0.1", 0)
        hole.port = listening.sockets[0].getsockname()[1]
        async with listening, grpc_client.channel(Address("127.0.0.1", hole.port)) as channel:
            call = channel.unary_stream(
                "/test.Quiet/Watch",
                request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
                response_deserializer=health_pb2.HealthCheckResponse.FromString,
            )
            events = aiter(call(health_pb2.HealthCheckRequest()))
            await anext(events)
            yield hole, servicer, events
        for pump in hole.pumps:
            pump.cancel()
        await asyncio.gather(*hole.pumps, return_exceptions=True)
        for writer in hole.writers:
            writer.transport.abort()
            with suppress(ConnectionError):
                await writer.wait_closed()


async def test_a_server_that_falls_silent_ends_the_stream() -> None:
    """No reset comes, and none is waited for; whoever watches is told, and goes elsewhere."""
    async with watching() as (hole, _, events), asyncio.timeout(10):
        hole.black = True
        with pytest.raises(ServiceError) as ended:
            await anext(events)
        assert ended.value.meaning.retryable


async def test_a_client_that_falls_silent_holds_nothing() -> None:
    """Its stream ends at the server."""
    async with watching() as (hole, servicer, events), asyncio.timeout(10):
        hole.black = True
        await servicer.left.wait()
        with suppress(ServiceError):
            await anext(events)


async def test_a_quiet_stream_on_a_good_connection_is_kept() -> None:
    """The server does not mind the pings: it was told how many there will be."""
    async with watching() as (_, servicer, events):
        waiting = asyncio.ensure_future(anext(events))
        done, _ = await asyncio.wait([waiting], timeout=12 * TIME)  # quiet for so long, and nothing happens
        assert not done
        assert not servicer.left.is_set()
        waiting.cancel()
        await asyncio.wait([waiting])


def test_a_server_takes_what_a_client_sends() -> None:
    """Both are told together: a client's pings are further apart than the server demands."""
    client, server = dict(grpc_keepalive.both()), dict(grpc_keepalive.server())
    assert server["grpc.http2.min_ping_interval_without_data_ms"] < client["grpc.keepalive_time_ms"]
    assert server["grpc.keepalive_permit_without_calls"] == client["grpc.keepalive_permit_without_calls"]

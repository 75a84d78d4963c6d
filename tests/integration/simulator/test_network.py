"""The network of a run's own: it carries bytes, and breaks as it is told."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from services.simulator import network
from services.simulator.network import Network

SECONDS = 20
MARGIN = 0.15


@asynccontextmanager
async def echo() -> AsyncIterator[Network]:
    """A network that leads to a server that says everything back."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with asyncio.timeout(SECONDS), server, network.opened(*server.sockets[0].getsockname()[:2]) as way:
        yield way


async def ask(way: Network, *, said: bytes = b"x" * 200_000) -> bytes:
    """Send something through it, and read it all back."""
    reader, writer = await asyncio.open_connection(way.host, way.port)
    writer.write(said)
    writer.write_eof()
    try:
        return await reader.read(-1)
    finally:
        writer.transport.abort()


async def test_it_carries_everything_both_ways() -> None:
    """Bytes and the end of a stream, for several connections at once."""
    async with echo() as way:
        said = [bytes([at]) * 100_000 for at in range(5)]
        assert await asyncio.gather(*(ask(way, said=one) for one in said)) == said


async def test_a_cut_ends_connections_without_a_word_and_a_new_one_works() -> None:
    """As a dead network does: the peer sees a reset."""
    async with echo() as way:
        reader, writer = await asyncio.open_connection(way.host, way.port)
        writer.write(b"a")
        assert await reader.readexactly(1) == b"a"
        way.cut()
        with pytest.raises(ConnectionResetError):
            await reader.read(1)
        writer.transport.abort()
        assert await ask(way, said=b"again") == b"again"


async def test_a_stall_holds_everything_back_and_loses_nothing() -> None:
    """For as long as it lasts; then all of it comes."""
    async with echo() as way:
        way.stall(0.4)
        began = time.monotonic()
        assert await ask(way) == b"x" * 200_000
        assert time.monotonic() - began >= 0.4 - MARGIN


async def test_a_slow_network_is_slow_for_a_while() -> None:
    """Each piece waits, in both directions; afterwards none does."""
    async with echo() as way:
        way.slow(0.3, delay=0.1)
        began = time.monotonic()
        assert await ask(way, said=b"a") == b"a"
        assert time.monotonic() - began >= 0.2 - MARGIN
        while way._delay:  # until the network's own timer ends it
            assert await ask(way, said=b"a") == b"a"
        assert time.monotonic() - began >= 0.3 - MARGIN


async def test_a_refused_connection_is_reset_until_it_is_not() -> None:
    """What was open is cut as well."""
    async with echo() as way:
        way.refuse(0.3)
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            await ask(way, said=b"a")
        while True:  # until the network's own timer ends it
            with suppress(ConnectionResetError, BrokenPipeError):
                assert await ask(way, said=b"a") == b"a"
                break
            await asyncio.sleep(0.01)


async def test_a_server_that_is_not_there_ends_the_connection() -> None:
    """The client is told by a reset, and the network lives on."""
    async with asyncio.timeout(SECONDS), network.opened("127.0.0.1", 1) as way:
        reader, writer = await asyncio.open_connection(way.host, way.port)
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1)
        writer.transport.abort()

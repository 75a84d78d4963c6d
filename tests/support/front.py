"""What stands between a client and its relay: a proxy that can be pointed elsewhere, cut, or silenced."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from services.common.config import Address

_CHUNK = 65_536


class Front:
    """A proxy on a port of its own.

    Args:
        target: Whom new connections are led to; None refuses them.

    Attributes:
        address: Where it listens.
        connections: How many were led through so far.
    """

    def __init__(self, target: Address | None) -> None:
        self.target = target
        self.address = Address("127.0.0.1", 0)
        self.connections = 0
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._open: set[asyncio.StreamWriter] = set()

    def cut(self) -> None:
        """Cut every connection, without a word."""
        for writer in list(self._open):
            writer.transport.abort()

    def freeze(self) -> None:
        """Let nothing through any more, in either direction, and cut nothing: a network that is gone."""
        self._flowing.clear()

    def thaw(self) -> None:
        """Let everything through again; what is frozen is cut, as it would be by then."""
        self.cut()
        self._flowing.set()

    async def lead(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Lead one connection through."""
        self._open.add(writer)
        try:
            await self._flowing.wait()
            if self.target is None:
                return
            onward_reader, onward_writer = await asyncio.open_connection(*self.target)
            self.connections += 1
            self._open.add(onward_writer)
            try:
                await asyncio.gather(self._pass(reader, onward_writer), self._pass(onward_reader, writer))
            finally:
                self._open.discard(onward_writer)
                onward_writer.transport.abort()
        except OSError:
            return
        finally:
            self._open.discard(writer)
            writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                await self._flowing.wait()
                writer.write(data)
                await writer.drain()
        writer.transport.abort()


@asynccontextmanager
async def front(target: Address | None) -> AsyncIterator[Front]:
    """Run a front while the context is open."""
    proxy = Front(target)
    server = await asyncio.start_server(proxy.lead, *proxy.address)
    proxy.address = Address(*server.sockets[0].getsockname()[:2])
    try:
        yield proxy
    finally:
        server.close()
        proxy.thaw()
        await server.wait_closed()

"""The client's own network, as a TCP proxy that can be broken: cut, stalled, slowed, refused.

Only one run goes through it. What it does to bytes it does to both directions.
"""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from socket import SO_LINGER, SOL_SOCKET
from typing import Final

_CHUNK: Final = 64 * 1024
_AT_ONCE: Final = struct.pack("ii", 1, 0)
"""Linger for no time: a close is a reset (socket(7))."""
LOOPBACK: Final = "127.0.0.1"


@dataclass(eq=False)
class Network:
    """The way from a client to a relay, as it is now.

    Attributes:
        host: Where the proxy listens.
        port: The same.
    """

    host: str = LOOPBACK
    port: int = 0
    _there: tuple[str, int] = (LOOPBACK, 0)
    _open: asyncio.Event = field(default_factory=asyncio.Event)
    _delay: float = 0.0
    _refusing: bool = False
    _transports: set[asyncio.WriteTransport] = field(default_factory=set)
    _later: dict[str, asyncio.TimerHandle] = field(default_factory=dict)

    def cut(self) -> None:
        """End every connection without a word, as a dead network does."""
        for transport in list(self._transports):
            _reset(transport)

    def stall(self, seconds: float) -> None:
        """Let nothing through for so long; then all of it."""
        self._open.clear()
        self._after("stall", seconds, self._open.set)

    def slow(self, seconds: float, delay: float) -> None:
        """Let everything wait for `delay` seconds, for so long."""
        self._delay = delay
        self._after("slow", seconds, self._quicken)

    def refuse(self, seconds: float) -> None:
        """Cut, and end every new connection at once, for so long."""
        self._refusing = True
        self.cut()
        self._after("refuse", seconds, self._accept)

    def _accept(self) -> None:
        self._refusing = False

    def _quicken(self) -> None:
        self._delay = 0.0

    def _after(self, what: str, seconds: float, then: Callable[[], None]) -> None:
        if what in self._later:
            self._later[what].cancel()
        self._later[what] = asyncio.get_running_loop().call_later(seconds, then)

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection until either side ends it."""
        try:
            there = None if self._refusing else await asyncio.open_connection(*self._there)
        except OSError:
            there = None
        if there is None:
            _reset(writer.transport)
            return
        both = {writer.transport, there[1].transport}
        self._transports |= both
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._carry(reader, there[1]))
                group.create_task(self._carry(there[0], writer))
        finally:
            self._transports -= both
            for transport in both:
                transport.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                await self._open.wait()
                if self._delay:
                    await asyncio.sleep(self._delay)
                writer.write(data)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()


def _reset(transport: asyncio.WriteTransport) -> None:
    """End a connection by a reset, whatever is still to be sent on it."""
    socket = transport.get_extra_info("socket")
    if socket is not None and socket.fileno() >= 0:
        socket.setsockopt(SOL_SOCKET, SO_LINGER, _AT_ONCE)
    transport.abort()


@asynccontextmanager
async def opened(host: str, port: int) -> AsyncIterator[Network]:
    """A network that leads to `host` and `port`, until the context is left. Safe to cancel."""
    network = Network(_there=(host, port))
    network._open.set()  # noqa: SLF001 - its own maker
    tasks: set[asyncio.Task[None]] = set()

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        with suppress(asyncio.CancelledError):
            await network._meet(reader, writer)  # noqa: SLF001 - its own maker

    server = await asyncio.start_server(meet, LOOPBACK, 0)
    network.port = server.sockets[0].getsockname()[1]
    try:
        yield network
    finally:
        server.close()
        network.cut()
        for timer in network._later.values():  # noqa: SLF001 - its own maker
            timer.cancel()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

"""Many conversations and a Gemini that is suddenly gone, then back: who dials how often, and who recovers when.

Between relay and emulator stands a door: plain TCP, so TLS passes through it untouched. It counts every dial, and while
it is shut it refuses each at once and cuts what was open.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from websockets.asyncio.client import connect

from services.relay.core.model import Policy
from services.relay.upstream.breaker import BreakerPolicy
from tests.support.client import Client
from tests.support.relay import RunningRelay, running_relay

_AT_ONCE = 20
"""Clients that come at the same time."""
_CHUNK = 65_536


@dataclass
class Door:
    """Where the relay dials.

    Attributes:
        port: Of this machine.
        target: The port behind it.
        shut: Refuses everything.
        dials: When each dial came, in monotonic seconds.
    """

    port: int = 0
    target: int = 0
    shut: bool = False
    dials: list[float] = field(default_factory=list)
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    def close(self) -> None:
        """Cut what is open, refuse what comes."""
        self.shut = True
        for writer in tuple(self._open):
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self.dials.append(time.monotonic())
        if self.shut:
            writer.transport.abort()
            return
        behind, into = await asyncio.open_connection("127.0.0.1", self.target)
        self._open |= {writer, into}
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_pump(reader, into))
                both.create_task(_pump(behind, writer))
        finally:
            self._open -= {writer, into}


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def door() -> AsyncIterator[Door]:
    """A door on a free port."""
    made = Door()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0, backlog=4096)
    made.port = server.sockets[0].getsockname()[1]
    async with server:
        yield made
        made.close()


class Witness(Client):
    """A client that notes when its conversation was rotated."""

    def __init__(self, opening: connect) -> None:
        super().__init__(opening)
        self.rotated = asyncio.Event()
        self.rotated_at = 0.0

    def _take(self, data: str | bytes) -> None:
        super()._take(data)
        if isinstance(data, str) and self.messages[-1]["type"] == "session:rotated":
            self.rotated_at = time.monotonic()
            self.rotated.set()


@dataclass(frozen=True)
class Outcome:
    """What came of a storm.

    Attributes:
        clients: Every client, in its order; their sockets are closed by now.
        lasted: How many seconds everything was refused.
        refused: Dials while it was.
        busiest: The most dials in any second, from the beginning of the outage on.
        recovered: Seconds from the end of the outage until each conversation went on, in order.
        policy: What bounds the dials.
    """

    clients: list[Witness]
    lasted: float
    refused: int
    busiest: int
    recovered: list[float]
    policy: BreakerPolicy

    def __str__(self) -> str:
        bound = f"at most {self.policy.dials_a_second:g} a second, {1 / self.policy.probe_interval:g} while it is open"
        least, middle, most = min(self.recovered), median(self.recovered), max(self.recovered)
        return (
            f"{len(self.clients)} conversations, everything refused for {self.lasted:.1f} s: {self.refused} dials "
            f"meanwhile, {self.busiest} in the busiest second ({bound}); {len(self.recovered)} recovered, after "
            f"{least:.1f} / {middle:.1f} / {most:.1f} s (min / median / max)"
        )


async def storm(directory: Path, conversations: int, seconds: float, breaker: BreakerPolicy) -> Outcome:
    """Let it happen.

    Args:
        directory: For the store.
        conversations: How many are live when Gemini goes away.
        seconds: How long it refuses everything.
        breaker: What bounds the relay's dials.

    Raises:
        TimeoutError: Not all conversations went on.
    """
    async with AsyncExitStack() as stack:
        gate = await stack.enter_async_context(door())
        relay = await stack.enter_async_context(
            running_relay(
                directory,
                emulator={"sessions": 2 * conversations},
                upstream_url=f"wss://127.0.0.1:{gate.port}",
                breaker=breaker,
                policy=Policy(grace=60.0),
            )
        )
        gate.target = int(relay.emulator.url.rpartition(":")[2])
        clients = await _arrive(relay, stack, conversations)
        began = time.monotonic()
        gate.close()
        await asyncio.sleep(seconds)
        ended = time.monotonic()
        gate.shut = False
        async with asyncio.timeout(30.0 + 5 * conversations / breaker.dials_a_second):
            for client in clients:
                await client.rotated.wait()
        return Outcome(
            clients,
            ended - began,
            sum(began <= at <= ended for at in gate.dials),
            _busiest([at for at in gate.dials if at >= began]),
            sorted(client.rotated_at - ended for client in clients),
            breaker,
        )


async def _arrive(relay: RunningRelay, stack: AsyncExitStack, conversations: int) -> list[Witness]:
    """Bring every client in, a few at a time; each has a handle before the storm begins."""
    turnstile = asyncio.Semaphore(_AT_ONCE)

    async def come() -> Witness:
        async with turnstile:
            session = await relay.create()
            client = await stack.enter_async_context(Witness(relay.socket(session)))
            await client.wait_handles(1)
            return client

    return list(await asyncio.gather(*(come() for _ in range(conversations))))


def _busiest(dials: list[float]) -> int:
    return max((sum(at <= other < at + 1.0 for other in dials) for at in dials), default=0)

"""A relay that does what a test's script says, socket by socket: each thing a good relay never does."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

Behaviour = Callable[["Visit"], Awaitable[None]]


@dataclass
class Visit:
    """One socket as the relay sees it: the path it asked for and what came."""

    socket: ServerConnection
    path: str
    came: list[str | bytes] = field(default_factory=list)

    async def say(self, kind: str, n: int = 1, epoch: int = 1, **fields: object) -> None:
        """Send a message."""
        await self.socket.send(json.dumps({"type": kind, "epoch": epoch, "n": n, **fields}))

    async def greet(self, next_seq: int = 1) -> None:
        """Read who comes, and greet."""
        self.came.append(await self.socket.recv())
        kind = "session:resumed" if "lastSeen" in self.path else "session:started"
        await self.say(kind, n=0, nextSeq=next_seq, continuity="handle")

    async def hear(self, count: int) -> None:
        """Read so many frames."""
        for _ in range(count):
            self.came.append(await self.socket.recv())


async def end(visit: Visit) -> None:
    """The good ending of every script."""
    await visit.greet()
    await visit.say("conversation_end", reason="done")
    await visit.socket.close(1000)


@asynccontextmanager
async def relay(*script: Behaviour) -> AsyncIterator[tuple[str, list[Visit]]]:
    """A relay that meets each socket with the next behaviour; further ones end well."""
    visits: list[Visit] = []

    async def meet(socket: ServerConnection) -> None:
        assert socket.request is not None
        visit = Visit(socket, socket.request.path)
        visits.append(visit)
        behave = script[len(visits) - 1] if len(visits) <= len(script) else end
        try:
            await behave(visit)
            await socket.wait_closed()
        except ConnectionClosed:
            return

    async with serve(meet, "127.0.0.1", 0, compression=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{port}/ws/ai-voice?mode=sales_agent", visits

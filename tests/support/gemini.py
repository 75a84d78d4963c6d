"""The least that can be taken for Gemini: it says nothing by itself, and remembers every message of every connection.

For tests that need the upstream's every byte, or its slowness, more than its wit; the emulator has that.
"""

import asyncio
import base64
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.server import ServerConnection, serve

SMALL_BUFFER = 8 * 1024
"""Bytes that the kernel keeps for a reader that is slow."""


@dataclass
class Session:
    """One connection.

    Attributes:
        setup: Its first message.
        inputs: The ``realtimeInput`` of every message since, in order.
        pause: Seconds between two reads.
    """

    socket: ServerConnection
    setup: dict[str, Any]
    inputs: list[dict[str, Any]] = field(default_factory=list)
    pause: float = 0.0

    @property
    def audio(self) -> list[bytes]:
        """Every frame that came."""
        return [base64.b64decode(found["audio"]["data"]) for found in self.inputs if "audio" in found]

    async def say(self, **message: Any) -> None:  # noqa: ANN401 - any server message
        """Send a server message."""
        await self.socket.send(json.dumps(message).encode())

    async def go_away(self, time_left: str = "10s") -> None:
        """Announce the end."""
        await self.say(goAway={"timeLeft": time_left})

    async def turn(self, words: str) -> None:
        """Hear something, answer, and issue a handle that covers it."""
        await self.say(serverContent={"inputTranscription": {"text": words}})
        await self.say(serverContent={"outputTranscription": {"text": "I see."}})
        await self.say(serverContent={"generationComplete": True})
        await self.say(serverContent={"turnComplete": True})
        await self.handle()

    async def handle(self) -> None:
        """Issue a handle."""
        await self.say(sessionResumptionUpdate={"newHandle": f"h{id(self)}.{len(self.inputs)}", "resumable": True})


@dataclass
class Gemini:
    """What listens.

    Attributes:
        sessions: Every connection whose setup has come, in order.
        pause: Of every new connection, between two reads; seconds.
        deaf: New connections are not read at all after their setup.
    """

    url: str = ""
    sessions: list[Session] = field(default_factory=list)
    pause: float = 0.0
    deaf: bool = False
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def until(self, holds: Callable[[], object], patience: float = 20.0) -> None:
        """Wait until something holds that a message can have brought about."""
        async with asyncio.timeout(patience), self._changed:
            await self._changed.wait_for(holds)

    async def news(self, patience: float = 20.0) -> None:
        """Wait for the next message, whatever it is."""
        async with asyncio.timeout(patience), self._changed:
            await self._changed.wait()

    async def serve(self, connection: ServerConnection) -> None:
        """One connection, to its end."""
        setup = json.loads(await connection.recv())["setup"]
        session = Session(connection, setup, pause=self.pause)
        await session.say(setupComplete={})
        await session.handle()
        self.sessions.append(session)
        if self.deaf:
            connection.transport.pause_reading()
        async for message in connection:
            session.inputs.append(json.loads(message).get("realtimeInput", {}))
            async with self._changed:
                self._changed.notify_all()
            if session.pause:
                await _pause(connection, session.pause)


async def _pause(connection: ServerConnection, seconds: float) -> None:
    """Read nothing for a while, or until the connection is gone."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await connection.wait_closed()


@asynccontextmanager
async def plain_gemini() -> AsyncIterator[Gemini]:
    """Listen while the context is open; nothing is buffered for a connection that is not read."""
    gemini = Gemini()
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
    listener.bind(("127.0.0.1", 0))
    gemini.url = f"ws://127.0.0.1:{listener.getsockname()[1]}"
    async with serve(gemini.serve, sock=listener, max_queue=1, compression=None, close_timeout=0.5):
        yield gemini

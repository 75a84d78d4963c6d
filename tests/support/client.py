"""A client of the relay that keeps no promise but the protocol's own: it checks every number it is sent."""

import asyncio
import contextlib
import json
from typing import Any, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from services.common import voice

PATIENCE = 10.0
"""Seconds after which something that should have come never will."""
_PACE = 0.0005
PAUSE_FRAMES = 50
"""A second of silence: enough for any voice activity detection."""


class Speaker:
    """A voice that outlives its sockets: frames and utterances are numbered on."""

    def __init__(self, stream: int) -> None:
        self.stream = stream
        self.frames = 0
        self.lines: list[str] = []

    def say(self, text: str) -> list[bytes]:
        """The frames of an utterance, with the pause after it."""
        spoken = voice.speak(text, stream=self.stream, first_frame=self.frames, utterance=len(self.lines), rate=16_000)
        self.frames += len(spoken)
        self.lines.append(text)
        return [*spoken, *[voice.silence(1, 16_000)] * PAUSE_FRAMES]


class Client:
    """One socket. Use it as an asynchronous context manager.

    Args:
        opening: What `RunningRelay.socket` gives.

    Attributes:
        messages: Every JSON message so far.
        audio: The agent's voice so far.
        seen: Epoch and number of the newest message.
        closed: Code and reason, once it is.
    """

    def __init__(self, opening: connect) -> None:
        self._opening = opening
        self._changed = asyncio.Condition()
        self.messages: list[dict[str, Any]] = []
        self.audio: list[bytes] = []
        self.seen: tuple[int, int] | None = None
        self.closed: tuple[int, str] | None = None

    async def __aenter__(self) -> Self:
        self.socket: ClientConnection = await self._opening
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.socket.close()
        await self._reading

    async def _read(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                self._take(await self.socket.recv())
                async with self._changed:
                    self._changed.notify_all()
        self.closed = (self.socket.close_code or 1006, self.socket.close_reason or "")
        async with self._changed:
            self._changed.notify_all()

    def _take(self, data: str | bytes) -> None:
        if isinstance(data, bytes):
            assert self.seen is not None, "audio before the greeting"
            self.seen = (self.seen[0], self.seen[1] + 1)
            self.audio.append(data)
            return
        message = json.loads(data)
        number = (message["epoch"], message["n"])
        if self.messages:
            assert self.seen is not None
            expected = (self.seen[0], self.seen[1] + 1)
            assert number == expected or message["type"] == "skipped", f"{message['type']} is {number}, not {expected}"
        else:
            assert message["type"] in {"session:started", "session:resumed"}
        self.seen = number
        self.messages.append(message)

    @property
    def last_seen(self) -> str:
        """The parameter of that name."""
        assert self.seen is not None
        return f"{self.seen[0]}.{self.seen[1]}"

    def all(self, kind: str) -> list[dict[str, Any]]:
        """Every message of a type so far."""
        return [message for message in self.messages if message["type"] == kind]

    async def wait(self, kind: str, **fields: object) -> dict[str, Any]:
        """The first message of a type with these fields, past or to come."""
        wanted = {"type": kind, **fields}.items()
        looked_at = 0

        def found() -> dict[str, Any] | None:
            nonlocal looked_at
            while looked_at < len(self.messages):
                message = self.messages[looked_at]
                if all(message.get(name) == value for name, value in wanted):
                    return message
                looked_at += 1
            return None

        async with asyncio.timeout(PATIENCE), self._changed:
            await self._changed.wait_for(lambda: found() or self.closed)
        message = found()
        assert message is not None, f"closed with {self.closed} before {kind} {fields}"
        return message

    async def wait_handles(self, count: int) -> str:
        """The newest resume handle once there were so many: one comes with the setup, and one after each turn."""
        async with asyncio.timeout(PATIENCE), self._changed:
            await self._changed.wait_for(lambda: len(self.all("session_resumption_update")) >= count or self.closed)
        updates = self.all("session_resumption_update")
        assert len(updates) >= count, f"closed with {self.closed} after {len(updates)} handles"
        newest: str = updates[-1]["handle"]
        return newest

    async def wait_closed(self) -> tuple[int, str]:
        """Code and reason of the end."""
        async with asyncio.timeout(PATIENCE):
            await self._reading
        assert self.closed is not None
        return self.closed

    async def speak(self, frames: list[bytes]) -> None:
        """Send frames, faster than real time but not all at once."""
        for frame in frames:
            await self.socket.send(frame)
            await asyncio.sleep(_PACE)

    async def send(self, **message: object) -> None:
        """Send a JSON message."""
        await self.socket.send(json.dumps(message))

    async def turn(self, speaker: Speaker, text: str) -> str:
        """Say something and hear the whole answer."""
        number = len(self.all("turn:complete"))
        await self.speak(speaker.say(text))
        async with asyncio.timeout(PATIENCE), self._changed:
            await self._changed.wait_for(lambda: len(self.all("turn:complete")) > number or self.closed)
        assert len(self.all("turn:complete")) > number, f"closed with {self.closed} before the turn was over"
        return self.said(self.all("turn:complete")[-1]["turn"])

    def said(self, turn: int, role: str = "agent") -> str:
        """What was said in a turn, after its last restart."""
        restarts = [i for i, m in enumerate(self.messages) if m["type"] == "turn:restarted" and m["turn"] == turn]
        since = self.messages[restarts[-1] :] if restarts else self.messages
        return "".join(m["text"] for m in since if m["type"] == "transcript" and (m["role"], m["turn"]) == (role, turn))

    def cut(self) -> None:
        """Cut the TCP connection, without a close frame."""
        self.socket.transport.abort()

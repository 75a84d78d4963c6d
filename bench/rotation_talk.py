"""A client whose microphone is always on, at the pace of real time, and that notes when all was sent and received."""

import asyncio
import base64
import itertools
import time
from collections.abc import Iterator
from typing import Final

from services.common import voice
from tests.support.client import Client, Speaker

_PAUSE: Final = 50
"""Frames of a quiet room that end an utterance, whoever listens."""
_FRAME: Final = voice.frame_bytes(16_000)


def mark(frame: bytes) -> int:
    """What a frame is recognised by at the emulator."""
    return hash(base64.b64encode(frame).decode())


def _noise(stream: int) -> Iterator[bytes]:
    """A quiet room: frames far below any voice, no two alike."""
    for number in itertools.count():
        digits = b"".join(bytes((byte, 0)) for byte in stream.to_bytes(4) + number.to_bytes(4))
        yield digits + b"\1\0" * ((_FRAME - len(digits)) // 2)


class Microphone(Client):
    """A client's socket with a microphone that is always on.

    Attributes:
        sent: Each frame by its `mark`, and when it was given to the socket.
        told: Each JSON message's type, and when it came; ``audio`` for sound.
    """

    def __init__(self, opening: object, stream: int) -> None:
        super().__init__(opening)  # type: ignore[arg-type]  # what `connect` gives
        self.speaker = Speaker(stream)
        self.sent: dict[int, float] = {}
        self.told: list[tuple[str, float]] = []
        self._room = _noise(stream)
        self._to_say: list[bytes] = []

    def _take(self, data: str | bytes) -> None:
        super()._take(data)
        self.told.append(("audio" if isinstance(data, bytes) else self.messages[-1]["type"], time.monotonic()))

    def say(self, text: str) -> None:
        """Speak from the next frame on."""
        spoken = self.speaker.say(text)
        self._to_say += [frame for frame in spoken if any(frame)]

    @property
    def speaking(self) -> bool:
        """Whether there is still something to say."""
        return bool(self._to_say)

    async def finish(self) -> None:
        """Wait until all is said, and heard to be over."""
        await asyncio.sleep((len(self._to_say) + _PAUSE) * voice.FRAME_SECONDS)

    async def run(self) -> None:
        """Send a frame every 20 ms, until cancelled."""
        due = time.monotonic()
        while True:
            frame = self._to_say.pop(0) if self._to_say else next(self._room)
            self.sent[mark(frame)] = time.monotonic()
            await self.socket.send(frame)
            due += voice.FRAME_SECONDS
            await asyncio.sleep(max(0.0, due - time.monotonic()))

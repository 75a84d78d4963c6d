"""Audio in and out: cutting a recording or a microphone's stream into frames, and a queue of what is to be played."""

import asyncio
import wave
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from filo.client import messages
from filo.client.events import Audio, Event

INPUT_RATE: Final = 16_000
"""Samples a second of what is sent: PCM16 little-endian, mono."""

OUTPUT_RATE: Final = 24_000
"""Samples a second of what comes: PCM16 little-endian, mono."""

FRAME_SECONDS: Final = 0.02
_SAMPLE_BYTES: Final = 2
_FRAME_BYTES: Final = int(INPUT_RATE * FRAME_SECONDS) * _SAMPLE_BYTES


class Framer:
    """Cuts a stream of any pieces into frames of 20 ms, each of which makes a good input."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, pcm: bytes) -> list[bytes]:
        """Take more of the stream; gives the frames that are complete."""
        data = self._rest + pcm
        whole = len(data) - len(data) % _FRAME_BYTES
        self._rest = data[whole:]
        return [data[at : at + _FRAME_BYTES] for at in range(0, whole, _FRAME_BYTES)]


async def at_pace(pcm: bytes) -> AsyncIterator[bytes]:
    """The frames of a recording (16 kHz), as fast as somebody would speak them; the last one filled with silence."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    for frame in Framer().feed(pcm + bytes(-len(pcm) % _FRAME_BYTES)):
        yield frame
        due += FRAME_SECONDS
        await asyncio.sleep(max(0.0, due - loop.time()))


def read_wav(path: Path) -> bytes:
    """The samples of a WAV file.

    Raises:
        ValueError: It is not PCM16, mono, 16 kHz.
    """
    with wave.open(str(path), "rb") as recording:
        found = (recording.getnchannels(), recording.getsampwidth(), recording.getframerate())
        if found != (1, _SAMPLE_BYTES, INPUT_RATE):
            raise ValueError(f"{path} has (channels, bytes a sample, samples a second) {found}, not (1, 2, 16000)")
        return recording.readframes(recording.getnframes())


class Playback:
    """The agent's voice that is still to be played.

    Give it every event, and let the sound card `read`: what is not to be heard any more is thrown away, at the moment
    the user speaks into the answer, or when the answer comes again. A whole answer is heard to its end, whatever
    becomes of the relay.
    """

    def __init__(self) -> None:
        self._waiting = bytearray()
        self._epoch = 0
        self._complete: int | None = None

    @property
    def seconds(self) -> float:
        """How much there is to play."""
        return len(self._waiting) / _SAMPLE_BYTES / OUTPUT_RATE

    def take(self, event: Event) -> None:
        """Take in one event of the client."""
        match event:
            case Audio(pcm=pcm):
                self._complete = None
                self._waiting += pcm
            case messages.TurnComplete(turn=turn):
                self._complete = turn
            case messages.Interrupted():
                self._waiting.clear()
            case messages.TurnRestarted() | messages.TurnMissed() if self._complete is None:
                self._waiting.clear()
            case messages.SessionStarted() | messages.SessionResumed() if event.epoch != self._epoch:
                if self._complete is None or self._complete > event.turn:  # not whole, or not stored: it begins again
                    self._waiting.clear()
                self._epoch = event.epoch
            case _:
                pass

    def read(self, samples: int) -> bytes:
        """The next samples to play, as silence where there are none."""
        size = samples * _SAMPLE_BYTES
        piece = bytes(self._waiting[:size])
        del self._waiting[:size]
        return piece.ljust(size, b"\0")

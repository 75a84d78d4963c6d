"""The test voice: speech that carries its own text and numbers inside ordinary PCM16 audio.

A conversation over audio can only be checked if somebody knows what was said and which 20 ms of it arrived. So the
test voice hums a vowel (the high byte of each sample: loud enough for any energy detector) and writes data into the
low byte, 48 dB below, one byte a sample:

====== ======= =====================================================================
offset size    meaning (integers are big-endian)
====== ======= =====================================================================
0      4       sync word
4      4       CRC-32 of all that follows in the frame
8      4       stream: who speaks
12     4       frame: number of this spoken frame in its stream, 0.. without holes
16     4       utterance
20     1       flags: 1 = first frame of the utterance, 2 = last
21     1       length of the text in bytes
22     length  text, whole characters in UTF-8
...            zeros, to the end of the 20 ms
====== ======= =====================================================================

A frame survives every re-chunking, and nothing else: one changed bit makes it :class:`Unknown`, which is the point.
"""

import math
import struct
import zlib
from dataclasses import dataclass
from typing import Final, Literal

__all__ = [
    "CHARACTERS_PER_SECOND",
    "FRAMES_PER_SECOND",
    "FRAME_SECONDS",
    "Event",
    "Heard",
    "Listener",
    "Rate",
    "Silence",
    "Unknown",
    "frame_bytes",
    "frame_count",
    "said",
    "silence",
    "speak",
]

Rate = Literal[16_000, 24_000]
"""Samples a second: 16 kHz goes up to the model, 24 kHz comes down from it."""

FRAMES_PER_SECOND: Final = 50
FRAME_SECONDS: Final = 1 / FRAMES_PER_SECOND
CHARACTERS_PER_SECOND: Final = 20
"""Pace of speech, so that an utterance costs a realistic number of audio tokens."""

_SAMPLE_BYTES: Final = 2
_SYNC: Final = b"\xf1\x10\xa7\x5e"
_HEADER: Final = struct.Struct(">4sIIIIBB")
_COVERED: Final = 8  # the CRC covers everything from this offset on
_FIRST: Final = 1
_LAST: Final = 2


@dataclass(frozen=True, slots=True)
class Heard:
    """One spoken frame (20 ms) that arrived whole."""

    stream: int
    frame: int
    utterance: int
    first: bool
    last: bool
    text: str


@dataclass(frozen=True, slots=True)
class Silence:
    """Digital silence; `duration` in seconds."""

    duration: float


@dataclass(frozen=True, slots=True)
class Unknown:
    """Audio that is not the test voice, or a damaged part of it; `duration` in seconds, `audio` its PCM16."""

    duration: float
    audio: bytes


Event = Heard | Silence | Unknown


def frame_bytes(rate: Rate) -> int:
    """Size of one 20 ms frame of PCM16 mono, in bytes."""
    return rate // FRAMES_PER_SECOND * _SAMPLE_BYTES


def frame_count(text: str) -> int:
    """How many frames it takes to say `text`: at least one, even for the empty text."""
    return max(1, math.ceil(len(text) * FRAMES_PER_SECOND / CHARACTERS_PER_SECOND))


def said(text: str, frames: int) -> str:
    """What has been said of `text` when the first `frames` of its frames have been spoken."""
    return text[: frames * len(text) // frame_count(text)]


def _hum(rate: Rate) -> bytes:
    """The high bytes of a spoken frame: 150 Hz and two overtones, a whole number of periods, so that frames join."""
    tones = ((150, 14.0), (600, 7.0), (1050, 4.0))
    samples = (
        sum(volume * math.sin(math.tau * pitch * at / rate) for pitch, volume in tones)
        for at in range(rate // FRAMES_PER_SECOND)
    )
    return bytes(round(sample) & 0xFF for sample in samples)


_HUM: Final[dict[int, bytes]] = {rate: _hum(rate) for rate in (16_000, 24_000)}


def _modulate(data: bytes, rate: Rate) -> bytes:
    """Put one byte of data under each sample of the hum."""
    frame = bytearray(frame_bytes(rate))
    frame[0 : len(data) * _SAMPLE_BYTES : _SAMPLE_BYTES] = data
    frame[1::_SAMPLE_BYTES] = _HUM[rate]
    return bytes(frame)


_SYNC_AUDIO: Final[dict[int, bytes]] = {
    rate: _modulate(_SYNC, rate)[: len(_SYNC) * _SAMPLE_BYTES] for rate in (16_000, 24_000)
}


def speak(text: str, *, stream: int, first_frame: int, utterance: int, rate: Rate = 16_000) -> list[bytes]:
    """Say `text` as frames of 20 ms at about 20 characters a second.

    Args:
        text: What is said; may be empty (one frame).
        stream: Who speaks, 32 bits unsigned.
        first_frame: Number of the first frame in the stream; the next utterance goes on at this plus the length
            of the result.
        utterance: Number of the utterance, 32 bits unsigned.
        rate: Samples a second.

    Raises:
        ValueError: A number needs more than 32 bits, or `text` cannot be written in UTF-8.
    """
    count = frame_count(text)
    frames = []
    for index in range(count):
        chunk = said(text, index + 1)[len(said(text, index)) :]
        flags = (_FIRST if index == 0 else 0) | (_LAST if index == count - 1 else 0)
        frames.append(_frame(chunk.encode(), (stream, first_frame + index, utterance), flags, rate))
    return frames


def _frame(chunk: bytes, numbers: tuple[int, int, int], flags: int, rate: Rate) -> bytes:
    size = frame_bytes(rate) // _SAMPLE_BYTES
    try:
        unsealed = _HEADER.pack(_SYNC, 0, *numbers, flags, len(chunk)) + chunk
    except struct.error as error:
        raise ValueError(f"stream, frame and utterance are 32-bit unsigned numbers, not {numbers}") from error
    padded = unsealed.ljust(size, b"\0")
    seal = zlib.crc32(padded[_COVERED:]).to_bytes(4)
    return _modulate(padded[: len(_SYNC)] + seal + padded[_COVERED:], rate)


def silence(frames: int, rate: Rate = 16_000) -> bytes:
    """Digital silence of `frames` times 20 ms."""
    return bytes(frames * frame_bytes(rate))


class Listener:
    """Hears the test voice in a stream of PCM16 mono at `rate`, however the stream is cut into pieces.

    The result depends on the stream alone, not on its chunking. Audio that is not the test voice is reported in
    pieces of at most 20 ms; up to 20 ms of it is held back until it is known what it is.
    """

    def __init__(self, rate: Rate = 16_000) -> None:
        """Listen at `rate` samples a second."""
        self._rate = rate
        self._sync = _SYNC_AUDIO[rate]
        self._size = frame_bytes(rate)
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Event]:
        """Take the next bytes of the stream, any number of them; return what was heard, in order."""
        self._buffer += data
        events: list[Event] = []
        while (event := self._next()) is not None:
            events.append(event)
        return events

    def _next(self) -> Event | None:
        """Take one event off the front of the buffer, or nothing while it cannot be known yet."""
        start = 0
        if self._buffer.startswith(self._sync):
            if len(self._buffer) < self._size:
                return None
            heard = self._demodulate(bytes(self._buffer[: self._size]))
            if heard is not None:
                del self._buffer[: self._size]
                return heard
            start = 1  # a damaged frame: look for the next one inside it
        end = self._buffer.find(self._sync, start, self._size + len(self._sync) - 1)
        if end < 0 and (len(self._buffer) < self._size or self._sync_may_begin()):
            return None
        return self._take_other(self._size if end < 0 else end)

    def _sync_may_begin(self) -> bool:
        """Whether the sync word may begin within the first 20 ms, its rest not having arrived."""
        earliest = max(1, len(self._buffer) - len(self._sync) + 1)
        return any(self._sync.startswith(self._buffer[at:]) for at in range(earliest, self._size))

    def _take_other(self, size: int) -> Silence | Unknown:
        piece = bytes(self._buffer[:size])
        del self._buffer[:size]
        duration = size / _SAMPLE_BYTES / self._rate
        return Unknown(duration, piece) if piece.strip(b"\0") else Silence(duration)

    def _demodulate(self, frame: bytes) -> Heard | None:
        data = frame[0::_SAMPLE_BYTES]
        _, seal, stream, number, utterance, flags, length = _HEADER.unpack_from(data)
        if frame[1::_SAMPLE_BYTES] != _HUM[self._rate] or seal != zlib.crc32(data[_COVERED:]):
            return None
        try:
            text = data[_HEADER.size : _HEADER.size + length].decode()
        except UnicodeDecodeError:
            return None
        return Heard(stream, number, utterance, bool(flags & _FIRST), bool(flags & _LAST), text)

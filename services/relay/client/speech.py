"""Hears when a client begins to speak: the peak of each frame against a threshold, with patience for pauses.

It does not replace Gemini's voice activity detection, which decides about turns. It tells the core, once an utterance,
that the client's moment has begun, so that no rotation is put into it. Where the client says itself when it speaks,
that counts and loudness does not: Gemini hears nothing of what is outside.
"""

from enum import Enum, auto
from typing import Final

LOUD: Final = 700
"""A peak amplitude from here on is a voice; a quiet room stays well under it (of 32,767)."""
SILENT: Final = 250
"""A peak amplitude below this is nothing that anybody could take for a voice: 42 dB under the loudest."""
_STRIDE: Final = 8
"""Every eighth sample is enough to see a peak of a voice."""
_UPPER: Final = slice(1, None, 2 * _STRIDE)
"""The upper bytes of those samples."""
_LOUD: Final = bytes(range(LOUD // 256 + 1, 128))
"""Upper bytes with which a sample is loud, whatever the lower byte is."""
_MOMENT: Final = 4_800
"""Samples of quiet that are no more than a pause between two words: 0.3 s."""
_PAUSE: Final = 16_000
"""Samples of quiet, at 16 kHz, after which the next loud frame begins a new utterance: one second."""


class Sound(Enum):
    """What a frame sounds like."""

    SILENCE = auto()
    """Nobody hears a voice in it."""
    FAINT = auto()
    """Perhaps a room, perhaps a soft voice: never treated as silence, never counted as speech."""
    VOICE = auto()


class SpeechDetector:
    """Follows one client's audio.

    Args:
        marked: The client says itself when it speaks.

    Attributes:
        marked: The same.
        sound: What the newest frame sounded like.
        paused: There was a pause before the utterance that began last.
    """

    def __init__(self, *, marked: bool = False) -> None:
        self.marked = marked
        self.sound = Sound.SILENCE
        self._active = False
        self._silent = True
        self.paused = True
        self._quiet = _PAUSE
        self._ended = False

    @property
    def speaking(self) -> bool:
        """Whether the client is heard at this moment."""
        return self._active if self.marked else self._quiet < _MOMENT and not self._ended

    def mark(self, *, start: bool) -> bool:
        """The client says that it begins to speak, or ends; whether an utterance begins with that."""
        began = start and not self._active
        self._active, self._silent = start, self._silent or began
        return began

    @property
    def empty(self) -> bool:
        """Whether not a single frame has come since the client said that it begins to speak."""
        return self._active and self._silent

    def turn_ended(self) -> None:
        """What is loud from here on is told as the next utterance, however short the pause was."""
        self._ended = True

    def began(self, frame: bytes) -> bool:
        """Whether an utterance begins with this frame.

        Args:
            frame: PCM16 little-endian mono 16 kHz, an even number of bytes.
        """
        self._silent = False
        peak = _peak(frame)
        if peak < LOUD:
            self.sound = Sound.SILENCE if peak < SILENT else Sound.FAINT
            self._quiet += len(frame) // 2
            return False
        self.sound = Sound.VOICE
        pause = self._quiet >= _PAUSE
        began = (pause or self._ended) and not self.marked
        if began:
            self.paused, self._ended = pause, False
        self._quiet = 0
        return began


def _peak(frame: bytes) -> int:
    """The peak of the samples that are looked at; of a loud frame often no more than that it is loud."""
    upper = frame[_UPPER]
    if len(upper.translate(None, _LOUD)) < len(upper):
        return LOUD
    return max(memoryview(frame).cast("h")[::_STRIDE].tolist() or (0,))

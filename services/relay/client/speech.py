"""Hears when a client begins to speak: the peak of each frame against a threshold, with patience for pauses.

It does not replace Gemini's voice activity detection, which decides about turns. It tells the core, once an utterance,
that the client's moment has begun, so that no rotation is put into it.
"""

from typing import Final

LOUD: Final = 700
"""A peak amplitude above this is a voice; a quiet room stays well under it (of 32,767)."""
_STRIDE: Final = 8
"""Every eighth sample is enough to see a peak of a voice."""
_PAUSE: Final = 16_000
"""Samples of quiet, at 16 kHz, after which the next loud frame begins a new utterance: one second."""


class SpeechDetector:
    """Follows one client's audio."""

    def __init__(self) -> None:
        self._quiet = _PAUSE

    def turn_ended(self) -> None:
        """What is loud from here on is the next utterance, however short the pause was."""
        self._quiet = _PAUSE

    def began(self, frame: bytes) -> bool:
        """Whether an utterance begins with this frame.

        Args:
            frame: PCM16 little-endian mono 16 kHz, an even number of bytes.
        """
        samples = memoryview(frame).cast("h")
        if not len(samples) or max(samples[::_STRIDE].tolist()) < LOUD:
            self._quiet += len(samples)
            return False
        began = self._quiet >= _PAUSE
        self._quiet = 0
        return began

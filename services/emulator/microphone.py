"""The user's side of a dialogue: activities are found or marked, collected and transcribed."""

from collections.abc import Callable, Iterator
from enum import Enum, auto
from typing import Final

from services.emulator import closes, replies
from services.emulator.closes import RefusedError
from services.emulator.effects import AudioReceived, Effect, Send, VoiceHeard
from services.emulator.messages import AudioInput, Coverage, Setup
from services.emulator.utterance import Utterance
from services.emulator.vad import SAMPLE_BYTES, ActivityDetector, Ear, Edge, Sound

TRANSCRIBE_EVERY: Final = 25
"""Sounds (of 20 ms) between two pieces of the input transcription; half a second was observed."""


class Activity(Enum):
    """What a microphone notices beside a finished utterance."""

    BEGAN = auto()


Noticed = Activity | Utterance
"""The user begins to speak, or has said this."""


class Microphone:
    """Hears the user of one connection.

    Args:
        setup: How activity is detected, and whether it is transcribed.
        silence: The server's own patience, in seconds of silence.
        emit: Takes the effects: every voice frame, and the transcription as it grows.
    """

    def __init__(self, setup: Setup, silence: float, emit: Callable[[Effect], None]) -> None:
        self._automatic = setup.detection.automatic
        self._transcribes = setup.transcribes_input
        self._emit = emit
        self._ear = Ear()
        self._detector = ActivityDetector(setup.detection, silence)
        self._covers_silence = setup.coverage is Coverage.EVERYTHING
        self._between = 0.0
        self._utterance: Utterance | None = None

    @property
    def active(self) -> bool:
        """Whether the user is speaking."""
        return self._utterance is not None

    def hear(self, audio: AudioInput) -> Iterator[Noticed]:
        """Take a piece of audio."""
        self._emit(AudioReceived(len(audio.data) / SAMPLE_BYTES / audio.rate))
        for sound in self._ear.hear(audio):
            if sound.heard is not None:
                self._emit(VoiceHeard(sound.heard))
            if self._utterance is None:
                self._between += sound.seconds
            for event in self._detector.take(sound) if self._automatic else (sound,):
                yield from self._sense(event)

    def stream_ended(self) -> Iterator[Noticed]:
        """The client has switched its microphone off: what was being said is complete."""
        for event in self._detector.end():
            yield from self._sense(event)

    def mark(self, edge: Edge) -> Iterator[Noticed]:
        """The client says that an activity begins or ends; a start within an activity is ignored [OBS].

        Raises:
            RefusedError: Detection is automatic, or the activity held no audio at all.
        """
        if self._automatic:
            raise RefusedError(closes.EXPLICIT_ACTIVITY)
        if edge is Edge.ENDED and self._utterance is not None and not self._utterance.sounds:  # [OBS]
            self._emit(Send({"serverContent": {"turnComplete": True}, "usageMetadata": {}}))
            raise RefusedError(closes.PRECONDITION)
        yield from self._sense(edge)

    def transcribe(self, utterance: Utterance, *, final: bool) -> None:
        """Send what is new in the transcription, if the client asked for one."""
        piece = utterance.transcribe(final=final)
        if piece and self._transcribes:
            self._emit(Send(replies.input_transcription(piece)))

    def _sense(self, event: Sound | Edge) -> Iterator[Noticed]:
        utterance = self._utterance
        if event is Edge.STARTED and utterance is None:
            self._utterance = Utterance()
            yield Activity.BEGAN
        elif event is Edge.ENDED and utterance is not None:
            self._utterance = None
            if self._covers_silence:
                utterance.around, self._between = self._between + utterance.quiet, 0.0
            yield utterance
        elif isinstance(event, Sound) and utterance is not None:
            utterance.add(event)
            if utterance.sounds % TRANSCRIBE_EVERY == 0:
                self.transcribe(utterance, final=False)

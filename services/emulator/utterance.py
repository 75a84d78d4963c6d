"""What the user says in one activity, as it grows: its words, its frames, its length."""

from dataclasses import dataclass

from services.common.voice import Heard
from services.emulator import runs, tokens
from services.emulator.context import Kind, Role, Turn
from services.emulator.runs import Runs
from services.emulator.vad import Sound


@dataclass
class Utterance:
    """What the user says in one activity, as it grows.

    Attributes:
        text: The words that were understood.
        seconds: From the first sound to the last, silence between them included.
        unknown: Seconds of ordinary speech.
        stream: The voice that spoke first.
        utterances: The utterances of the test voice, in order.
        frames: The frames of that voice, in order of arrival.
        sounds: How many sounds came, silence included.
        quiet: Seconds of silence since the last speech.
        around: Seconds of silence around it that belong to the turn all the same.
    """

    text: str = ""
    seconds: float = 0.0
    unknown: float = 0.0
    stream: int | None = None
    utterances: tuple[int, ...] = ()
    frames: Runs = ()
    sounds: int = 0
    quiet: float = 0.0
    around: float = 0.0
    _transcribed: int = 0

    def add(self, sound: Sound) -> None:
        """One more sound; silence counts only when speech follows it."""
        self.sounds += 1
        if not sound.speech:
            self.quiet += sound.seconds
            return
        self.seconds += self.quiet + sound.seconds
        self.quiet = 0.0
        if sound.heard is None:
            self.unknown += sound.seconds
        else:
            self._add_heard(sound.heard)

    def _add_heard(self, heard: Heard) -> None:
        if self.stream is None:
            self.stream = heard.stream
        if heard.utterance not in self.utterances:
            self.utterances += (heard.utterance,)
            self.text += " " if self.text else ""
        self.text += heard.text
        if heard.stream == self.stream:
            self.frames = runs.append(self.frames, heard.frame)

    def transcribe(self, *, final: bool) -> str:
        """The next piece of the transcription, up to a whole word; the rest of it when `final`."""
        known = self.transcript if final else self.text
        end = len(known) if final else known.rfind(" ", self._transcribed) + 1
        piece, self._transcribed = known[self._transcribed : end], max(end, self._transcribed)
        return piece

    @property
    def transcript(self) -> str:
        """What was said; ordinary speech is not understood, only timed."""
        unknown = f"(unknown speech, {self.unknown:.1f} s)" if self.unknown else ""
        return f"{self.text} {unknown}".strip() if unknown else self.text

    @property
    def turn(self) -> Turn:
        """The utterance as it enters the context."""
        return Turn(
            Role.USER,
            Kind.AUDIO,
            self.transcript,
            tokens.of_audio(self.seconds + self.around),
            self.stream,
            self.utterances,
            self.frames,
        )

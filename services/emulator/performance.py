"""An answer while it is given: what was said so far, and what that makes of it."""

import random
from dataclasses import dataclass

from services.common.voice import FRAME_SECONDS
from services.emulator import runs, score, tokens
from services.emulator.categories import Prompt
from services.emulator.context import Kind, Role, Turn
from services.emulator.runs import Runs
from services.emulator.score import Piece, Score, Voice
from services.emulator.tokens import Tokens


@dataclass
class Performance:
    """One answer, as far as it has been given.

    Attributes:
        kind: Spoken or written.
        voice: Who speaks, from which frame on.
        prompt: What it was made from.
        greeting: Whether it begins with the greeting.
    """

    kind: Kind
    voice: Voice
    prompt: Prompt
    greeting: bool
    said: str = ""
    frames: Runs = ()

    def score(self, text: str, speed: float, captions: random.Random | None) -> Score:
        """Plan to give `text` as the answer."""
        if self.kind is Kind.TEXT:
            return score.written(text, speed)
        return score.spoken(text, self.voice, speed, captions=captions)

    def give(self, piece: Piece) -> None:
        """A piece of it is being sent."""
        self.said += piece.said
        for _ in range(piece.frames):
            self.frames = runs.append(self.frames, self.next_frame)

    @property
    def next_frame(self) -> int:
        """The number of the voice's next frame."""
        return self.frames[-1][1] + 1 if self.frames else self.voice.frame

    @property
    def response(self) -> Tokens:
        """What it costs so far."""
        if self.kind is Kind.TEXT:
            return tokens.of_text(self.said)
        return tokens.of_audio(runs.count(self.frames) * FRAME_SECONDS)

    @property
    def turn(self) -> Turn:
        """What enters the context of it."""
        spoken = self.kind is Kind.AUDIO
        return Turn(
            Role.MODEL,
            self.kind,
            self.said.strip(),
            self.response,
            stream=self.voice.stream if spoken else None,
            utterances=(self.voice.utterance,) if spoken else (),
            frames=self.frames,
        )

"""How many tokens content costs, by modality.

Audio costs 25 tokens a second (Vertex and price pages; the general pages say 32, see GEMINI-LIVE.md, Limits). Text is
estimated at four characters a token, as Google's token guide has it; what a real tokenizer counts differs by a fifth
or so, in both directions.
"""

import math
from dataclasses import dataclass
from typing import Final

AUDIO_TOKENS_PER_SECOND: Final = 25
CHARACTERS_PER_TOKEN: Final = 4
IMAGE_TOKENS: Final = 258
"""An image, a frame of video or a page, at the default resolution [DOC]; a large image is many tiles, here one [?]."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """A number of tokens in each modality."""

    text: int = 0
    audio: int = 0
    video: int = 0
    image: int = 0
    document: int = 0

    def __add__(self, other: "Tokens") -> "Tokens":
        """Both together."""
        return Tokens(
            self.text + other.text,
            self.audio + other.audio,
            self.video + other.video,
            self.image + other.image,
            self.document + other.document,
        )

    @property
    def total(self) -> int:
        """All modalities together."""
        return self.text + self.audio + self.video + self.image + self.document


NONE: Final = Tokens()


def of_text(text: str) -> Tokens:
    """What `text` costs; the empty text costs nothing."""
    return Tokens(text=math.ceil(len(text) / CHARACTERS_PER_TOKEN))


def of_audio(seconds: float) -> Tokens:
    """What audio of that length costs, to the nearest token."""
    return Tokens(audio=round(seconds * AUDIO_TOKENS_PER_SECOND))

"""What comes into a context, piece by piece, and what it should cost by the relay's own estimate."""

import math
from enum import StrEnum
from typing import Final, NamedTuple

CHARACTERS_A_TOKEN: Final = 4
"""Google's own rule of thumb for English text: https://ai.google.dev/gemini-api/docs/tokens"""
AUDIO_TOKENS_A_SECOND: Final = 25
"""By the pages on Vertex and on prices; the general pages say 32: https://ai.google.dev/gemini-api/docs/pricing"""
TEXT: Final = "TEXT"
AUDIO: Final = "AUDIO"
ANY: Final = ""
"""The only modality where Gemini does not tell them apart."""


class Category(StrEnum):
    """What tokens of a context are for."""

    INSTRUCTION = "instruction"
    USER = "user"
    MODEL = "model"
    FEEDBACK_LIVE = "feedback_live"
    FEEDBACK_STALE = "feedback_stale"
    TOOLS = "tools"


class Piece(NamedTuple):
    """Something that has newly come into the context, and what it should cost.

    Args:
        category: What it is for.
        modality: By Gemini's name.
        tokens: The estimate.
    """

    category: Category
    modality: str
    tokens: int


def of_text(category: Category, text: str) -> Piece:
    """A piece of text; the empty text costs nothing."""
    return Piece(category, TEXT, text_tokens(len(text)))


def of_audio(category: Category, seconds: float) -> Piece:
    """A piece of audio."""
    return Piece(category, AUDIO, round(seconds * AUDIO_TOKENS_A_SECOND))


def text_tokens(characters: int) -> int:
    """What text of so many characters should cost."""
    return math.ceil(characters / CHARACTERS_A_TOKEN)

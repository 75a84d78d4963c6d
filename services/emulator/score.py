"""An answer as a score: what is sent when, once the model begins to speak.

Audio comes in pieces of 40 ms at `speed` times real time; pieces of the transcription come with it, in order among
themselves and in no fixed order relative to the audio ([DOC]): each up to 300 ms of speech early or late.
"""

import random
import re
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from services.common import voice
from services.emulator import replies
from services.emulator.replies import Message

FRAMES_A_PIECE: Final = 2
TRANSCRIPT_DRIFT: Final = 0.3
"""How far a transcription piece may be from its audio, in seconds of speech."""
WORDS_A_PIECE: Final = 3


@dataclass(frozen=True, slots=True)
class Piece:
    """One message of an answer.

    Attributes:
        at: When it is due, in seconds after the answer began.
        message: What is sent.
        said: The words of the answer that are said with it.
        frames: The voice frames it holds.
    """

    at: float
    message: Message
    said: str = ""
    frames: int = 0


@dataclass(frozen=True, slots=True)
class Voice:
    """Who speaks in an answer: its stream, its next frame, its next utterance."""

    stream: int
    frame: int
    utterance: int


@dataclass(frozen=True, slots=True)
class Score:
    """An answer, ready to be performed; it ends `seconds` after it began."""

    pieces: tuple[Piece, ...]
    seconds: float


def spoken(text: str, speaker: Voice, speed: float, *, captions: random.Random | None = None) -> Score:
    """Score `text` as audio; with a source of drift in `captions`, transcribed as well."""
    frames = voice.speak(
        text, stream=speaker.stream, first_frame=speaker.frame, utterance=speaker.utterance, rate=replies.OUTPUT_RATE
    )
    pace = voice.FRAME_SECONDS / speed
    pieces = [
        Piece(
            at * pace,
            replies.audio(b"".join(frames[at : at + FRAMES_A_PIECE])),
            voice.said(text, at + FRAMES_A_PIECE)[len(voice.said(text, at)) :],
            len(frames[at : at + FRAMES_A_PIECE]),
        )
        for at in range(0, len(frames), FRAMES_A_PIECE)
    ]
    seconds = len(frames) * pace
    if captions is not None:
        pieces += _captions(text, seconds, captions, TRANSCRIPT_DRIFT / speed)
    return Score(tuple(sorted(pieces, key=lambda piece: piece.at)), seconds)


def written(text: str, speed: float) -> Score:
    """Score `text` as an answer in text, at the pace of speech."""
    seconds = voice.frame_count(text) * voice.FRAME_SECONDS / speed
    chunks = _chunks(text)
    ends = accumulate(len(chunk) for chunk in chunks)
    return Score(
        tuple(
            Piece((end - len(chunk)) / len(text) * seconds, replies.text(chunk), said=chunk)
            for chunk, end in zip(chunks, ends, strict=True)
        ),
        seconds,
    )


def _captions(text: str, seconds: float, drift: random.Random, most: float) -> list[Piece]:
    pieces: list[Piece] = []
    position, at = 0, 0.0
    for chunk in _chunks(text):
        due = position / len(text) * seconds + drift.uniform(-most, most)
        at = min(max(at, due), seconds)
        pieces.append(Piece(at, replies.output_transcription(chunk)))
        position += len(chunk)
    return pieces


def _chunks(text: str) -> list[str]:
    """`text` in pieces of a few words; joined they are `text` again."""
    words = re.findall(r"\S+\s*|^\s+", text)
    return ["".join(words[at : at + WORDS_A_PIECE]) for at in range(0, len(words), WORDS_A_PIECE)]

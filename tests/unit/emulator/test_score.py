"""A score holds the whole answer, in order, on time."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common import voice
from services.emulator import score
from services.emulator.score import Score, Voice
from tests.support.session import heard, transcribed

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
SPEEDS = st.floats(0.1, 1000.0)


def check_order(plan: Score) -> None:
    """Pieces are in the order of their time, within the answer's."""
    times = [piece.at for piece in plan.pieces]
    assert times == sorted(times)
    assert all(0 <= at <= plan.seconds for at in times)


@given(text=TEXTS, speed=SPEEDS, seed=st.integers())
def test_spoken(text: str, speed: float, seed: int) -> None:
    """Audio and transcription both say all of it; what is said with each piece adds up to it."""
    plan = score.spoken(text, Voice(1, 100, 2), speed, captions=random.Random(seed))  # noqa: S311 - a test
    check_order(plan)
    messages = [piece.message for piece in plan.pieces]
    assert heard(messages) == transcribed(messages, "outputTranscription") == text
    assert "".join(piece.said for piece in plan.pieces) == text
    assert sum(piece.frames for piece in plan.pieces) == voice.frame_count(text)


@given(text=TEXTS, speed=SPEEDS)
def test_written(text: str, speed: float) -> None:
    """The text parts add up to the answer and last as long as saying it."""
    plan = score.written(text, speed)
    check_order(plan)
    assert "".join(piece.said for piece in plan.pieces) == text
    assert plan.seconds * speed == pytest.approx(voice.frame_count(text) * 0.02)


def test_without_captions_there_is_audio_only() -> None:
    """Nobody asked for a transcription, so there is none."""
    plan = score.spoken("Hello.", Voice(1, 0, 1), 1.0)
    assert all("modelTurn" in piece.message["serverContent"] for piece in plan.pieces)

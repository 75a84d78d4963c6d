"""The relay's own ear."""

import struct
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common import voice
from services.relay.client.speech import LOUD, SILENT, Sound, SpeechDetector

QUIET_FRAME = bytes(640)
SECOND = 50


def tone(amplitude: int, samples: int = 320) -> bytes:
    """A frame whose every sample has this amplitude."""
    return struct.pack(f"<{samples}h", *[amplitude] * samples)


def test_the_machine_is_little_endian() -> None:
    """The detector reads samples as the machine has them."""
    assert sys.byteorder == "little"


def test_an_utterance_begins_once() -> None:
    """With its first loud frame; the rest of it, with short pauses, is the same utterance."""
    ear = SpeechDetector()
    frames = [QUIET_FRAME] * 5 + [tone(5000)] * 20 + [QUIET_FRAME] * 30 + [tone(5000)] * 5
    assert [index for index, frame in enumerate(frames) if ear.began(frame)] == [5]


def test_after_a_second_of_quiet_another_begins() -> None:
    """Not before."""
    ear = SpeechDetector()
    assert ear.began(tone(5000))
    assert not any(ear.began(QUIET_FRAME) for _ in range(SECOND - 1))
    assert not ear.began(tone(5000))
    assert not any(ear.began(QUIET_FRAME) for _ in range(SECOND))
    assert ear.began(tone(5000))


@pytest.mark.parametrize(("amplitude", "begins"), [(0, False), (LOUD - 1, False), (LOUD, True), (32767, True)])
def test_the_threshold(amplitude: int, begins: bool) -> None:  # noqa: FBT001
    """A quiet room is not a voice."""
    assert SpeechDetector().began(tone(amplitude)) is begins


@pytest.mark.parametrize("frame", [b"", bytes(2)])
def test_frames_of_any_length(frame: bytes) -> None:
    """Nothing, and one sample, are quiet."""
    assert not SpeechDetector().began(frame)


def test_it_hears_the_test_voice() -> None:
    """What the simulator speaks with is a voice to it."""
    ear = SpeechDetector()
    frames = voice.speak("Good morning, my budget is ten euros.", stream=1, first_frame=0, utterance=1, rate=16000)
    assert [index for index, frame in enumerate(frames) if ear.began(frame)][:1] == [0]


def test_after_a_turn_the_next_loud_frame_begins_an_utterance() -> None:
    """However short the pause was in audio: a client need not send its silence while the agent speaks."""
    ear = SpeechDetector()
    assert ear.began(tone(5000))
    assert not ear.began(QUIET_FRAME)
    assert ear.paused
    ear.turn_ended()
    assert ear.began(tone(5000))
    assert not ear.paused, "it may be what the client was saying already"
    assert not ear.began(tone(5000))
    assert not any(ear.began(QUIET_FRAME) for _ in range(2 * SECOND))
    assert ear.began(tone(5000))
    assert ear.paused


@pytest.mark.parametrize(
    ("amplitude", "sound"),
    [
        (0, Sound.SILENCE),
        (SILENT - 1, Sound.SILENCE),
        (SILENT, Sound.FAINT),
        (LOUD - 1, Sound.FAINT),
        (LOUD, Sound.VOICE),
    ],
)
def test_what_a_frame_sounds_like(amplitude: int, sound: Sound) -> None:
    """Between silence and a voice there is what may be either."""
    ear = SpeechDetector()
    ear.began(tone(amplitude))
    assert ear.sound is sound


NEAR = st.sampled_from((-769, -256, -1, 0, SILENT - 1, SILENT, 255, 256, 512, LOUD - 1, LOUD, 767, 768))
"""Amplitudes on both sides of where something changes: what is heard, and the upper byte."""


@given(st.lists(NEAR | st.integers(-32_768, 32_767), max_size=40))
def test_the_loudest_of_every_eighth_sample_counts(samples: list[int]) -> None:
    """However its bytes are looked at; those between are not heard."""
    ear = SpeechDetector()
    ear.began(b"".join(tone(sample, 1) + tone(32_767, 7) for sample in samples))
    peak = max(samples, default=0)
    assert ear.sound is (Sound.VOICE if peak >= LOUD else Sound.FAINT if peak >= SILENT else Sound.SILENCE)


def test_a_client_that_says_when_it_speaks_is_believed() -> None:
    """It begins with its word, once, and ends with its word; how loud it is does not matter."""
    ear = SpeechDetector(marked=True)
    assert not ear.began(tone(5000))
    assert not ear.speaking
    assert [ear.mark(start=True), ear.mark(start=True)] == [True, False]
    assert ear.empty
    assert not ear.began(tone(5000))
    assert (ear.speaking, ear.empty, ear.sound) == (True, False, Sound.VOICE)
    assert not any(ear.began(QUIET_FRAME) for _ in range(2 * SECOND))
    ear.turn_ended()
    assert ear.speaking
    assert not ear.mark(start=False)
    assert (ear.speaking, ear.empty) == (False, False)
    assert ear.mark(start=True)
    assert ear.empty

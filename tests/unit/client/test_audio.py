"""Audio is cut into frames without losing a sample, and what is not to be heard is not played."""

import wave
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filo.client import Audio, messages
from filo.client.audio import Framer, Playback, at_pace, read_wav


@given(pieces=st.lists(st.binary(max_size=1500), max_size=20))
def test_frames_are_the_stream(pieces: list[bytes]) -> None:
    """However a stream arrives, its frames are 20 ms each and in order; only an incomplete one is kept back."""
    framer = Framer()
    frames = [frame for piece in pieces for frame in framer.feed(piece)]
    stream = b"".join(pieces)
    assert {len(frame) for frame in frames} <= {640}
    assert b"".join(frames) == stream[: len(stream) // 640 * 640]


async def test_a_recording_is_sent_at_the_pace_of_speech() -> None:
    """50 frames a second, the last one filled up."""
    assert [frame async for frame in at_pace(b"\1\2" * 321)] == [b"\1\2" * 320, b"\1\2" + bytes(638)]


def recording(path: Path, rate: int) -> Path:
    """A short WAV file."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(b"\1\0\2\0")
    return path


def test_a_recording_is_read_or_refused(tmp_path: Path) -> None:
    """Only what the relay takes; the sentence says what was found."""
    assert read_wav(recording(tmp_path / "good.wav", 16_000)) == b"\1\0\2\0"
    with pytest.raises(ValueError, match="44100"):
        read_wav(recording(tmp_path / "bad.wav", 44_100))


def test_what_waits_is_played_in_order_and_silence_after_it() -> None:
    """A sound card always gets as many samples as it asks for."""
    playback = Playback()
    playback.take(Audio(b"abcd"))
    playback.take(Audio(b"ef"))
    assert playback.seconds == 3 / 24_000
    assert (playback.read(2), playback.read(2), playback.read(1)) == (b"abcd", b"ef\0\0", b"\0\0")


@pytest.mark.parametrize(
    "event",
    [
        messages.Interrupted(turn=1),
        messages.TurnRestarted(turn=1),
        messages.TurnMissed(turn=1),
        messages.SessionResumed(epoch=2),
    ],
    ids=lambda event: type(event).__name__,
)
def test_what_is_not_to_be_heard_is_thrown_away(event: messages.Numbered | messages.SessionResumed) -> None:
    """At once: the user has spoken, or the answer comes again."""
    playback = Playback()
    playback.take(messages.SessionStarted(epoch=1))
    playback.take(Audio(b"abcd"))
    playback.take(event)
    assert playback.seconds == 0


def test_a_return_to_the_same_relay_plays_on() -> None:
    """The answer goes on where it was."""
    playback = Playback()
    playback.take(messages.SessionStarted(epoch=1))
    playback.take(Audio(b"abcd"))
    playback.take(messages.SessionResumed(epoch=1))
    assert playback.read(2) == b"abcd"


@pytest.mark.parametrize(
    "event",
    [messages.TurnRestarted(turn=4), messages.TurnMissed(turn=4), messages.SessionResumed(epoch=2, turn=3)],
    ids=lambda event: type(event).__name__,
)
def test_a_whole_answer_is_heard_to_its_end(event: messages.Numbered | messages.SessionResumed) -> None:
    """Gemini speaks faster than it is played: what becomes of the next turn, or of the relay, takes nothing from it."""
    playback = Playback()
    for before in (messages.SessionStarted(epoch=1), Audio(b"abcd"), messages.TurnComplete(turn=3), event):
        playback.take(before)
    assert playback.read(2) == b"abcd"


@pytest.mark.parametrize(
    "event",
    [messages.Interrupted(turn=3), messages.SessionResumed(epoch=2, turn=2)],
    ids=["the user speaks", "it was not stored"],
)
def test_a_whole_answer_that_is_not_to_be_heard(event: messages.Numbered | messages.SessionResumed) -> None:
    """The user speaks into it; or the relay died before it could store it, and it comes again."""
    playback = Playback()
    for before in (messages.SessionStarted(epoch=1), Audio(b"abcd"), messages.TurnComplete(turn=3), event):
        playback.take(before)
    assert playback.seconds == 0

"""The test voice survives every re-chunking, and reports every frame that did not survive something else."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common import voice
from services.common.voice import Event, Heard, Listener, Rate, Silence, Unknown

RATES: tuple[Rate, ...] = (16_000, 24_000)
U32 = 2**32 - 1
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


def hear(data: bytes, rate: Rate = 16_000, cuts: list[int] | None = None) -> list[Event]:
    """What a listener hears in `data`, fed whole or cut at the given places."""
    listener = Listener(rate)
    places = [0, *sorted(min(cut, len(data)) for cut in cuts or []), len(data)]
    return [event for start, end in pairwise(places) for event in listener.feed(data[start:end])]


def text_of(events: list[Event]) -> str:
    """The text of all spoken frames."""
    return "".join(event.text for event in events if isinstance(event, Heard))


@given(text=TEXTS, stream=st.integers(0, U32), first=st.integers(0, U32 - 1000), rate=st.sampled_from(RATES))
def test_what_is_spoken_is_heard(text: str, stream: int, first: int, rate: Rate) -> None:
    """Text, stream and utterance come out as they went in, frames are numbered without holes, ends are marked."""
    frames = voice.speak(text, stream=stream, first_frame=first, utterance=7, rate=rate)
    events = hear(b"".join(frames), rate)
    heard = [event for event in events if isinstance(event, Heard)]
    assert len(heard) == len(events) == len(frames)
    assert text_of(events) == text
    assert [event.frame for event in heard] == list(range(first, first + len(frames)))
    assert {(event.stream, event.utterance) for event in heard} == {(stream, 7)}
    assert [event.first for event in heard] == [True] + [False] * (len(frames) - 1)
    assert [event.last for event in heard] == [False] * (len(frames) - 1) + [True]


@given(
    pieces=st.lists(
        st.one_of(
            st.builds(lambda text: b"".join(voice.speak(text, stream=3, first_frame=0, utterance=1)), TEXTS),
            st.builds(voice.silence, st.integers(0, 5)),
            st.binary(max_size=1500),
            st.just(voice.speak("cut", stream=3, first_frame=0, utterance=1)[0][:-7]),
        ),
        max_size=4,
    ),
    cuts=st.lists(st.integers(0, 20_000), max_size=30),
)
def test_chunking_does_not_matter(pieces: list[bytes], cuts: list[int]) -> None:
    """Voice, silence, garbage and cut frames give the same events whole, in pieces, and byte by byte."""
    data = b"".join(pieces)
    whole = hear(data)
    assert hear(data, cuts=cuts) == whole
    assert hear(data, cuts=list(range(0, len(data), 3))) == whole


@given(garbage=st.binary(max_size=2000))
def test_the_listener_finds_the_voice_after_garbage(garbage: bytes) -> None:
    """After any bytes, also an odd number of them, every whole frame is heard and no time is invented."""
    spoken = voice.speak("Hello there.", stream=1, first_frame=0, utterance=0)
    events = hear(garbage + b"".join(spoken) + voice.silence(2))
    assert text_of(events) == "Hello there."
    duration = sum(event.duration for event in events if not isinstance(event, Heard))
    assert duration == pytest.approx(len(garbage) / 32_000 + 0.04, abs=1e-9)


@given(data=st.data())
def test_a_damaged_frame_is_unknown_and_its_neighbours_are_heard(data: st.DataObject) -> None:
    """One changed byte anywhere loses exactly the frame it is in."""
    frames = voice.speak("abcdefgh", stream=1, first_frame=0, utterance=0)
    victim = data.draw(st.integers(0, len(frames) - 1))
    at = data.draw(st.integers(0, len(frames[victim]) - 1))
    damaged = bytearray(frames[victim])
    damaged[at] ^= data.draw(st.integers(1, 255))
    frames[victim] = bytes(damaged)
    events = hear(b"".join(frames) + voice.silence(1))
    heard = [event.frame for event in events if isinstance(event, Heard)]
    assert heard == [number for number in range(len(frames)) if number != victim]
    assert sum(event.duration for event in events if isinstance(event, Unknown)) == pytest.approx(0.02)


def test_a_lost_byte_loses_one_frame() -> None:
    """When a byte is missing from the stream, the listener realigns at the next frame, at an odd offset."""
    frames = voice.speak("abcdefgh", stream=1, first_frame=0, utterance=0)
    data = frames[0][:100] + frames[0][101:] + b"".join(frames[1:])
    assert [event.frame for event in hear(data) if isinstance(event, Heard)] == list(range(1, len(frames)))


@pytest.mark.parametrize("rate", RATES)
def test_silence_and_ordinary_audio_are_told_apart(rate: Rate) -> None:
    """Zero samples are silence, others are unknown, each reported within 20 ms of its arrival."""
    quiet, noise = voice.silence(3, rate), b"\x10\x20" * (rate // 50)
    assert hear(quiet + noise, rate) == [Silence(0.02)] * 3 + [Unknown(0.02, noise)]


@pytest.mark.parametrize("rate", RATES)
def test_an_energy_detector_sees_speech(rate: Rate) -> None:
    """Each spoken frame lasts 20 ms, peaks well above 1000 and does not clip."""
    for frame in voice.speak("loud and clear", stream=1, first_frame=0, utterance=0, rate=rate):
        samples = memoryview(frame).cast("h")
        assert len(samples) == rate / 50
        assert 3000 < max(samples) < 30_000
        assert -30_000 < min(samples) < -3000


def test_speech_has_a_human_pace() -> None:
    """About 20 characters a second; even the empty text is one frame, so that it can be heard."""
    assert voice.frame_count("x" * 100) * voice.FRAME_SECONDS == pytest.approx(5.0)
    assert len(voice.speak("x" * 100, stream=1, first_frame=0, utterance=0)) == voice.frame_count("x" * 100)
    assert voice.frame_count("") == len(voice.speak("", stream=1, first_frame=0, utterance=0)) == 1


@pytest.mark.parametrize("numbers", [(-1, 0, 0), (U32 + 1, 0, 0), (0, U32, 0), (0, 0, U32 + 1)])
def test_numbers_that_do_not_fit_are_refused(numbers: tuple[int, int, int]) -> None:
    """A number beyond 32 bits is a ValueError, also when only a later frame would overflow."""
    stream, first, utterance = numbers
    with pytest.raises(ValueError, match="32-bit"):
        voice.speak("two frames", stream=stream, first_frame=first, utterance=utterance)

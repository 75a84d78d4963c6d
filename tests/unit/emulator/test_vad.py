"""Turns are found in audio however it is cut, and hold speech, not silence."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common import voice
from services.emulator.messages import AudioInput, Detection
from services.emulator.utterance import Utterance
from services.emulator.vad import ActivityDetector, Ear, Edge, Sound

LOUD = b"\x00\x20\x00\xe0"
HUSHED = b"\x10\x00\xf0\xff"


def listen(data: bytes, cuts: list[int], detection: Detection, rate: int = 16_000) -> list[Utterance]:
    """The finished utterances in a stream cut at these places."""
    ear, detector = Ear(), ActivityDetector(detection, silence=0.5)
    done: list[Utterance] = []
    current = Utterance()
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for start, end in pairwise(places):
        for sound in ear.hear(AudioInput(data[start:end], rate)):
            for event in detector.take(sound):
                if event is Edge.STARTED:
                    current = Utterance()
                elif event is Edge.ENDED:
                    done.append(current)
                else:
                    assert isinstance(event, Sound)
                    current.add(event)
    return done


@given(
    texts=st.lists(st.text("abc ", min_size=1, max_size=20), min_size=1, max_size=4),
    cuts=st.lists(st.integers(0, 10**6), max_size=20),
)
def test_utterances_are_found_however_the_stream_is_cut(texts: list[str], cuts: list[int]) -> None:
    """Each utterance between silences is one turn with its text, its frames and its length."""
    data, frame = b"", 0
    for number, text in enumerate(texts):
        frames = voice.speak(text, stream=1, first_frame=frame, utterance=number)
        frame += len(frames)
        data += voice.silence(30) + b"".join(frames) + voice.silence(30)
    found = listen(data, cuts, Detection())
    assert [utterance.text for utterance in found] == texts
    assert [utterance.utterances for utterance in found] == [(number,) for number in range(len(texts))]
    assert [last + 1 - first for utterance in found for first, last in utterance.frames] == [
        voice.frame_count(text) for text in texts
    ]
    assert [utterance.seconds for utterance in found] == pytest.approx([voice.frame_count(text) / 50 for text in texts])


def test_a_pause_within_a_turn_belongs_to_it() -> None:
    """Silence shorter than the limit joins two utterances, and counts; the silence at the end does not."""
    first = voice.speak("One", stream=1, first_frame=0, utterance=0)
    second = voice.speak("two", stream=1, first_frame=len(first), utterance=1)
    data = b"".join(first) + voice.silence(20) + b"".join(second) + voice.silence(25)
    (turn,) = listen(data, [], Detection())
    assert (turn.text, turn.utterances) == ("One two", (0, 1))
    assert turn.seconds == pytest.approx((len(first) + 20 + len(second)) / 50)


def test_frames_that_come_twice_are_in_the_turn_twice() -> None:
    """A doubled stretch of audio shows in the frames, in order."""
    frames = voice.speak("abcd", stream=1, first_frame=0, utterance=0)
    (turn,) = listen(b"".join([*frames, *frames[2:4]]) + voice.silence(25), [], Detection())
    assert turn.frames == ((0, len(frames) - 1), (2, 3))


@pytest.mark.parametrize(("prefix", "heard"), [(0.4, 0), (0.2, 1)])
def test_ordinary_speech_has_to_last(prefix: float, heard: int) -> None:
    """PrefixPaddingMs says how long ordinary audio must be loud before it is speech."""
    data = LOUD * 2_400 + voice.silence(30)
    assert len(listen(data, [], Detection(prefix=prefix))) == heard


@given(step=st.integers(1, 2_000))
def test_transcription_pieces_are_whole_words_and_add_up(step: int) -> None:
    """However often it is asked for, the pieces end at spaces until the last, and joined they are the transcript."""
    utterance = Utterance()
    pieces = []
    for at, frame in enumerate(voice.speak("Tell me more of it, then", stream=1, first_frame=0, utterance=0)):
        for sound in Ear().hear(AudioInput(frame)):
            utterance.add(sound)
        if at % step == 0:
            pieces.append(utterance.transcribe(final=False))
    assert all(piece == "" or piece.endswith(" ") for piece in pieces)
    assert "".join([*pieces, utterance.transcribe(final=True)]) == "Tell me more of it, then"
    assert utterance.transcribe(final=True) == ""


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 24_000, 44_100, 48_000])
@given(
    lengths=st.lists(st.tuples(st.floats(0.2, 1.5), st.floats(0.6, 1.2)), min_size=1, max_size=3),
    cuts=st.lists(st.integers(0, 10**6), max_size=12),
)
@settings(max_examples=25)
def test_ordinary_audio_does_not_depend_on_its_cuts(
    rate: int, lengths: list[tuple[float, float]], cuts: list[int]
) -> None:
    """Speech and silence, cut at any bytes or not at all, give the same sounds, each of at most 20 ms."""
    data = b"".join(LOUD * int(loud * rate / 2) + HUSHED * int(quiet * rate / 2) for loud, quiet in lengths)
    whole = Ear().hear(AudioInput(data, rate))
    ear = Ear()
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    assert [sound for at, to in pairwise(places) for sound in ear.hear(AudioInput(data[at:to], rate))] == whole
    assert all(sound.seconds <= 0.02 for sound in whole)
    spoken = [turn.seconds for turn in listen(data, cuts, Detection(), rate)]
    assert spoken == pytest.approx([loud for loud, _ in lengths], abs=0.045)


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000])
def test_another_rate_is_judged_by_its_energy(rate: int) -> None:
    """Half a second of ordinary speech at any rate is heard in pieces of 20 ms; a new rate begins a new stream."""
    ear = Ear()
    assert ear.hear(AudioInput(b"\0", rate=22_050)) == []
    sounds = ear.hear(AudioInput(LOUD * (rate // 4), rate))
    assert [sound.speech for sound in sounds] == [True] * 25
    assert [sound.seconds for sound in sounds] == pytest.approx([0.02] * 25)

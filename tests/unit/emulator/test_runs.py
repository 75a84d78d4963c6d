"""Runs of frame numbers count exactly what a plain list of frames would."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from services.emulator import runs
from services.emulator.runs import Runs

FRAMES = st.lists(st.integers(0, 30), max_size=40)


def collect(frames: list[int]) -> Runs:
    """The runs of these frames in this order."""
    collected: Runs = ()
    for frame in frames:
        collected = runs.append(collected, frame)
    return collected


@given(frames=FRAMES)
def test_runs_are_the_frames_in_their_order(frames: list[int]) -> None:
    """Written out, the runs are the very list they were made from; consecutive frames share a run."""
    collected = collect(frames)
    assert [frame for first, last in collected for frame in range(first, last + 1)] == frames
    assert all(left[1] + 1 != right[0] for left, right in pairwise(collected))


@given(frames=FRAMES, start=st.integers(0, 30))
def test_counts_are_those_of_the_list(frames: list[int], start: int) -> None:
    """Distinct, repeated and missing frames are what sets say."""
    collected, distinct = collect(frames), set(frames)
    assert runs.count(collected) == len(frames)
    assert runs.count(runs.merge(collected)) == len(distinct)
    assert runs.repeated(collected) == len(frames) - len(distinct)
    expected = set(range(start, max(distinct) + 1)) - distinct if distinct else set()
    assert runs.missing(collected, start) == len(expected)


def test_undisturbed_speech_is_one_run() -> None:
    """An hour of frames without a hole is one pair."""
    assert collect(list(range(180))) == ((0, 179),)

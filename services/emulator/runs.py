"""Numbers of voice frames in the order they came, as runs of consecutive numbers.

``((0, 99), (50, 60))`` reads: frames 0 to 99 came in order, then 50 to 60 came again. Both ends are included. A run is
what makes an exact account cheap: an hour of undisturbed speech is one pair.
"""

from collections.abc import Iterable

Run = tuple[int, int]
Runs = tuple[Run, ...]


def append(runs: Runs, frame: int) -> Runs:
    """`runs` with one more frame at its end."""
    if runs and runs[-1][1] + 1 == frame:
        return (*runs[:-1], (runs[-1][0], frame))
    return (*runs, (frame, frame))


def merge(runs: Iterable[Run]) -> Runs:
    """The set of frames in `runs`: ascending, apart, each frame once."""
    merged: list[Run] = []
    for first, last in sorted(runs):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return tuple(merged)


def count(runs: Iterable[Run]) -> int:
    """How many frames came, repeated ones counted each time."""
    return sum(last - first + 1 for first, last in runs)


def missing(runs: Iterable[Run], start: int) -> int:
    """How many frames from `start` to the highest that came did not come."""
    merged = [(max(first, start), last) for first, last in merge(runs) if last >= start]
    return merged[-1][1] - start + 1 - count(merged) if merged else 0


def repeated(runs: Iterable[Run]) -> int:
    """How many frames came that had come before."""
    runs = tuple(runs)
    return count(runs) - count(merge(runs))

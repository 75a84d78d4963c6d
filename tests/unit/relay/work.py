"""What a piece of work costs, counted and not timed, so that it is the same on every machine.

No one count sees everything. A call may do much or little, a loop over every byte makes none, and a copy is one step
however long it is; so calls, steps, and bytes are counted, each in a run of its own.
"""

import gc
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any, Final, NamedTuple

import services

WARM, COUNTED = 20, 100
RUNS: Final = WARM + 3 * COUNTED
"""How often `price` does a piece of work."""
_OURS: Final = tuple(services.__path__)
"""Whose steps are counted: a library's are the library's, and its calls count."""
_PARSE: Final = frozenset({"Decoder.decode", "decode", "loads"})
"""How the parsers of msgspec and of the standard library are called; `bytes.decode` is none."""


class Price(NamedTuple):
    """What one piece of work costs, on the average of many.

    Attributes:
        calls: Functions that are called, of Python and of C; a type that is called counts only if it is Python's.
        steps: Instructions of CPython that the product's own code executes.
        parses: Texts of JSON that are parsed.
        held: Bytes that are allocated at once, at the most.
    """

    calls: float
    steps: float
    parses: float
    held: float

    def above(self, pinned: "Price") -> dict[str, str]:
        """Where it is more than it was, each with both numbers; empty if nowhere."""
        return {
            name: f"{now:.2f}, was {was:.2f}"
            for name, now, was, slack in zip(self._fields, self, pinned, SLACK, strict=True)
            if now - was > slack
        }


SLACK: Final = Price(calls=0.5, steps=4, parses=0, held=256)
"""Less than one call, one copy of a frame (two calls of a type are eight steps), one parse, half a frame."""


def price(work: Callable[[], object]) -> Price:
    """What it costs to do this once, when all is warm."""
    _again(work, WARM)
    calls, parses = _calls(partial(_again, work))
    steps = _steps(partial(_again, work))
    return Price(calls / COUNTED, steps / COUNTED, parses / COUNTED, _held(work))


@contextmanager
def allocations() -> Iterator[Callable[[], int]]:
    """Gives what tells how many bytes are held that were allocated since."""

    def held() -> int:
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        yield held
    finally:
        tracemalloc.stop()


def _again(work: Callable[[], object], count: int = COUNTED) -> None:
    for _ in range(count):
        work()


def _calls(work: Callable[[], object]) -> tuple[int, int]:
    """How many functions are called, and how many of them parse."""
    calls = parses = 0

    def see(frame: FrameType, event: str, arg: Any) -> None:  # noqa: ANN401 - as of the interpreter
        nonlocal calls, parses
        if event in {"call", "c_call"}:
            calls += 1
            name = frame.f_code.co_qualname if event == "call" else arg.__qualname__
            parses += name in _PARSE

    sys.setprofile(see)
    try:
        work()
    finally:
        sys.setprofile(None)
    return calls, parses


def _steps(work: Callable[[], object]) -> int:
    """How many instructions the product's code executes."""
    steps = 0

    def inside(_frame: FrameType, event: str, _arg: object) -> Any:  # noqa: ANN401 - as of the interpreter
        nonlocal steps
        steps += event == "opcode"
        return inside

    def see(frame: FrameType, _event: str, _arg: object) -> Any:  # noqa: ANN401 - as of the interpreter
        if not frame.f_code.co_filename.startswith(_OURS):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return inside

    before = sys.gettrace()
    sys.settrace(see)
    try:
        work()
    finally:
        sys.settrace(before)
    return steps


def _held(work: Callable[[], object]) -> float:
    """How many bytes more are held at once than before, on the average."""
    most = 0
    with allocations():
        for _ in range(COUNTED):
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            work()
            most += tracemalloc.get_traced_memory()[1] - before
    return most / COUNTED

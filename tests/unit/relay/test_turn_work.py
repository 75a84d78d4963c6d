"""A guard on the price of a turn: like that on the price of a frame, it counts work and not time.

A whole conversation as a relay holds it; only the wires and the store are doubles. A turn is short here, so that
what is counted is its end: usage, ledger, checkpoints, notices, journal, metrics, the deadline.
"""

import json
import sys
from collections.abc import AsyncIterator
from types import FrameType
from typing import Final, Self

import pytest

from tests.unit.relay.held import Held

WARM, COUNTED = 20, 50
CALLS: Final = 1_891
"""Calls, of Python and of C, for a turn's end, its handle and what is told of them, without its frames. Measured:
whoever changes what a turn does looks at the new number and writes it here, or does it otherwise."""
SLACK: Final = 19
"""A hundredth: what is done by the clock falls into one turn or another."""


@pytest.fixture
async def held() -> AsyncIterator[Held]:
    """A conversation under way."""
    conversation = Held()
    async with conversation.running():
        yield conversation


class Count:
    """How many functions are called while it is open."""

    def __init__(self) -> None:
        self.calls = 0

    def __enter__(self) -> Self:
        sys.setprofile(self._see)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _see(self, _frame: FrameType, event: str, _arg: object) -> None:
        self.calls += event in ("call", "c_call")


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the number is that of CPython 3.11")
async def test_a_turn(held: Held) -> None:
    """No more calls than before; two checkpoints, the second without the ledger that the store has; four notices."""
    for _ in range(WARM):
        await held.turn()
    del held.stub.checkpoints[:], held.client.messages[:]
    with Count() as whole:
        for _ in range(COUNTED):
            await held.turn()
    stored = [
        (len(one.turns), one.HasField("upstream_handle"), one.HasField("ledger")) for one in held.stub.checkpoints
    ]
    assert stored == [(1, False, True), (0, True, False)] * COUNTED
    told = [json.loads(message)["type"] for message in held.client.messages if b'"n"' in message]
    assert told == ["usage", "turn:complete", "covered", "session_resumption_update"] * COUNTED
    with Count() as frames:
        for _ in range(COUNTED):
            held.talk()
            await held.rest()
    turn = (whole.calls - frames.calls) / COUNTED
    assert turn <= CALLS + SLACK, f"{turn:.1f} calls a turn"


async def test_what_is_kept_of_a_turn(held: Held) -> None:
    """Its input is forgotten but for what came after the answer began, which is the next one's."""
    for _ in range(WARM):
        await held.turn(frames=10)
    assert held.live.inputs.weight == 0

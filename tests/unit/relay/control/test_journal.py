"""What is kept for watchers: in order, as it was, and not too much of it."""

import tracemalloc

import pytest

from filo.relay.v1 import relay_pb2 as pb
from services.relay.control.journal import Journal, sequence
from services.relay.core import notices as tell
from services.relay.core.ledger import Breakdown, Ledger
from services.relay.core.model import Usage
from services.relay.ledgers import ledger_message
from tests.support.clock import ManualClock

A_LEDGER = 600
"""Bytes that one may cost; as objects it would be three times that."""


def ledger(turn: int) -> Ledger:
    """What the context might be after so many turns."""
    held = Breakdown(instruction=1000 + turn, user=2000 + turn, model=3000 + turn)
    return Ledger(held=held, estimate=held, usage=Usage(5000 + turn, 300 + turn, {"AUDIO": 4000 + turn}), saved=turn)


@pytest.fixture(name="journal")
def _journal() -> Journal:
    """Nothing has happened."""
    return Journal(3, ManualClock())


async def told(journal: Journal, after: int = 0) -> list[pb.WatchSessionResponse]:
    """Everything that a watcher gets of a conversation that is over."""
    journal.close()
    return [event async for event in journal.follow(after)]


async def test_a_ledger_is_told_as_it_was(journal: Journal) -> None:
    """Each with its own number, whatever came after it."""
    for turn in (1, 2):
        journal.observe(tell.TurnEnded(turn, interrupted=False))
        journal.observe(tell.TokensCounted(turn, ledger(turn)))
    events = await told(journal, sequence(3, 1))
    assert [event.sequence for event in events] == [sequence(3, number) for number in (2, 3, 4)]
    assert [event.ledger for event in events if event.HasField("ledger")] == [
        ledger_message(ledger(turn)) for turn in (1, 2)
    ]


async def test_only_the_newest_are_kept(journal: Journal) -> None:
    """A watcher that was away for too long begins with the oldest that there is, under its own number."""
    for turn in range(1, 1001):
        journal.observe(tell.TokensCounted(turn, ledger(turn)))
    events = await told(journal)
    assert [event.sequence for event in events] == [sequence(3, number) for number in range(745, 1001)]


def test_what_is_kept_is_small(journal: Journal) -> None:
    """A conversation's last hundred turns weigh little."""
    journal.observe(tell.TokensCounted(1, ledger(1)))
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for turn in range(1, 257):
            journal.observe(tell.TokensCounted(turn, ledger(turn)))
        weight = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert 0 < weight < 256 * A_LEDGER

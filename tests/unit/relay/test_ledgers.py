"""The ledger on the wire."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from filo.handles.v1 import resources_pb2 as resources
from services.relay.core.ledger import Breakdown, Ledger
from services.relay.core.model import Usage
from services.relay.ledgers import ledger, ledger_message

TOKENS = st.integers(0, 10**6)
PARTS = st.builds(Breakdown, *[TOKENS] * 6)


@given(PARTS, PARTS, st.lists(TOKENS, min_size=9, max_size=9), st.integers(1, 10**6), st.integers(0, 10**6))
def test_a_ledger_comes_back_as_it_went(
    held: Breakdown, estimate: Breakdown, counts: list[int], response: int, more: int
) -> None:
    """From one relay to the next: every category, what was billed and what was saved."""
    usage = Usage(max(1, held.total - response), min(response, held.total - 1), {"TEXT": 5}, 0, {"AUDIO": 7})
    given = estimate.feedback_live + estimate.feedback_stale + more
    before = replace(Ledger(held, estimate, usage if held.total > 1 else None, *counts), given=given)
    after = ledger(ledger_message(before))
    assert after == before
    assert ledger_message(after).context_tokens == held.total


def test_no_ledger_is_an_empty_one() -> None:
    """A conversation whose first turn is still to come."""
    assert ledger(resources.Ledger()) == Ledger()

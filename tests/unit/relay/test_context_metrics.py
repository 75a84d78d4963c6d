"""What contexts hold, what advice costs and what became of it, counted."""

import pytest
from prometheus_client import CollectorRegistry

from services.relay.context_metrics import CATEGORIES, ContextMetrics
from services.relay.core import notices as tell
from services.relay.core.ledger import Breakdown, Ledger
from services.relay.core.model import FeedbackChange, FeedbackState
from services.relay.metrics import Metrics
from services.relay.reconnects import Side

HELD = Breakdown(instruction=1, user=2, model=3, feedback_live=4, feedback_stale=5, tools=6)
LEDGER = Ledger(held=HELD, saved=700)
EXPECTED = {
    ("s1", "instruction"): 1.0,
    ("s1", "user"): 2.0,
    ("s1", "model"): 3.0,
    ("s1", "feedback_live"): 4.0,
    ("s1", "feedback_stale"): 5.0,
    ("s1", "tools"): 6.0,
}


def shown(registry: CollectorRegistry) -> dict[tuple[str, str], float]:
    """The series of single sessions."""
    (family,) = [family for family in registry.collect() if family.name == "filo_relay_session_context_tokens"]
    return {(sample.labels["session"], sample.labels["category"]): sample.value for sample in family.samples}


def test_a_session_is_shown_until_it_leaves() -> None:
    """Each category by its own ledger field; gone when the session is over here, and that may be said twice."""
    registry = CollectorRegistry()
    metrics = ContextMetrics(registry, sessions=2)
    assert shown(registry) == {}
    metrics.counted("s1", LEDGER, Ledger())
    assert shown(registry) == EXPECTED
    metrics.counted("s1", Ledger(held=Breakdown(user=9)), Ledger(saved=700))
    assert shown(registry) == {key: 9.0 if key == ("s1", "user") else 0.0 for key in EXPECTED}
    metrics.left("s1")
    metrics.left("s1")
    assert shown(registry) == {}


def test_a_session_that_moves_here_is_shown_as_it_was_stored() -> None:
    """Not as an empty context until its next turn; one that never had a turn takes no place."""
    registry = CollectorRegistry()
    metrics = ContextMetrics(registry, sessions=1)
    metrics.came("s0", Ledger())
    assert shown(registry) == {}
    metrics.came("s1", LEDGER)
    metrics.reconnected("s1", Side.CLIENT)
    metrics.came("s2", LEDGER)
    assert shown(registry) == EXPECTED
    assert registry.get_sample_value("filo_relay_context_category_tokens_count", {"category": "user"}) == 0


def test_reconnects_of_a_session_are_shown_until_it_leaves() -> None:
    """By side, from 0; within the same bound as its context, and gone with it."""
    registry = CollectorRegistry()
    metrics = ContextMetrics(registry, sessions=1)
    for session in ("s1", "s2"):
        metrics.reconnected(session, Side.UPSTREAM)
        metrics.reconnected(session, Side.UPSTREAM)
    (family,) = [family for family in registry.collect() if family.name == "filo_relay_session_reconnects"]
    counted = {(sample.labels["session"], sample.labels["side"]): sample.value for sample in family.samples}
    assert counted == {("s1", "upstream"): 2.0, ("s1", "client"): 0.0}
    metrics.left("s1")
    assert registry.get_sample_value("filo_relay_session_reconnects", {"session": "s1", "side": "upstream"}) is None
    assert shown(registry) == {}


@pytest.mark.parametrize("most", [0, 1, 3])
def test_sessions_with_series_are_bounded(most: int) -> None:
    """Whoever comes first has them; a place becomes free when one leaves. The histograms count all."""
    registry = CollectorRegistry()
    metrics = ContextMetrics(registry, sessions=most)
    for number in range(5):
        metrics.counted(f"s{number}", LEDGER, Ledger())
    assert {session for session, _ in shown(registry)} == {f"s{number}" for number in range(most)}
    for category in CATEGORIES:
        count = registry.get_sample_value("filo_relay_context_category_tokens_count", {"category": category})
        assert count == 5
    metrics.left("s0")
    metrics.counted("s4", LEDGER, Ledger(saved=700))
    assert ("s4" in {session for session, _ in shown(registry)}) is (most > 0)


def test_what_was_saved_only_grows() -> None:
    """By what each turn adds; a ledger that says less, after another reckoning, takes nothing back."""
    registry = CollectorRegistry()
    metrics = ContextMetrics(registry, sessions=0)
    for before, after in ((0, 100), (100, 350), (350, 300), (300, 301)):
        metrics.counted("s", Ledger(saved=after), Ledger(saved=before))
    assert registry.get_sample_value("filo_relay_feedback_tokens_saved_total") == 351


def test_a_removal_that_did_not_show_is_counted() -> None:
    """Once, at the turn whose usage did not show it."""
    registry = CollectorRegistry()
    metrics = ContextMetrics(registry, sessions=0)
    name = "filo_relay_feedback_unverified_removals_total"
    assert registry.get_sample_value(name) == 0
    for before, after in ((0, 0), (0, 1), (1, 1), (1, 3)):
        ledgers = [Ledger(unverified=count) for count in (after, before)]
        metrics.counted("s", *ledgers)
    assert registry.get_sample_value(name) == 3


def test_every_state_is_counted_but_the_one_in_which_it_was_given() -> None:
    """From 0 on, as those who watch are told, once; who has taken an item from the platform has counted it."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    for at, state in enumerate(FeedbackState, 1):
        assert registry.get_sample_value("filo_relay_feedback_total", {"state": state.value}) == 0
        for _ in range(at):
            metrics.observe(tell.FeedbackChanged(FeedbackChange("1", state)), test=False)
        metrics.observe(tell.FeedbackChanged(FeedbackChange("1", state, again=True)), test=False)
        counted = 0 if state is FeedbackState.ACCEPTED else at
        assert registry.get_sample_value("filo_relay_feedback_total", {"state": state.value}) == counted

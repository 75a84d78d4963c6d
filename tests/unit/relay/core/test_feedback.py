"""What becomes of advice: it waits, it is live, stale, leaving, removed; and which policy does what."""

from dataclasses import replace

import pytest

from services.relay.core.capabilities import UNHINDERED, Backend, capability
from services.relay.core.feedback import PREFIX, Advice, tokens, worded
from services.relay.core.ledger import Verdict
from services.relay.core.model import Feedback, FeedbackChange, FeedbackPolicy, FeedbackState, Policy
from services.relay.core.policies import RULES, Rule, chosen, replacing_is_cheaper
from services.relay.core.rotation import Strippable

AUTO, APPEND, JUST_IN_TIME, REPLACE, REBASE = FeedbackPolicy
ACCEPTED, SUPERSEDED, EXPIRED, DELIVERED, REMOVED = FeedbackState
POLICY = Policy()


def item(number: int, *, expires_at: float | None = None) -> Feedback:
    """An item as it is given."""
    return Feedback(str(number), f"advice {number}", expires_at=expires_at)


def stored(number: int, turn: int, detail: str = "rebase") -> Feedback:
    """An item that an earlier relay has delivered."""
    return replace(item(number), state=DELIVERED, turn=turn, tokens=10, detail=detail)


def states(advice: Advice) -> list[tuple[str, FeedbackState]]:
    """What has become of which item."""
    return [(change.id, change.state) for change in advice.changes()]


@pytest.mark.parametrize(
    ("policy", "rule"),
    [
        (APPEND, Rule(at_once=True, in_instruction=False, rebuilds=False)),
        (JUST_IN_TIME, Rule(at_once=False, in_instruction=False, rebuilds=False)),
        (REPLACE, Rule(at_once=False, in_instruction=True, rebuilds=False)),
        (REBASE, Rule(at_once=False, in_instruction=False, rebuilds=True)),
    ],
)
def test_what_a_policy_does(policy: FeedbackPolicy, rule: Rule) -> None:
    """The table, row by row; `auto` alone is not in it."""
    assert RULES[policy] == rule
    assert set(RULES) == set(FeedbackPolicy) - {AUTO}


def test_the_newest_wins() -> None:
    """An item that has not been delivered when the next one comes never is."""
    advice = Advice()
    assert advice.given(item(1), 0.0)
    assert advice.given(item(2), 0.0)
    assert not advice.given(item(1), 0.0), "it was told before"
    assert states(advice) == [("1", ACCEPTED), ("1", SUPERSEDED), ("2", ACCEPTED)]
    assert advice.deliver(1, REBASE) is not None
    assert advice.waiting is None
    assert advice.changes() == (FeedbackChange("2", DELIVERED, 1, tokens(item(2)), "rebase"),)


def test_advice_that_has_waited_too_long_is_not_delivered() -> None:
    """Its time to live counts until it is delivered, and only until then."""
    advice = Advice()
    advice.given(item(1, expires_at=10.0), 5.0)
    advice.expire(9.9)
    assert advice.waiting is not None
    advice.expire(10.0)
    assert states(advice) == [("1", ACCEPTED), ("1", EXPIRED)]
    assert advice.deliver(1, REBASE) is None
    advice.given(item(2, expires_at=10.0), 11.0)
    assert states(advice) == [("2", ACCEPTED), ("2", EXPIRED)], "it came too late"
    advice.given(item(3, expires_at=20.0), 11.0)
    advice.deliver(1, REBASE)
    advice.expire(30.0)
    assert states(advice) == [("3", ACCEPTED), ("3", DELIVERED)]


def test_the_newest_wins_over_one_whose_turn_is_not_over() -> None:
    """A noise has brought the older one: it stays in the talk, and the newer one comes after it, for the same turn."""
    advice = Advice()
    advice.given(item(1), 0.0)
    advice.deliver(1, JUST_IN_TIME)
    advice.given(item(2), 0.0)
    advice.changes()
    delivery = advice.deliver(1, JUST_IN_TIME)
    assert delivery is not None
    assert [one.feedback.id for one in delivery.instead] == ["1"]
    assert [(change.id, change.state, change.detail) for change in advice.changes()] == [
        ("1", DELIVERED, "just_in_time, overtaken by 2"),
        ("2", DELIVERED, "just_in_time"),
    ]
    assert [one.feedback.id for one in advice.live] == ["2"]
    assert [one.feedback.id for one in advice.overtaken_in(1)] == ["1"]
    advice.turn_over(1)
    assert ([one.feedback.id for one in advice.stale], advice.overtaken_in(2)) == (["1", "2"], [])


def test_of_two_for_the_turn_in_progress_another_relay_owes_the_newer() -> None:
    """The older one had been overtaken; the context that it was in is gone with the relay."""
    for detail in ("rebase", "replace"):
        advice = Advice((stored(1, 3, detail), stored(2, 3, detail)), last_turn=2)
        assert [one.feedback.id for one in advice.owed] == ["2"]
        advice.opened(2, with_live=False)
        assert states(advice) == [("1", REMOVED)]
    both = Advice((stored(1, 3, "append"), stored(2, 3, "append")), last_turn=2)
    assert [one.feedback.id for one in both.owed] == ["1", "2"]


def test_append_brings_all_of_it() -> None:
    """The old way: whatever is given is added."""
    advice = Advice()
    for number in (1, 2):
        advice.given(item(number), 0.0)
        advice.deliver(1, APPEND)
    assert len(advice.live) == 2


def test_in_the_instruction_the_next_takes_its_place() -> None:
    """Where a cough has brought an item that no turn was answered with; that it is gone, a usage has to show."""
    advice = Advice()
    advice.given(item(1), 0.0)
    advice.deliver(1, REPLACE)
    advice.given(item(2), 0.0)
    advice.changes()
    delivery = advice.deliver(1, JUST_IN_TIME)
    assert delivery is not None
    assert delivery.item.in_instruction, "not beside it"
    assert states(advice) == [("2", DELIVERED)]
    assert ([one.feedback.id for one in advice.live], len(advice.leaving)) == (["2"], 1)
    advice.judged(Verdict.SEEN, 1)
    assert [change.detail for change in advice.changes()] == ["replaced before its turn was over, seen in the usage"]


def test_after_its_turn_it_is_stale_and_leaves_the_instruction_when_that_is_cleared() -> None:
    """In the talk it stays until something takes it out; in the instruction, until that is the conversation's own."""
    for policy, out in {REBASE: [], REPLACE: ["1"]}.items():
        advice = Advice()
        advice.given(item(1), 0.0)
        advice.deliver(3, policy)
        assert advice.turn_over(2) == [], "its turn is not over"
        assert [one.feedback.id for one in advice.turn_over(3)] == ["1"]
        assert advice.to_clear == bool(out)
        assert [one.feedback.id for one in advice.cleared()] == out
        assert (len(advice.live), len(advice.stale), len(advice.leaving)) == (0, 1 - len(out), len(out))
        assert not advice.to_clear


@pytest.mark.parametrize(
    ("verdict", "change"),
    [
        (Verdict.SEEN, (REMOVED, "instruction, seen in the usage")),
        (Verdict.TOO_SMALL, (REMOVED, "instruction, too small to be seen")),
        (Verdict.UNSEEN, (DELIVERED, "instruction: the usage shows no removal")),
        (Verdict.NOTHING, (REMOVED, "instruction, with no usage to compare")),
    ],
)
def test_a_removal_is_what_the_usage_shows(verdict: Verdict, change: tuple[FeedbackState, str]) -> None:
    """Taken out is not gone: the next prompt tells, and what is still there is stale."""
    advice = Advice()
    advice.given(item(1), 0.0)
    advice.deliver(1, REPLACE)
    advice.turn_over(1)
    advice.changes()
    advice.cleared()
    advice.judged(verdict, 1)
    assert advice.changes() == (), "it was still there when its own turn was counted"
    advice.judged(verdict, 2)
    assert [(one.state, one.detail) for one in advice.changes()] == [change]
    assert (len(advice.stale), advice.leaving) == (verdict is Verdict.UNSEEN, [])


def test_a_removal_from_the_instruction_that_did_not_show_is_tried_once_more() -> None:
    """By the next connection, whose instruction is set anew; after that, only a rebuilt session has none of it."""
    advice = Advice()
    advice.given(item(1), 0.0)
    advice.deliver(1, REPLACE)
    advice.turn_over(1)
    advice.cleared()
    advice.judged(Verdict.UNSEEN, 2)
    assert not advice.to_clear, "that was tried"
    assert advice.strippable.now == tokens(item(1)), "a rebuild would help"
    advice.changes()
    assert [one.feedback.id for one in advice.opened(2, with_live=False)] == ["1"]
    advice.judged(Verdict.UNSEEN, 3)
    assert [(one.state, one.detail) for one in advice.changes()] == [
        (DELIVERED, "a new connection: the usage shows no removal")
    ]
    assert advice.opened(3, with_live=False) == []
    assert (len(advice.stale), advice.strippable.now) == (1, tokens(item(1)))
    advice.opened(None, with_live=False)
    advice.judged(Verdict.SEEN, 4)
    assert [one.detail for one in advice.changes()] == ["rebuilt, seen in the usage"]


def test_another_relay_tries_it_too() -> None:
    """What the store has of it says where it is."""
    advice = Advice((stored(1, 1, "instruction: the usage shows no removal"),), last_turn=2)
    assert not advice.to_clear
    assert [one.feedback.id for one in advice.opened(2, with_live=False)] == ["1"]
    advice.judged(Verdict.SEEN, 3)
    assert [one.detail for one in advice.changes()] == ["a new connection, seen in the usage"]


def test_what_was_taken_out_is_left_behind_by_an_older_context() -> None:
    """No usage need show that: the turn that it served is not in this context."""
    advice = Advice()
    advice.given(item(1), 0.0)
    advice.deliver(2, REPLACE)
    advice.turn_over(2)
    advice.cleared()
    advice.changes()
    advice.opened(1, with_live=False)
    assert states(advice) == [("1", REMOVED)]
    assert advice.leaving == []


def test_a_rebuilt_session_has_nothing_stale() -> None:
    """It is told the clean transcript; what is live is owed to it."""
    advice = Advice((stored(1, 1), stored(2, 2), stored(3, 3)), last_turn=2)
    assert [one.feedback.id for one in advice.owed] == ["3"]
    assert advice.strippable == Strippable(now=20, soon=30)
    advice.opened(None, with_live=True)
    assert [one.by for one in advice.leaving] == ["rebuilt", "rebuilt"]
    assert (advice.strippable, advice.stale) == (Strippable(now=0, soon=10), [])


def test_a_resumed_session_has_what_its_handle_covers() -> None:
    """Turns that are told again are told without their advice; the instruction is set anew with each connection."""
    given = (stored(1, 1), stored(2, 2, "replace"), stored(3, 3), stored(4, 4))
    advice = Advice(given, last_turn=4)
    advice.opened(2, with_live=False)
    assert [one.feedback.id for one in advice.stale] == ["1"]
    assert [one.feedback.id for one in advice.leaving] == ["2"]
    assert states(advice) == [("3", REMOVED), ("4", REMOVED)]
    again = Advice(given, last_turn=4)
    again.opened(2, with_live=True)
    assert [one.feedback.id for one in again.stale] == ["1", "3"], "the context holds the advice of the turn after"


def test_live_advice_is_owed_to_a_context_that_does_not_hold_it() -> None:
    """And to no other; what is in the instruction must be set again with each connection."""
    for policy, with_live, owed in (
        (REBASE, False, 1),
        (REBASE, True, 0),
        (REPLACE, False, 1),
        (REPLACE, True, 1),
    ):
        advice = Advice()
        advice.given(item(1), 0.0)
        advice.deliver(1, policy)
        assert advice.owed == []
        advice.opened(0, with_live=with_live)
        assert len(advice.owed) == owed


def test_a_relay_that_attaches_knows_what_waits() -> None:
    """And which numbers it has been told already."""
    advice = Advice((stored(6, 1), item(7)), last_turn=1)
    assert advice.waiting == item(7)
    assert not advice.given(item(7), 0.0)
    assert advice.given(item(8), 0.0)


def test_an_old_word_of_an_item_takes_nothing_back() -> None:
    """Another relay has dealt with it since it was given, and so the store no longer told of it."""
    advice = Advice((), last_turn=3, newest=7)
    assert not advice.given(item(7), 0.0)
    assert (advice.waiting, advice.changes()) == (None, ())
    assert advice.given(item(8), 0.0)


def test_what_append_would_have_brought() -> None:
    """Every item counts once, when it stops waiting."""
    advice = Advice()
    for number in (1, 2):
        advice.given(item(number), 0.0)
    assert advice.take_given() == tokens(item(1))
    advice.deliver(1, REBASE)
    assert advice.take_given() == tokens(item(2))
    advice.given(item(3, expires_at=1.0), 2.0)
    assert (advice.take_given(), advice.take_given()) == (tokens(item(3)), 0)


def test_advice_is_marked_as_such() -> None:
    """With the prefix of the platform, which costs tokens as well."""
    assert worded("be brief") == f"{PREFIX}be brief"
    assert tokens(item(1)) == (len(PREFIX) + len("advice 1")) // 4


@pytest.mark.parametrize(
    ("wish", "model", "context", "policy"),
    [
        (APPEND, "gemini-live-2.5-flash", 20_000, APPEND),
        (JUST_IN_TIME, "gemini-live-2.5-flash", 20_000, JUST_IN_TIME),
        (REBASE, "gemini-live-2.5-flash", 20_000, REBASE),
        (REPLACE, "gemini-live-2.5-flash", 20_000, REPLACE),
        (REPLACE, "gemini-3.1-flash-live", 20_000, REBASE),
        (AUTO, "gemini-live-2.5-flash", 20_000, REBASE),
        (AUTO, "gemini-live-2.5-flash", 100, REPLACE),
        (AUTO, "gemini-3.1-flash-live", 100, REBASE),
    ],
)
def test_the_policy_of_the_next_item(wish: FeedbackPolicy, model: str, context: int, policy: FeedbackPolicy) -> None:
    """As asked for, where the model allows it; `auto` asks what it costs."""
    assert chosen(wish, capability(model, Backend.VERTEX), context, POLICY) is policy


def test_what_replacing_costs() -> None:
    """Without a discount for cached tokens it is never dearer; with one, only for a small context."""
    assert replacing_is_cheaper(1_000_000, replace(POLICY, cached_price=1.0))
    assert replacing_is_cheaper(740, POLICY)
    assert not replacing_is_cheaper(741, POLICY)
    assert replacing_is_cheaper(10**6, replace(POLICY, rebase_tokens=1)), "a rebuild for each item is no better"
    assert chosen(AUTO, UNHINDERED, 0, POLICY) is REPLACE

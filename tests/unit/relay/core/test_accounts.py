"""The ledger, kept over turns and connections."""

import pytest

from services.relay.core.accounts import MOST_KEPT, Accounts, answered, written
from services.relay.core.ledger import Breakdown, Ledger, Verdict
from services.relay.core.model import Told, ToolCall, Usage
from services.relay.core.pieces import AUDIO, TEXT, Category, Piece


def usage(text: int, audio: int = 0, answer: int = 0) -> Usage:
    """A usage with its modalities; answers are spoken."""
    return Usage(text + audio, answer, {TEXT: text, AUDIO: audio}, 0, {AUDIO: answer})


@pytest.fixture(name="it")
def accounts() -> Accounts:
    """Of a new conversation with an instruction of 100 tokens, connected."""
    accounts = Accounts(Ledger(), 400)
    accounts.opened(None, Told())
    return accounts


def turn(it: Accounts, number: int, text: int, audio: int, answer: int = 50) -> Verdict:
    """A turn of two seconds of the client's voice, counted and completed."""
    it.counted(number, usage(text, audio, answer), [], heard=2.0, answer=answered(answer / 25, 0))
    it.turn_over(number, [])
    return it.take_shown().verdict


def taken_out(it: Accounts, number: int) -> None:
    """The advice in the instruction has served this turn, and the instruction is cleared."""
    it.served(number, in_instruction=True)
    it.taken_out(number, 400)


def test_what_a_turn_brings() -> None:
    """Typed words, tools with their results, an answer in sound or in words."""
    calls = [ToolCall("c1", "look", {"sku": "A-7"}, {"price": 5}), ToolCall("c2", "wait", {})]
    assert written(10, calls) == [
        Piece(Category.USER, TEXT, 3),
        Piece(Category.TOOLS, TEXT, 5),  # look({"sku":"A-7"})
        Piece(Category.TOOLS, TEXT, 5),  # look: {"price":5}
        Piece(Category.TOOLS, TEXT, 2),  # wait({})
    ]
    assert answered(2.0, 99) == (Piece(Category.MODEL, AUDIO, 50),)
    assert answered(0.0, 99) == (Piece(Category.MODEL, TEXT, 25),)


def test_a_turn_is_counted(it: Accounts) -> None:
    """The instruction once, then what each turn brings."""
    turn(it, 1, 100, 50)
    turn(it, 2, 100, 150)
    assert it.ledger.held == Breakdown(instruction=100, user=100, model=100)
    assert it.ledger.estimate == it.ledger.held


def test_usage_may_come_after_the_turn(it: Accounts) -> None:
    """Then what the turn brought has waited for it."""
    it.turn_over(1, written(40, ()))
    it.counted(1, usage(110, 0, 50), [], heard=0.0, answer=())
    assert it.ledger.held == Breakdown(instruction=100, user=10, model=50)
    turn(it, 2, 110, 100)
    assert it.ledger.held == Breakdown(instruction=100, user=60, model=100)


def test_usage_may_come_more_than_once_in_a_turn(it: Accounts) -> None:
    """As with a message that asks for a tool: each prompt is billed, and what the turn has brought is in it once."""
    turn(it, 1, 100, 50)
    asked, done = ToolCall("c1", "look", {"sku": "A-7"}), ToolCall("c1", "look", {"sku": "A-7"}, {"price": 5})
    it.advised(400)
    it.counted(2, usage(515, 150), written(40, [asked]), heard=2.0, answer=())
    it.counted(2, usage(520, 150, 50), written(40, [done]), heard=2.0, answer=answered(2.0, 0))
    it.turn_over(2, [])
    assert it.ledger.held == Breakdown(instruction=100, user=110, model=100, feedback_live=400, tools=10)
    assert it.ledger.estimate == it.ledger.held
    assert it.ledger.billed == 200 + 665 + 720
    assert it.ledger.compressions == 0


def test_a_turn_that_begins_again_is_another_one(it: Accounts) -> None:
    """What it had been counted for was on a connection that is gone."""
    turn(it, 1, 100, 50)
    it.counted(2, usage(110, 100), written(40, ()), heard=0.0, answer=())
    it.opened(1, Told())
    it.counted(2, usage(110, 100, 50), written(40, ()), heard=0.0, answer=answered(2.0, 0))
    assert it.ledger.held == Breakdown(instruction=100, user=60, model=100)
    assert it.ledger.estimate == it.ledger.held


def test_a_handle_takes_the_context_back(it: Accounts) -> None:
    """What the handle does not cover is told as text; what was billed stays billed."""
    turn(it, 1, 100, 50)
    turn(it, 2, 100, 150)
    it.opened(1, Told(10, 20, 1))
    turn(it, 3, 130, 150)
    assert it.ledger.held == Breakdown(instruction=100, user=50 + 10 + 50, model=50 + 20 + 50)
    assert it.ledger.billed == 200 + 300 + 330


def test_a_handle_that_covers_all_changes_nothing(it: Accounts) -> None:
    """Also where the ledger of that turn is the stored one, of another relay."""
    turn(it, 1, 100, 50)
    it.covered(1)
    it.opened(1, Told())
    turn(it, 2, 100, 150)
    assert it.ledger.held.total == 300
    stored = Accounts(it.ledger, 400)
    stored.opened(2, Told())
    turn(stored, 3, 100, 250)
    assert stored.ledger.held == Breakdown(instruction=100, user=150, model=150)


def test_only_so_many_ledgers_are_kept(it: Accounts) -> None:
    """A server that never gives a handle costs no memory; an older one is judged by what there is."""
    for number in range(1, MOST_KEPT + 10):
        turn(it, number, 100, 50, 0)
    it.opened(1, Told())
    assert it.ledger.held.total == 150


def test_advice_in_the_talk_becomes_stale(it: Accounts) -> None:
    """Live in the turn that it serves, stale in the next."""
    it.advised(400)
    assert turn(it, 1, 500, 50) is Verdict.NOTHING
    assert it.ledger.held.feedback_live == 400
    it.served(1, in_instruction=False)
    it.advised(300)
    assert turn(it, 2, 800, 150) is Verdict.NOTHING
    assert it.ledger.held == Breakdown(100, 100, 100, 300, 400)


@pytest.mark.parametrize(
    ("text", "verdict", "stale"), [(100, Verdict.SEEN, 0), (500, Verdict.UNSEEN, 400), (320, Verdict.UNSEEN, 400)]
)
def test_advice_in_the_instruction_is_gone_if_the_usage_says_so(
    it: Accounts, text: int, verdict: Verdict, stale: int
) -> None:
    """Otherwise it is still there, and counted as a removal that did not show."""
    it.advised(400)
    turn(it, 1, 500, 50)
    taken_out(it, 1)
    assert turn(it, 2, text, 150) is verdict
    assert it.ledger.unverified == (verdict is Verdict.UNSEEN)
    assert it.ledger.held.feedback_stale <= stale
    assert it.ledger.context == text + 150 + 50


def test_a_turn_without_usage_leaves_no_advice_behind(it: Accounts) -> None:
    """It was removed before it was ever counted."""
    it.advised(400)
    it.turn_over(1, [])
    taken_out(it, 1)
    it.advised(300)
    turn(it, 2, 400, 100)
    assert (it.ledger.held.feedback_live, it.ledger.held.feedback_stale) == (300, 0)


def test_usage_after_the_turn_removes_its_own_advice(it: Accounts) -> None:
    """Not that of the turn before."""
    it.advised(400)
    it.turn_over(1, [])
    taken_out(it, 1)
    it.counted(1, usage(500, 50, 50), [], heard=2.0, answer=())
    assert (it.take_shown().verdict, it.ledger.held.feedback_live) == (Verdict.NOTHING, 400)
    assert turn(it, 2, 100, 150) is Verdict.SEEN


@pytest.mark.parametrize(("text", "verdict"), [(130, Verdict.SEEN), (830, Verdict.UNSEEN)])
def test_a_rebuilt_session_shows_what_it_left_behind(it: Accounts, text: int, verdict: Verdict) -> None:
    """Instruction and transcript, as this conversation's text has turned out to cost, and no advice."""
    for number in (1, 2):
        it.advised(400)
        turn(it, number, 110 + 400 * number, 100 * number - 50)
        it.served(number, in_instruction=False)
    it.rebased()
    it.opened(None, Told(10, 10, 2))
    assert turn(it, 3, text, 50) is verdict
    assert it.ledger.rebases == 1
    assert it.ledger.held.feedback_stale == (700 if verdict is Verdict.UNSEEN else 0) or verdict is Verdict.UNSEEN
    assert it.ledger.context == text + 100


def test_a_session_that_never_answered_has_left_nothing(it: Accounts) -> None:
    """Two rebuilds in a row: what the first left behind is judged by the first answer."""
    it.advised(400)
    turn(it, 1, 500, 50)
    it.served(1, in_instruction=False)
    for _ in range(2):
        it.opened(None, Told(10, 10, 1))
    assert turn(it, 2, 120, 50) is Verdict.SEEN


def test_a_verdict_is_told_once(it: Accounts) -> None:
    """And none before there is something to judge."""
    assert it.take_shown().verdict is Verdict.NOTHING
    it.advised(400)
    turn(it, 1, 500, 50)
    taken_out(it, 1)
    it.counted(2, usage(100, 150), [], heard=2.0, answer=())
    assert [it.take_shown().verdict, it.take_shown().verdict] == [Verdict.SEEN, Verdict.NOTHING]


def test_another_relay_knows_that_the_instruction_is_new() -> None:
    """Advice that was in the instruction at the last turn is not in the next connection's."""
    stored = Ledger(held=Breakdown(100, 50, 50, 400), usage=usage(500, 50, 50))
    it = Accounts(stored, 400, turn=1)
    it.opened(1, Told(), [(1, 400)])
    assert turn(it, 2, 100, 150) is Verdict.SEEN


def test_what_is_given_and_rebuilt_is_known_without_usage(it: Accounts) -> None:
    """The ledger of the newest counted turn is told with it."""
    it.given(400)
    it.rebased()
    before = Ledger(uncached=5)
    assert it.carried_into(before) == Ledger(uncached=5, given=400, rebases=1)


def test_declarations_of_tools_are_in_every_prompt() -> None:
    """With the instruction, from the beginning of a session."""
    it = Accounts(Ledger(), 400, 200)
    it.opened(None, Told())
    turn(it, 1, 150, 50)
    assert it.ledger.held == Breakdown(instruction=100, user=50, model=50, tools=50)

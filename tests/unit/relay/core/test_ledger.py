"""Tokens by category: estimates, and how they are reconciled with what Gemini says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.relay.core.ledger import Breakdown, Expectation, Ledger, Verdict
from services.relay.core.model import Usage
from services.relay.core.pieces import AUDIO, TEXT, Category, Piece, of_audio, of_text

INSTRUCTION, USER, MODEL, LIVE, STALE, TOOLS = Category


def usage(text: int, audio: int = 0, answer: int = 0, cached: int = 0) -> Usage:
    """A usage with its modalities; answers are spoken."""
    return Usage(text + audio, answer, {TEXT: text, AUDIO: audio}, cached, {AUDIO: answer})


PIECES = st.lists(
    st.builds(Piece, st.sampled_from(Category), st.sampled_from([TEXT, AUDIO]), st.integers(0, 10_000)), max_size=6
)
USAGES = st.one_of(
    st.builds(Usage, st.integers(1, 10**6), st.integers(0, 10**5)),
    st.builds(usage, st.integers(1, 10**6), st.integers(0, 10**6), st.integers(0, 10**5)),
)


def test_what_a_piece_should_cost() -> None:
    """Four characters a token, a part of one counts as one; 25 tokens a second of sound."""
    assert of_text(TOOLS, "") == Piece(TOOLS, TEXT, 0)
    assert of_text(TOOLS, "12345") == Piece(TOOLS, TEXT, 2)
    assert of_audio(USER, 2.0) == Piece(USER, AUDIO, 50)


def test_the_first_prompt_is_shared_out_in_proportion() -> None:
    """Estimates say who has how much of it; Gemini says how much there is."""
    ledger = Ledger().count(Usage(330, 30), [Piece(INSTRUCTION, TEXT, 200), Piece(USER, TEXT, 100)])
    assert ledger.held == Breakdown(instruction=220, user=110, model=30)
    assert ledger.estimate == Breakdown(instruction=200, user=100)
    assert (ledger.context, ledger.billed, ledger.expected) == (360, 360, 300)


def test_modalities_keep_estimates_apart() -> None:
    """An error in the length of a voice is no error of the instruction."""
    pieces = [Piece(INSTRUCTION, TEXT, 100), Piece(USER, AUDIO, 10), Piece(LIVE, TEXT, 100)]
    first = Ledger().count(usage(200, 40, answer=50), pieces)
    assert first.held == Breakdown(instruction=100, user=40, model=50, feedback_live=100)
    second = first.count(usage(200, 130, answer=20), [Piece(USER, AUDIO, 35)])
    assert second.held == Breakdown(instruction=100, user=80, model=70, feedback_live=100)


def test_an_estimate_is_wrong_by_a_factor_of_two_at_most() -> None:
    """What is beyond belongs to the instruction where that is new, and otherwise to the user."""
    pieces = [Piece(INSTRUCTION, TEXT, 100), Piece(LIVE, TEXT, 50)]
    assert Ledger().count(Usage(1000, 0), pieces).held == Breakdown(instruction=900, feedback_live=100)
    assert Ledger().count(Usage(1000, 0), pieces[1:]).held == Breakdown(user=900, feedback_live=100)


def test_what_nobody_expected_is_the_users() -> None:
    """A prompt that grew without a known piece."""
    first = Ledger().count(Usage(100, 10), [Piece(INSTRUCTION, TEXT, 100)])
    assert first.count(Usage(150, 5), []).held == Breakdown(instruction=100, user=40, model=15)


def test_cached_and_uncached_are_billed_apart() -> None:
    """Every prompt is billed whole; what came from the cache is counted as such."""
    ledger = Ledger().count(usage(100, answer=10), []).count(usage(200, answer=20, cached=90), [])
    assert (ledger.cached, ledger.uncached, ledger.responses, ledger.billed) == (90, 210, 30, 330)


def test_thoughts_are_billed_and_not_kept() -> None:
    """So are the results of Gemini's own tools: no later prompt is expected to hold them."""
    ledger = Ledger().count(Usage(100, 20, thoughts=300, tool_results=50), [])
    assert (ledger.uncached, ledger.responses, ledger.billed, ledger.context) == (150, 320, 470, 120)


def test_compression_takes_from_the_talk() -> None:
    """User, model, tools and stale feedback shrink in proportion; the instruction and live feedback stay."""
    held = Breakdown(instruction=100, user=400, model=400, feedback_live=50, feedback_stale=100, tools=100)
    before = Ledger(held=held, usage=Usage(1100, 50))
    ledger = before.count(Usage(650, 0), [])
    assert ledger.held == Breakdown(instruction=100, user=200, model=200, feedback_live=50, feedback_stale=50, tools=50)
    assert ledger.compressions == 1
    assert before.count(Usage(1140, 0), []).compressions == 0, "a few tokens are no compression"


def test_a_prompt_smaller_than_the_instruction() -> None:
    """Then the estimate of the instruction was wrong."""
    before = Ledger(held=Breakdown(instruction=500, user=300, model=200), usage=Usage(800, 200))
    assert before.count(Usage(200, 10), []).held == Breakdown(instruction=200, model=10)


def test_live_feedback_becomes_stale_or_goes() -> None:
    """Stale, it is still there; removed, it is expected to be missing from the next prompt."""
    first = Ledger().count(usage(500, answer=100), [Piece(INSTRUCTION, TEXT, 100), Piece(LIVE, TEXT, 400)])
    stale = first.settled(removed=False).count(usage(500, 150, answer=100), [Piece(USER, AUDIO, 50)])
    assert stale.held == Breakdown(instruction=100, user=50, model=200, feedback_stale=400)
    gone = first.settled(removed=True).count(usage(100, 150, answer=100), [Piece(USER, AUDIO, 50)])
    assert gone.held == Breakdown(instruction=100, user=50, model=200)
    assert gone.estimate == Breakdown(instruction=100, user=50)
    assert (stale.compressions, gone.compressions) == (0, 0)


@pytest.mark.parametrize(
    ("prompt", "tokens", "verdict"),
    [
        (usage(150, 100), 400, Verdict.SEEN),
        (usage(340, 100), 400, Verdict.SEEN),
        (usage(360, 100), 400, Verdict.UNSEEN),
        (usage(550, 100), 400, Verdict.UNSEEN),
        (usage(550, 100), 19, Verdict.TOO_SMALL),
        (Usage(250, 0), 400, Verdict.SEEN),
        (Usage(650, 0), 400, Verdict.UNSEEN),
    ],
)
def test_a_removal_must_show(prompt: Usage, tokens: int, verdict: Verdict) -> None:
    """Nearer to the prompt without it than to that with it; in text, where modalities are told."""
    pieces = (Piece(INSTRUCTION, TEXT, 100), Piece(USER, AUDIO, 100), Piece(USER, TEXT, 50))
    assert Expectation(None, pieces).verdict(prompt, tokens) is verdict


def test_what_was_not_removed_is_kept() -> None:
    """The tokens are stale feedback again, and the removal is counted as one that did not show."""
    first = Ledger().count(usage(500, answer=100), [Piece(INSTRUCTION, TEXT, 100), Piece(LIVE, TEXT, 400)])
    ledger = first.settled(removed=True).kept(400).count(usage(500, 100, answer=0), [])
    assert ledger.held == Breakdown(instruction=100, model=100, feedback_stale=400)
    assert ledger.unverified == 1


def test_nothing_is_kept_of_a_session_that_never_answered() -> None:
    """Where there is no usage there is none to correct."""
    assert Ledger().settled(removed=True).usage is None


def test_a_baseline_is_without_advice() -> None:
    """Advice may be gone when a session is resumed; what else was there may not."""
    held = Breakdown(instruction=100, feedback_live=30, feedback_stale=20)
    assert Ledger(held=held, usage=Usage(150, 0)).unadvised == Usage(100, 0)
    assert Ledger(held=held, usage=usage(150)).unadvised == Usage(100, 0, {TEXT: 100, AUDIO: 0}, 0, {AUDIO: 0})
    assert Ledger(held=Breakdown(100), usage=Usage(100, 0)).unadvised == Usage(100, 0)


def test_what_append_would_have_held() -> None:
    """Saved is what `append` would hold and this does not, in each prompt; never more than a window could hold."""
    ledger = Ledger(given=1200).count(usage(500), [Piece(LIVE, TEXT, 400)])
    assert (ledger.smaller_by, ledger.saved) == (800, 800)
    again = ledger.settled(removed=True).count(usage(100), [])
    assert (again.smaller_by, again.saved) == (1200, 2000)
    assert ledger.count(usage(900), [], window=1000).saved == 900
    assert Ledger(given=400).count(usage(500), [Piece(LIVE, TEXT, 400)]).saved == 0


def test_how_much_text_a_token_holds() -> None:
    """The instruction shows it, once it was counted."""
    assert Ledger().characters_a_token == 4
    ledger = Ledger().count(usage(125), [Piece(INSTRUCTION, TEXT, 100)])
    assert ledger.characters_a_token == pytest.approx(3.2)


def test_names_that_are_not_known_are_passed_over() -> None:
    """A ledger that a newer relay has stored."""
    assert Breakdown().with_categories({"user": 3, "dreams": 5}) == Breakdown(user=3)


@given(st.lists(st.tuples(USAGES, PIECES, st.booleans()), min_size=1, max_size=12))
def test_categories_add_up(turns: list[tuple[Usage, list[Piece], bool]]) -> None:
    """The categories are the context, none is negative, and every prompt and answer is billed once."""
    ledger = Ledger()
    for said, pieces, removed in turns:
        ledger = ledger.settled(removed=removed).count(said, pieces)
        assert ledger.context == said.prompt + said.response
        assert min(ledger.held.by_category.values()) >= 0
    assert ledger.billed == sum(said.prompt + said.response for said, *_ in turns)

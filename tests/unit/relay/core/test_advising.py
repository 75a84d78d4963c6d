"""When advice is brought to the agent: scenes of whole conversations."""

from dataclasses import replace

import pytest

from services.relay.core import effects as do
from services.relay.core import events as on
from services.relay.core import notices as tell
from services.relay.core.capabilities import Channel
from services.relay.core.model import (
    FeedbackChange,
    FeedbackPolicy,
    FeedbackSignal,
    Usage,
)
from tests.unit.relay.core.advisory import (
    ACCEPTED,
    ADVICE,
    APPEND,
    AUTO,
    CONTENT,
    DELIVERED,
    EXPIRED,
    JUST_IN_TIME,
    OTHER,
    REBASE,
    REPLACE,
    SUPERSEDED,
    TEXT_ONLY,
    UPDATE,
    advice,
    given,
    scene,
    states,
)
from tests.unit.relay.core.scene import Scene


@pytest.mark.parametrize(("wish", "channel"), [(JUST_IN_TIME, CONTENT), (REBASE, CONTENT), (REPLACE, UPDATE)])
def test_advice_waits_until_the_client_speaks(wish: FeedbackPolicy, channel: Channel) -> None:
    """Then it is told, marked as the manager's, and tied to the turn that begins."""
    it = scene(wish)
    it.let(*given(ADVICE))
    assert (advice(it), states(it)) == ([], [("1", ACCEPTED)])
    assert not it.found(do.Checkpoint), "the store knows it already"
    it.let(on.SpeechBegan())
    assert advice(it) == [(channel, ADVICE.text)]
    assert it.one(do.Advise).text.startswith("[SALES_MANAGER_INSTRUCTION] ")
    change = FeedbackChange("1", DELIVERED, 2, 11, wish.value)
    assert it.one(do.TellWatchers).notice == tell.FeedbackChanged(change)
    assert it.one(do.Checkpoint).feedback == (change,)


def test_append_does_not_wait() -> None:
    """The old way: at once, but not into an answer."""
    it = scene(APPEND)
    it.let(*given(ADVICE))
    assert advice(it) == [(CONTENT, ADVICE.text)]
    it.asks().answers()
    it.let(*given(OTHER))
    assert advice(it) == []
    it.completes()
    assert advice(it) == [(CONTENT, OTHER.text)]


def test_append_waits_where_the_model_would_answer() -> None:
    """Text that is answered at once must not come alone."""
    it = scene(APPEND, TEXT_ONLY)
    it.let(*given(ADVICE))
    assert advice(it) == []
    it.let(on.ClientWrote("Hello"))
    assert advice(it) == [(Channel.TEXT, ADVICE.text)]


def test_typed_words_are_a_beginning_too() -> None:
    """Advice goes before them."""
    it = scene(REBASE)
    it.let(*given(ADVICE), on.ClientWrote("Hello"))
    assert advice(it) == [(CONTENT, ADVICE.text)]


def test_while_the_client_speaks_it_is_not_too_late() -> None:
    """When it has just ended it is: the answer may have begun. Then it waits for the next turn."""
    it = scene(REBASE)
    it.let(on.SpeechBegan(), on.FeedbackGiven(ADVICE, speaking=True))
    assert advice(it) == [(CONTENT, ADVICE.text)]
    late = scene(REBASE)
    late.let(on.SpeechBegan(), on.FeedbackGiven(ADVICE, speaking=False))
    assert advice(late) == []
    late.let(on.UserHeard("hello"))
    assert advice(late) == []
    late.answers().completes()
    assert advice(late) == []
    late.let(on.SpeechBegan())
    assert advice(late) == [(CONTENT, ADVICE.text)]


def test_never_in_an_answer() -> None:
    """What the client says into it is heard, the advice waits until the turn is complete."""
    it = scene(REBASE)
    it.asks().answers()
    it.let(*given(ADVICE))
    it.let(on.FeedbackGiven(OTHER, speaking=True))
    assert advice(it) == []
    it.let(on.SpeechBegan(), on.Interrupted())
    assert advice(it) == []
    it.let(on.UserHeard("but"))
    assert advice(it) == []
    it.let(on.TurnCompleted(it.sent))
    assert advice(it) == [(CONTENT, OTHER.text)]


def test_after_words_that_were_typed_into_an_answer_it_waits() -> None:
    """They are answered at once; content would interrupt that."""
    it = scene(REBASE)
    it.asks().answers()
    it.let(*given(ADVICE), on.ClientWrote("stop"), on.Interrupted(), on.TurnCompleted(it.sent))
    assert advice(it) == []


def test_no_tool_is_disturbed() -> None:
    """A model that waits for a result is in the middle of its answer."""
    it = scene(REBASE)
    it.asks().calls("c1")
    it.let(on.FeedbackGiven(ADVICE, speaking=True), on.SpeechBegan())
    assert advice(it) == []


def test_the_upstreams_ear() -> None:
    """A setting: the first words that Gemini has heard are the beginning."""
    it = scene(REBASE, feedback_signal=FeedbackSignal.UPSTREAM)
    it.let(*given(ADVICE), on.SpeechBegan())
    assert advice(it) == []
    it.let(on.UserHeard("hello"))
    assert advice(it) == [(CONTENT, ADVICE.text)]


@pytest.mark.parametrize("signal", FeedbackSignal)
def test_a_client_that_says_that_it_speaks_is_believed(signal: FeedbackSignal) -> None:
    """Whatever ear is asked otherwise."""
    it = scene(REBASE, feedback_signal=signal)
    it.let(*given(ADVICE), on.SpeechBegan(marked=True))
    assert advice(it) == [(CONTENT, ADVICE.text)]


def test_text_that_is_answered_at_once_waits_for_words_all_the_same() -> None:
    """The model would answer the advice before the client has said anything."""
    it = scene(AUTO, TEXT_ONLY)
    it.let(*given(ADVICE), on.SpeechBegan(marked=True))
    assert advice(it) == []
    it.let(on.UserHeard("hello"))
    assert advice(it) == [(Channel.TEXT, ADVICE.text)]


def test_where_text_is_answered_at_once_a_cough_is_no_moment() -> None:
    """Gemini must have heard words, or the client must have written some."""
    it = scene(AUTO, TEXT_ONLY)
    it.let(*given(ADVICE), on.SpeechBegan())
    assert advice(it) == []
    it.let(on.UserHeard("hello"))
    assert advice(it) == [(Channel.TEXT, ADVICE.text)]


def noise() -> Scene:
    """The relay has heard something, Gemini nothing, and the model answers text at once."""
    it = scene(AUTO, TEXT_ONLY)
    it.let(on.SpeechBegan())
    return it


def test_advice_that_comes_with_a_cough_waits_for_words() -> None:
    """Given at that very moment it would be all that the model hears; once there are words it is not too late."""
    it = noise()
    it.let(on.FeedbackGiven(ADVICE, speaking=True))
    assert advice(it) == []
    it.let(on.UserHeard("hello"))
    assert advice(it) == [(Channel.TEXT, ADVICE.text)]
    it = noise()
    it.let(on.UserHeard("hello"), on.FeedbackGiven(ADVICE, speaking=True))
    assert advice(it) == [(Channel.TEXT, ADVICE.text)]


def test_a_cough_before_the_connection_was_replaced_is_no_moment() -> None:
    """What is sent again has no words in it; where Gemini had heard some, it has."""
    it = noise()
    it.let(*given(ADVICE))
    it.lost()
    it.let(on.UpstreamReady())
    assert advice(it) == []
    it.let(on.UserHeard("hello"))
    assert advice(it) == [(Channel.TEXT, ADVICE.text)]
    it = noise()
    it.let(on.UserHeard("hello"), *given(ADVICE))
    it.lost()
    it.let(on.UpstreamReady())
    assert advice(it) == [(Channel.TEXT, ADVICE.text)]


def test_a_cough_into_an_answer_is_no_moment_after_it() -> None:
    """Gemini passed it over."""
    it = scene(AUTO, TEXT_ONLY)
    it.asks().answers()
    it.let(*given(ADVICE), on.SpeechBegan(), on.TurnCompleted(it.sent))
    assert advice(it) == []
    it.let(on.UserHeard("hello"))
    assert advice(it) == [(Channel.TEXT, ADVICE.text)]


def test_words_that_come_late_are_no_beginning() -> None:
    """Only the first piece is; with the others the answer may have begun."""
    it = scene(REBASE, feedback_signal=FeedbackSignal.UPSTREAM)
    it.let(on.SpeechBegan(), on.UserHeard("hello"), *given(ADVICE), on.UserHeard("there"))
    assert advice(it) == []


def test_only_the_newest_is_delivered() -> None:
    """The one before is superseded, and said to be."""
    it = scene(REBASE)
    it.let(*given(ADVICE, OTHER))
    assert states(it) == [("1", SUPERSEDED), ("2", ACCEPTED)]
    it.let(on.SpeechBegan())
    assert advice(it) == [(CONTENT, OTHER.text)]


def test_advice_expires() -> None:
    """The core asks for the tick; nothing is delivered after it."""
    it = scene(REBASE)
    it.let(on.FeedbackGiven(replace(ADVICE, expires_at=it.now + 10)))
    assert it.core.deadline == it.now + 10
    it.after(10.0)
    assert states(it) == [("1", EXPIRED)]
    assert it.one(do.Checkpoint).feedback[0].state is EXPIRED
    it.let(on.SpeechBegan())
    assert advice(it) == []
    assert it.core.deadline is None


@pytest.mark.parametrize("wish", [JUST_IN_TIME, REBASE])
def test_a_noise_spends_no_turn(wish: FeedbackPolicy) -> None:
    """The older advice came with it; the newer one is there before the answer, and has the last word."""
    it = scene(wish, rebase_tokens=4000)
    it.let(*given(ADVICE), on.SpeechBegan(), *given(OTHER), on.SpeechBegan())
    assert advice(it) == [(CONTENT, OTHER.text)]
    assert states(it) == [("1", DELIVERED), ("2", DELIVERED)]
    it.asks().answers()
    it.let(on.UsageCounted(Usage(220, 20, {"TEXT": 200, "AUDIO": 20}, 0, {"AUDIO": 20})))
    held = it.core.coverage.ledger.estimate
    assert (held.feedback_live, held.feedback_stale) == (11, 11), "only the newest is live"


@pytest.mark.parametrize("begins", [on.SpeechBegan(), on.UserHeard("er"), on.ClientWrote("and?")])
def test_no_answer_to_typed_words_is_cut_to_advise(begins: on.Event) -> None:
    """They are being answered although nothing has come yet: the advice waits for the next turn."""
    it = scene(REBASE, rebase_tokens=4000)
    it.let(on.ClientWrote("How much?"), *given(ADVICE), begins)
    assert advice(it) == []
    it.let(on.FeedbackGiven(OTHER, speaking=True))
    assert advice(it) == []
    it.lost()
    it.let(on.UpstreamReady())
    assert advice(it) == [(CONTENT, OTHER.text)], "before the words, which are sent again"

"""What becomes of advice where one connection or relay follows another: scenes of whole conversations."""

from dataclasses import replace

import pytest

from services.relay.core import effects as do
from services.relay.core import events as on
from services.relay.core.attachment import Attachment
from services.relay.core.capabilities import Backend, Channel, capability
from services.relay.core.ledger import Breakdown, Ledger
from services.relay.core.model import (
    Feedback,
    FeedbackPolicy,
    Mark,
    UpstreamHandle,
    Usage,
)
from tests.unit.relay.core.advisory import (
    ADVICE,
    APPEND,
    CONTENT,
    DELIVERED,
    JUST_IN_TIME,
    OTHER,
    REBASE,
    REMOVED,
    REPLACE,
    SETTINGS,
    SUPERSEDED,
    UPDATE,
    advice,
    answered,
    given,
    scene,
    states,
)
from tests.unit.relay.core.scene import POLICY, Scene, resumed

STORED = replace(ADVICE, state=DELIVERED, turn=3, tokens=11, detail="rebase")


def test_of_two_in_the_talk_only_the_newer_is_told_again() -> None:
    """The connection is lost over them, and the handle holds neither."""
    it = scene(REBASE, rebase_tokens=4000)
    it.let(*given(ADVICE), on.SpeechBegan(), *given(OTHER), on.SpeechBegan())
    it.lost()
    it.let(on.UpstreamReady())
    assert advice(it) == [(CONTENT, OTHER.text)]
    assert states(it) == [("1", REMOVED)]


@pytest.mark.parametrize(("wish", "channel"), [(REBASE, CONTENT), (REPLACE, UPDATE)])
def test_what_a_newer_item_overtakes_while_there_is_no_connection_is_not_told_again(
    wish: FeedbackPolicy, channel: Channel
) -> None:
    """The next context never holds it."""
    it = scene(wish, rebase_tokens=4000)
    it.let(*given(ADVICE), on.SpeechBegan())
    it.lost()
    it.let(*given(OTHER))
    it.let(on.UpstreamReady())
    assert advice(it) == [(channel, OTHER.text)]
    assert states(it) == [("1", REMOVED), ("2", DELIVERED)]


def test_append_tells_all_of_it_again_in_order() -> None:
    """What the handle does not hold, then what has come meanwhile."""
    it = scene(APPEND)
    it.let(*given(ADVICE))
    it.lost()
    it.let(*given(OTHER))
    it.let(on.UpstreamReady())
    assert advice(it) == [(CONTENT, ADVICE.text), (CONTENT, OTHER.text)]


def test_a_handle_that_may_hold_the_older_of_two_is_not_used() -> None:
    """It does not hold the newer one; whether it holds the other nobody can tell."""
    it = scene(REBASE, rebase_tokens=4000)
    it.let(*given(ADVICE), on.SpeechBegan(), *given(OTHER), on.SpeechBegan())
    it.let(on.HandleUpdated("mid", it.sent, advised=False))
    it.lost()
    assert it.one(do.OpenUpstream).handle == "h1"


def test_a_handle_that_holds_both_is() -> None:
    """Neither is told again, and both are in its context."""
    it = scene(REBASE, rebase_tokens=4000)
    it.let(*given(ADVICE), on.SpeechBegan(), *given(OTHER), on.SpeechBegan())
    it.let(on.HandleUpdated("mid", it.sent, advised=True))
    it.lost()
    assert it.one(do.OpenUpstream).handle == "mid"
    it.let(on.UpstreamReady())
    assert (advice(it), states(it)) == ([], [])
    it.asks().answers()
    it.let(on.UsageCounted(Usage(220, 20, {"TEXT": 200, "AUDIO": 20}, 0, {"AUDIO": 20})))
    held = it.core.coverage.ledger.estimate
    assert (held.feedback_live, held.feedback_stale) == (11, 11)


@pytest.mark.parametrize(("wish", "channel"), [(REBASE, CONTENT), (REPLACE, UPDATE)])
def test_live_advice_is_told_again_to_another_context(wish: FeedbackPolicy, channel: Channel) -> None:
    """The connection is lost before the answer: what is sent again begins with it, and it serves the same turn."""
    it = scene(wish, rebase_tokens=4000)
    it.let(*given(ADVICE), on.SpeechBegan())
    it.lost()
    assert advice(it) == []
    it.let(on.UpstreamReady())
    assert advice(it) == [(channel, ADVICE.text)]
    assert it.kinds.index(do.StartSending) < it.kinds.index(do.Advise)
    assert states(it) == []
    it.let(on.UserHeard("hello"))
    assert advice(it) == []


def test_advice_that_waits_is_told_before_what_waits() -> None:
    """The client has spoken while there was no connection."""
    it = scene(REBASE)
    it.lost()
    it.let(*given(ADVICE), on.SpeechBegan(waiting=True))
    assert advice(it) == []
    it.let(on.UpstreamReady())
    assert advice(it) == [(CONTENT, ADVICE.text)]


def test_what_a_context_holds_is_not_told_twice() -> None:
    """Vertex's handle tells that the advice is in it, although its turn is not over."""
    it = scene(REBASE, rebase_tokens=4000)
    it.let(*given(ADVICE), on.SpeechBegan())
    it.stores()
    it.let(on.HandleUpdated("mid", it.sent, advised=True))
    assert not it.found(do.Checkpoint), "another relay would not know what it holds"
    it.lost()
    assert it.one(do.OpenUpstream).handle == "mid"
    it.let(on.UpstreamReady())
    assert advice(it) == []
    answered(it, 200)
    assert it.core.coverage.ledger.estimate.feedback_live == 11


def test_a_handle_from_before_the_advice_is_stored() -> None:
    """It holds no more than the turns."""
    it = scene(REBASE, rebase_tokens=4000)
    it.let(*given(ADVICE), on.SpeechBegan())
    it.stores()
    it.let(on.HandleUpdated("before", it.sent, advised=False))
    assert it.one(do.Checkpoint).handle == UpstreamHandle("before", 1)


def attached(*items: Feedback, covers: int = 3, wish: FeedbackPolicy = REBASE) -> Scene:
    """Another relay takes a conversation of three turns, with this feedback."""
    attachment = replace(resumed(covers=covers), feedback=items, feedback_policy=wish)
    return Scene(attachment, replace(SETTINGS, rebase_tokens=4000)).live()


def test_another_relay_delivers_what_waits() -> None:
    """When the client speaks, as ever."""
    it = attached(ADVICE)
    assert advice(it) == []
    it.let(on.SpeechBegan())
    assert advice(it) == [(CONTENT, ADVICE.text)]


def test_another_relay_goes_on_with_the_turn() -> None:
    """Its advice was delivered into a context that is gone with the relay: it is owed to the one that is resumed."""
    it = attached(replace(STORED, turn=4))
    assert advice(it) == [(CONTENT, ADVICE.text)]
    assert states(it) == []


def test_another_relay_knows_what_is_stale() -> None:
    """The handle covers its turn, so the context holds it: not told again, and stripped when it is time."""
    it = attached(STORED)
    it.let(on.SpeechBegan())
    assert advice(it) == []
    it.asks().answers().completes()
    it.let(on.GoAway(60.0), on.HandleUpdated("h4"))
    it.let(on.UpstreamClosed(1000, ""))
    assert it.one(do.OpenUpstream).handle is None


@pytest.mark.parametrize(("rebases", "handle"), [(0, None), (1, "h3")])
def test_another_relay_waits_for_the_interval_too(rebases: int, handle: str | None) -> None:
    """The one before may have rebuilt the session a moment ago; where none ever did, there is nothing to wait for."""
    ledger = replace(resumed(covers=3).ledger, rebases=rebases)
    attachment = replace(resumed(covers=3), feedback=(STORED,), feedback_policy=REBASE, ledger=ledger)
    it = Scene(attachment, replace(SETTINGS, rebase_tokens=4000, rebase_interval=60.0)).live()
    it.asks().answers().completes()
    it.let(on.HandleUpdated("h3"), on.GoAway(60.0))
    it.let(on.UpstreamClosed(1000, ""))
    assert it.one(do.OpenUpstream).handle == handle
    if handle is not None:
        it.let(on.UpstreamReady())
        it.now += 60.0
        it.let(on.GoAway(60.0))
        it.let(on.UpstreamClosed(1000, ""))
        assert it.one(do.OpenUpstream).handle is None


def test_no_handle_is_given_up_for_stale_advice_while_the_store_is_away() -> None:
    """A goAway comes meanwhile: without the transcript the session could not be rebuilt, and the handle is good."""
    it = attached(STORED)
    for _ in range(2):
        it.asks().answers().completes()
    it.let(on.HandleUpdated("h5"), on.GoAway(60.0))
    it.let(on.UpstreamClosed(1000, ""))
    assert it.one(do.OpenUpstream).handle == "h5"


def test_another_relay_leaves_behind_what_the_handle_does_not_cover() -> None:
    """The turn is told again as content, without its advice."""
    it = Scene(
        replace(resumed(covers=2), feedback=(STORED,), feedback_policy=REBASE), replace(SETTINGS, rebase_tokens=4000)
    )
    it.live()
    assert states(it) == [("1", REMOVED)]


def test_another_relay_proves_what_was_replaced() -> None:
    """The instruction is set anew with the connection; the usage shows that the advice is not in it."""
    ledger = Ledger(
        held=Breakdown(instruction=100, user=50, feedback_live=400),
        usage=Usage(550, 0, {"TEXT": 500, "AUDIO": 50}, 0, {"AUDIO": 0}),
    )
    stored = replace(STORED, detail="replace", tokens=400)
    attachment = replace(resumed(), feedback=(stored,), feedback_policy=REPLACE, ledger=ledger)
    it = Scene(attachment, SETTINGS).live().asks().answers()
    it.let(on.UsageCounted(Usage(160, 20, {"TEXT": 100, "AUDIO": 60}, 0, {"AUDIO": 20})))
    assert states(it) == [("1", REMOVED)]


def test_an_old_item_without_its_text_is_not_told() -> None:
    """The store gives the texts of the newest only."""
    assert advice(attached(replace(STORED, turn=4, text=""))) == []


def test_the_setting_decides_where_the_conversation_does_not() -> None:
    """`auto` by default: what the model allows, and what it costs."""
    model = capability("gemini-live-2.5-flash", Backend.DEVELOPER)
    it = Scene(Attachment(new=True, capability=model), replace(SETTINGS, feedback_policy=JUST_IN_TIME)).live()
    it.let(*given(ADVICE), on.SpeechBegan())
    assert it.one(do.TellWatchers).notice.change.detail == "just_in_time"


@pytest.mark.parametrize(("script", "policy"), [(80_000, REBASE), (400, REPLACE)])
def test_auto_knows_the_script_before_the_first_turn(script: int, policy: FeedbackPolicy) -> None:
    """No usage has come yet, but the instruction is known to be in the context."""
    model = capability("gemini-live-2.5-flash", Backend.VERTEX)
    it = Scene(Attachment(new=True, capability=model, instruction_characters=script), POLICY).live()
    it.let(*given(ADVICE), on.SpeechBegan())
    assert it.one(do.TellWatchers).notice.change.detail == policy


def test_the_last_words_hold_what_became_of_advice() -> None:
    """A drain stores it, so that the next relay knows."""
    it = scene(REBASE)
    it.let(*given(ADVICE), on.SpeechBegan())
    assert it.found(do.Checkpoint), "under way"
    it.let(*given(OTHER, Feedback("3", "x")))
    it.let(on.DrainAsked())
    assert [change.state for change in it.one(do.Checkpoint).feedback] == [SUPERSEDED]


def test_nothing_is_delivered_once_it_is_over() -> None:
    """The item waits in the store for whoever attaches."""
    it = scene(REBASE)
    it.let(on.DrainAsked())
    assert it.let(*given(ADVICE), on.SpeechBegan(Mark(1, 1))) == []

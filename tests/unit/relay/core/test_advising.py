"""When advice is brought to the agent, and when it is taken away again: scenes of whole conversations."""

from dataclasses import replace

import pytest

from services.relay.core import effects as do
from services.relay.core import events as on
from services.relay.core import notices as tell
from services.relay.core.attachment import Attachment
from services.relay.core.capabilities import UNHINDERED, Backend, Capability, Channel, capability
from services.relay.core.feedback import PREFIX
from services.relay.core.ledger import Breakdown, Ledger
from services.relay.core.model import (
    Continuity,
    Feedback,
    FeedbackChange,
    FeedbackPolicy,
    FeedbackSignal,
    FeedbackState,
    Mark,
    RotationReason,
    Told,
    UpstreamHandle,
    Usage,
)
from tests.unit.relay.core.scene import POLICY, Scene, resumed, rotate_at_once

AUTO, APPEND, JUST_IN_TIME, REPLACE, REBASE = FeedbackPolicy
ACCEPTED, SUPERSEDED, EXPIRED, DELIVERED, REMOVED = FeedbackState
TEXT_ONLY = capability("gemini-3.1-flash-live")
ADVICE = Feedback("1", "Offer the trial.")
OTHER = Feedback("2", "Ask who decides.")
SETTINGS = replace(POLICY, rebase_tokens=1, rebase_interval=0.0)


def scene(wish: FeedbackPolicy, model: Capability = UNHINDERED, **settings: object) -> Scene:
    """A conversation under a policy, live, with one turn behind it."""
    attachment = Attachment(new=True, capability=model, feedback_policy=wish)
    return Scene(attachment, replace(SETTINGS, **settings)).live().turn().gets_handle("h1")  # type: ignore[arg-type]


def given(*items: Feedback) -> list[on.Event]:
    """The platform gives these."""
    return [on.FeedbackGiven(item) for item in items]


def gives(it: Scene, item: Feedback) -> None:
    """The platform gives an item, and what comes of that is stored at once."""
    it.let(*given(item))
    if it.found(do.Checkpoint):
        it.stores()


def advice(scene: Scene) -> list[tuple[Channel, str]]:
    """What the agent is told by the last answer of the core, without the prefix."""
    return [(effect.channel, effect.text.removeprefix(PREFIX)) for effect in scene.found(do.Advise)]


def states(scene: Scene) -> list[tuple[str, FeedbackState]]:
    """What those who watch are told by the last answer."""
    changes = [effect.notice.change for effect in scene.found(do.TellWatchers)]
    return [(change.id, change.state) for change in changes]


CONTENT, UPDATE = Channel.CONTENT, Channel.CONTEXT_UPDATE


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


# Taken away again.


def asked(it: Scene) -> Scene:
    """The client speaks, and what became of advice is stored at once."""
    it.position += 10
    it.let(on.SpeechBegan())
    if it.found(do.Checkpoint):
        it.stores()
    it.let(on.UserHeard("question"))
    return it


def answered(it: Scene, text: int, audio: int = 0) -> Scene:
    """The client speaks, the agent answers, Gemini counts."""
    asked(it).answers()
    it.let(on.UsageCounted(Usage(text + audio, 20, {"TEXT": text, "AUDIO": audio}, 0, {"AUDIO": 20})))
    return it.completes()


def stored(it: Scene) -> Scene:
    """The store has what was under way, and then the rest."""
    if not it.found(do.Checkpoint):
        it.let(on.CheckpointStored(0, 0))
    return it.stores() if it.found(do.Checkpoint) else it


def test_replaced_advice_is_gone_after_its_turn() -> None:
    """The instruction is as before when the answer has ended, and the next usage has to show it."""
    it = scene(REPLACE)
    it.let(*given(ADVICE))
    answered(it, 200)
    assert advice(it) == [(UPDATE, "")]
    assert states(it) == []
    it.stores()
    answered(it, 180, 20)
    assert it.core.coverage.ledger.unverified == 0
    it.let(on.SpeechBegan())
    assert advice(it) == []


@pytest.mark.parametrize(("text", "state", "detail"), [(100, REMOVED, "seen"), (500, DELIVERED, "no removal")])
def test_the_usage_has_the_last_word(text: int, state: FeedbackState, detail: str) -> None:
    """A removal that did not show is reported and counted."""
    long = replace(ADVICE, text="x" * 1600)
    it = scene(REPLACE)
    it.let(*given(long))
    answered(it, 507)
    it.stores()
    asked(it).answers()
    it.let(on.UsageCounted(Usage(text + 20, 20, {"TEXT": text, "AUDIO": 20}, 0, {"AUDIO": 20})))
    change = it.one(do.TellWatchers).notice.change
    assert (change.id, change.state) == ("1", state)
    assert detail in change.detail
    assert it.core.coverage.ledger.unverified == (state is DELIVERED)
    assert it.one(do.Checkpoint).feedback == (change,)


def test_the_next_advice_takes_the_place_of_the_last() -> None:
    """Where the client speaks into the answer: one update, not two."""
    it = scene(REPLACE)
    it.let(*given(ADVICE))
    it.asks().answers()
    it.let(*given(OTHER), on.SpeechBegan(), on.Interrupted(), on.TurnCompleted(it.sent))
    assert advice(it) == [(UPDATE, OTHER.text)]


def test_a_cough_does_not_hold_up_the_next_advice() -> None:
    """In the instruction the newest replaces one that no turn was answered with."""
    it = scene(REPLACE)
    it.let(*given(ADVICE), on.SpeechBegan(), *given(OTHER), on.SpeechBegan())
    assert advice(it) == [(UPDATE, OTHER.text)]
    assert states(it) == [("2", DELIVERED)]
    it.asks().answers()
    it.let(on.UsageCounted(Usage(220, 20, {"TEXT": 200, "AUDIO": 20}, 0, {"AUDIO": 20})))
    assert states(it) == [("1", REMOVED)]
    it.completes()
    assert it.core.coverage.ledger.estimate.feedback_live == 11


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


def test_of_two_in_the_talk_only_the_newer_is_told_again() -> None:
    """The connection is lost over them, and the handle holds neither."""
    it = scene(REBASE, rebase_tokens=4000)
    it.let(*given(ADVICE), on.SpeechBegan(), *given(OTHER), on.SpeechBegan())
    it.lost()
    it.let(on.UpstreamReady())
    assert advice(it) == [(CONTENT, OTHER.text)]
    assert states(it) == [("1", REMOVED)]


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


ROLE = replace(UNHINDERED, instruction=Channel.SYSTEM_ROLE)


@pytest.mark.parametrize(("model", "at_once"), [(ROLE, False), (UNHINDERED, True)])
def test_no_answer_to_typed_words_is_cut_to_clear_the_instruction(model: Capability, at_once: bool) -> None:  # noqa: FBT001
    """They came into the answer before and are being answered; content waits for that, another channel cuts nothing."""
    it = scene(REPLACE, model)
    gives(it, replace(ADVICE, text="x" * 1600))
    asked(it).answers()
    it.let(on.UsageCounted(Usage(527, 20, {"TEXT": 507, "AUDIO": 20}, 0, {"AUDIO": 20})))
    it.let(on.ClientWrote("stop"), on.Interrupted(), on.TurnCompleted(it.sent))
    assert (advice(it) != []) is at_once
    it.stores()
    it.answers()
    text = 100 if at_once else 508
    it.let(on.UsageCounted(Usage(text + 40, 20, {"TEXT": text, "AUDIO": 40}, 0, {"AUDIO": 20})))
    assert states(it) == ([("1", REMOVED)] if at_once else [])
    it.completes()
    assert (advice(it) != []) is not at_once, "now it is quiet"
    asked(stored(it)).answers()
    it.let(on.UsageCounted(Usage(188, 20, {"TEXT": 108, "AUDIO": 80}, 0, {"AUDIO": 20})))
    assert it.core.coverage.ledger.unverified == 0
    assert states(it) == ([] if at_once else [("1", REMOVED)])


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


def test_what_no_clearing_has_reached_is_not_judged() -> None:
    """The turn ends on a connection that is being closed: its instruction stays as it is, the next one's is clean."""
    it = scene(REPLACE)
    it.let(*given(replace(ADVICE, text="x" * 1600)), on.SpeechBegan())
    it.stores()
    it.let(on.GoAway(0.0))
    assert it.found(do.CloseUpstream)
    for number in (2, 3):
        it.position += 10
        it.let(on.UserHeard("question"))
        it.answers()
        text, audio = 507, 40 * number
        it.let(on.UsageCounted(Usage(text + audio, 20, {"TEXT": text, "AUDIO": audio}, 0, {"AUDIO": 20})))
        assert it.core.coverage.ledger.unverified == 0
        it.completes()
        assert (advice(it), states(it)) == ([], [])
    it.let(on.HandleUpdated("h3"), on.UpstreamClosed(1000, ""), on.UpstreamReady())
    it.position += 10
    it.let(on.UserHeard("question"))
    it.answers()
    it.let(on.UsageCounted(Usage(260, 20, {"TEXT": 107, "AUDIO": 153}, 0, {"AUDIO": 20})))
    assert states(it) == [("1", REMOVED)]


@pytest.mark.parametrize(
    ("text", "state", "detail"),
    [(107, REMOVED, "a new connection, seen in the usage"), (507, DELIVERED, "a new connection: the usage")],
)
def test_a_removal_that_did_not_show_is_judged_again_after_a_resume(
    text: int, state: FeedbackState, detail: str
) -> None:
    """The new connection's instruction never held it; what its usage shows is reported, and counted."""
    it = scene(REPLACE, rebase_tokens=10_000)
    gives(it, replace(ADVICE, text="x" * 1600))
    answered(it, 507).stores()
    stored(answered(it, 507, 40))
    assert it.core.coverage.ledger.unverified == 1
    it.gets_handle("h3").lost()
    it.let(on.UpstreamReady())
    asked(it).answers()
    it.let(on.UsageCounted(Usage(text + 80, 20, {"TEXT": text, "AUDIO": 80}, 0, {"AUDIO": 20})))
    change = it.one(do.TellWatchers).notice.change
    assert (change.id, change.state) == ("1", state)
    assert change.detail.startswith(detail)
    assert it.core.coverage.ledger.unverified == 1 + (state is DELIVERED)
    assert it.core.coverage.ledger.compressions == 0


def test_an_older_handle_has_an_instruction_of_its_own_too() -> None:
    """Its context was counted with advice in the instruction, which no new connection has: nothing was compressed."""
    it = scene(REPLACE)
    gives(it, replace(ADVICE, text="x" * 1600))
    answered(it, 507).stores().gets_handle("h2")
    stored(answered(it, 107, 40)).lost()
    assert it.one(do.OpenUpstream).handle == "h2"
    it.let(on.UpstreamReady(Told(2, 1, 1)))
    asked(it).answers()
    it.let(on.UsageCounted(Usage(150, 20, {"TEXT": 110, "AUDIO": 40}, 0, {"AUDIO": 20})))
    ledger = it.core.coverage.ledger
    assert (ledger.compressions, ledger.unverified, ledger.held.feedback_stale) == (0, 0, 0)


def test_without_a_usage_to_compare_a_removal_says_so() -> None:
    """The first usage comes after the rebuild: there is nothing that could have become smaller."""
    it = scene(REBASE)
    it.let(*given(ADVICE))
    asked(it).answers().completes().stores()
    it.let(on.UpstreamClosed(1000, ""), on.UpstreamReady(Told(4, 3, 2)))
    asked(it).answers()
    it.let(on.UsageCounted(Usage(120, 20)))
    assert it.one(do.TellWatchers).notice.change.detail == "rebuilt, with no usage to compare"


@pytest.mark.parametrize("wish", [JUST_IN_TIME, APPEND])
def test_what_stays_stays(wish: FeedbackPolicy) -> None:
    """Nothing is stripped, however much it becomes, and whatever rotation comes."""
    it = scene(wish)
    for number in range(1, 4):
        gives(it, Feedback(str(number), "x" * 800))
        answered(it, 200 + 200 * number, 20 * number).stores()
        assert not it.found(do.CloseUpstream)
        it.gets_handle(f"h{number + 1}")
    it.let(on.GoAway(60.0))
    it.let(on.UpstreamClosed(1000, ""))
    assert it.one(do.OpenUpstream).handle == "h4"


def test_stale_advice_is_stripped_by_a_rebuild() -> None:
    """When the turn is over and nobody speaks; the polluted handle goes with the same checkpoint."""
    it = scene(REBASE)
    it.let(*given(ADVICE))
    answered(it, 200)
    assert tell.Rotating(RotationReason.REBASE, 3) in it.told
    checkpoint = it.one(do.Checkpoint)
    assert checkpoint.invalidate
    assert [turn.number for turn in checkpoint.turns] == [2]
    it.stores()
    it.let(on.UpstreamClosed(1000, ""))
    assert it.one(do.OpenUpstream).handle is None, "told from the transcript"
    opening = it.one(do.OpenUpstream)
    assert (opening.history_through, [turn.number for turn in opening.content]) == (1, [2])
    it.let(on.UpstreamReady(Told(4, 3, 2)))
    assert it.core.continuity is Continuity.REBASED
    answered(it, 10, 20)
    assert it.core.coverage.ledger.rebases == 1


def test_a_rebuild_is_proved_by_the_new_sessions_usage() -> None:
    """Only then is the advice said to be removed."""
    it = scene(REBASE)
    it.let(*given(replace(ADVICE, text="x" * 1600)))
    answered(it, 507).stores()
    it.let(on.UpstreamClosed(1000, ""), on.UpstreamReady(Told(4, 3, 2)))
    assert states(it) == []
    asked(it).answers()
    it.let(on.UsageCounted(Usage(120, 20, {"TEXT": 107, "AUDIO": 13}, 0, {"AUDIO": 20})))
    assert states(it) == [("1", REMOVED)]
    assert it.one(do.TellWatchers).notice.change.detail == "rebuilt, seen in the usage"


def test_a_rebuild_waits_for_its_threshold_and_interval() -> None:
    """So many tokens of stale advice, and not again before so many seconds."""
    it = scene(REBASE, rebase_tokens=20, rebase_interval=60.0)
    it.let(*given(ADVICE))
    answered(it, 200).stores()
    assert it.core.phase.value == "live"
    it.gets_handle("h2")
    it.let(*given(OTHER))
    answered(it, 230)
    assert tell.Rotating(RotationReason.REBASE, 4) in it.told
    it.stores()
    it.let(on.UpstreamClosed(1000, ""), on.UpstreamReady())
    it.let(*given(Feedback("3", "x" * 100)))
    answered(it, 100)
    assert it.core.phase.value == "live", "the interval is not over"
    assert it.core.deadline is not None
    assert it.core.deadline <= it.now + 60.0, "its end is waited for, whatever else happens"
    it.after(60.0)
    assert it.found(do.CloseUpstream)


def test_near_the_end_of_the_window_any_stale_advice_is_stripped() -> None:
    """What is left of the window is for the talk."""
    model = replace(UNHINDERED, window=10_000)
    it = scene(REBASE, model, rebase_tokens=4000, compression=False)
    it.let(*given(ADVICE))
    answered(it, 7900)
    assert not it.found(do.CloseUpstream)
    it.stores().gets_handle("h2")
    it.let(*given(OTHER))
    answered(it, 7990)
    assert it.found(do.CloseUpstream)


def test_how_full_the_last_session_was_says_nothing_of_a_rebuilt_one() -> None:
    """Its first usage does; until then no advice is worth another rebuild."""
    it = scene(REBASE, replace(UNHINDERED, window=10_000), rebase_tokens=4000, compression=False)
    gives(it, OTHER)
    answered(it, 9000).stores()
    it.let(on.UpstreamClosed(1000, ""), on.UpstreamReady(Told(4, 3, 2)))
    gives(it, Feedback("3", "Say it again."))
    answered(it, 500)
    assert not it.found(do.CloseUpstream)


def test_a_rotation_that_is_due_anyway_strips_too() -> None:
    """GoAway comes: the stale advice is left behind, long before the threshold."""
    it = scene(REBASE, rebase_tokens=4000)
    it.let(*given(ADVICE))
    answered(it, 200).stores().gets_handle("h2")
    it.let(on.GoAway(60.0))
    assert it.one(do.Checkpoint).invalidate
    it.let(on.UpstreamClosed(1000, ""))
    assert it.one(do.OpenUpstream).handle is None


def test_a_rotation_soon_after_a_rebuild_strips_nothing() -> None:
    """It goes by the handle, advice and all: a rebuild costs the whole prompt uncached. The next one strips."""
    it = scene(REBASE, rebase_tokens=20, rebase_interval=60.0)
    it.let(*given(replace(ADVICE, text="x" * 100)))
    answered(it, 200).stores()
    it.let(on.UpstreamClosed(1000, ""), on.UpstreamReady(Told(4, 3, 2)))
    it.let(*given(OTHER))
    answered(it, 100)
    it.let(on.CheckpointStored(0, 2))
    it.stores().gets_handle("h3")
    rotate_at_once(it)
    assert it.one(do.OpenUpstream).handle == "h3"
    it.let(on.UpstreamReady())
    assert it.core.continuity is Continuity.HANDLE
    it.now += 60.0
    it.let(on.GoAway(60.0))
    assert it.one(do.Checkpoint).invalidate


def test_a_rotation_into_speech_strips_what_is_stale_and_no_more() -> None:
    """What the turn in progress was advised would be told again: for its sake no context is given up."""
    it = scene(REBASE, rebase_tokens=4000)
    it.let(*given(ADVICE), on.SpeechBegan())
    it.stores()
    it.let(on.GoAway(2.0))
    it.after(0.5)
    it.let(on.UpstreamClosed(1000, ""))
    assert it.one(do.OpenUpstream).handle == "h1"
    it.let(on.UpstreamReady())
    assert advice(it) == [(CONTENT, ADVICE.text)]
    answered(it, 200).stores().gets_handle("h2")
    it.let(*given(OTHER), on.SpeechBegan())
    it.let(on.GoAway(2.0))
    it.after(0.5)
    it.let(on.UpstreamClosed(1000, ""))
    assert it.one(do.OpenUpstream).handle is None
    it.let(on.UpstreamReady(Told(4, 3, 2)))
    assert advice(it) == [(CONTENT, OTHER.text)]


def test_a_lost_connection_strips_nothing() -> None:
    """It was not planned: Gemini's own context is worth more."""
    it = scene(REBASE, rebase_tokens=4000)
    it.let(*given(ADVICE))
    answered(it, 200).stores().gets_handle("h2")
    it.lost()
    assert it.one(do.OpenUpstream).handle == "h2"


def test_the_budget_of_a_rebuilt_session() -> None:
    """A setting; a resumed session needs none."""
    it = scene(REBASE, history_budget=4000)
    it.let(*given(ADVICE))
    answered(it, 200).stores()
    it.let(on.UpstreamClosed(1000, ""))
    assert it.one(do.OpenUpstream).history_budget == 4000
    it.let(on.UpstreamReady())
    it.turn().gets_handle("h2").lost()
    assert (it.one(do.OpenUpstream).handle, it.one(do.OpenUpstream).history_budget) == ("h2", 0)


# Across connections and relays.


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


STORED = replace(ADVICE, state=DELIVERED, turn=3, tokens=11, detail="rebase")


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

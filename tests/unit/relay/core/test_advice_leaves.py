"""When advice is taken away again, and how that is proved: scenes of whole conversations."""

from dataclasses import replace

import pytest

from services.relay.core import effects as do
from services.relay.core import events as on
from services.relay.core import notices as tell
from services.relay.core.capabilities import UNHINDERED, Capability, Channel
from services.relay.core.model import (
    Continuity,
    Feedback,
    FeedbackPolicy,
    FeedbackState,
    RotationReason,
    Told,
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
    UPDATE,
    advice,
    answered,
    asked,
    given,
    gives,
    scene,
    states,
    stored,
)
from tests.unit.relay.core.scene import rotate_at_once

ROLE = replace(UNHINDERED, instruction=Channel.SYSTEM_ROLE)


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


@pytest.mark.parametrize(("text", "shown"), [(140, "seen in the usage"), (540, "no removal")])
def test_the_last_word_is_had_after_a_turn_that_was_counted_twice(text: int, shown: str) -> None:
    """A usage that rides along with a tool call makes no advice stale, and no removal too small to be seen."""
    it = scene(REPLACE)
    it.let(*given(replace(ADVICE, text="x" * 1600)))
    asked(it).calls("c1")
    it.let(on.UsageCounted(Usage(507, 0, {"TEXT": 507})), on.ToolResultGiven("c1", {"price": 5}))
    it.let(on.AgentSaid("five"), on.UsageCounted(Usage(540, 20, {"TEXT": 540}, 0, {"AUDIO": 20})))
    it.completes().stores()
    asked(it).answers()
    it.let(on.UsageCounted(Usage(text + 20, 20, {"TEXT": text, "AUDIO": 20}, 0, {"AUDIO": 20})))
    assert shown in it.one(do.TellWatchers).notice.change.detail


def test_the_last_word_is_had_after_a_usage_that_came_late() -> None:
    """The client speaks again when the turn is counted that the advice was for: it is compared all the same."""
    it = scene(REPLACE)
    it.let(*given(replace(ADVICE, text="x" * 1600)))
    stored(asked(it).answers().completes())
    it.let(on.SpeechBegan(), on.UsageCounted(Usage(527, 20, {"TEXT": 507, "AUDIO": 20}, 0, {"AUDIO": 20})))
    it.let(on.UserHeard("question"))
    it.answers()
    it.let(on.UsageCounted(Usage(140, 20, {"TEXT": 100, "AUDIO": 40}, 0, {"AUDIO": 20})))
    assert "seen in the usage" in it.one(do.TellWatchers).notice.change.detail


@pytest.mark.parametrize(("wish", "stale"), [(JUST_IN_TIME, 407), (REPLACE, 0)])
@pytest.mark.parametrize("late", ["before the voice", "after the next advice"])
def test_a_usage_that_comes_late_leaves_the_next_advice_alone(wish: FeedbackPolicy, stale: int, late: str) -> None:
    """It counts what was there when its turn ended; the advice that came since is counted with its own turn."""
    it = scene(wish)
    it.let(on.UsageCounted(Usage(120, 20, {"TEXT": 100, "AUDIO": 20}, 0, {"AUDIO": 20})))
    it.let(*given(replace(ADVICE, text="x" * 1600)))
    stored(asked(it).answers().completes())
    it.let(*given(replace(OTHER, text="y" * 800)))
    usage = on.UsageCounted(Usage(567, 20, {"TEXT": 507, "AUDIO": 60}, 0, {"AUDIO": 20}))
    it.position += 10
    first, second = (usage, on.SpeechBegan()) if late == "before the voice" else (on.SpeechBegan(), usage)
    it.let(first)
    it.let(second)
    held = it.core.coverage.ledger.held
    assert (held.feedback_live, held.feedback_stale) == (407, 0)
    it.let(on.UserHeard("question"))
    it.answers()
    text = 303 + stale
    it.let(on.UsageCounted(Usage(text + 100, 20, {"TEXT": text, "AUDIO": 100}, 0, {"AUDIO": 20})))
    ledger = it.core.coverage.ledger
    assert (ledger.held.feedback_stale, ledger.compressions, ledger.unverified) == (stale, 0, 0)
    assert ledger.held.feedback_live == pytest.approx(200, abs=5)


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

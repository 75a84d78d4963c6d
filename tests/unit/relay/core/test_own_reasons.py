"""What the relay notices by itself: silence, a false resume, a context too large, a store that is away."""

from dataclasses import replace

import pytest

from services.relay.core import effects as do
from services.relay.core import events as on
from services.relay.core import notices as tell
from services.relay.core.capabilities import CAPABILITIES, Backend, capability
from services.relay.core.coverage import MOST_TURNS
from services.relay.core.ledger import Ledger
from services.relay.core.model import Continuity, Mark, RotationReason, ToolCall, Usage
from services.relay.core.states import Phase
from tests.unit.relay.core.scene import CLIENT, POLICY, Scene, resumed

WATCHFUL = replace(POLICY, stall_after=20.0, dials_a_drop=3)


def usage(text: int, audio: int, response: int = 100) -> on.UsageCounted:
    """The tokens of a turn."""
    return on.UsageCounted(Usage(text + audio, response, {"TEXT": text, "AUDIO": audio}))


def counted(scene: Scene, text: int, audio: int) -> Scene:
    """A whole turn with its usage, stored and covered by a handle."""
    scene.asks().answers()
    scene.let(on.GenerationCompleted(), usage(text, audio))
    scene.let(on.TurnCompleted(scene.sent))
    return scene


def test_silence_in_the_middle_of_a_turn_is_a_stall() -> None:
    """Gemini has heard the client and says nothing: after the patience it is replaced, and the turn begins again."""
    scene = Scene(policy=WATCHFUL).live().turn().gets_handle("h1").asks()
    assert scene.core.deadline == scene.now + 20.0
    assert scene.after(19.0) == []
    scene.after(1.0)
    assert tell.Rotating(RotationReason.STALL, 2) in scene.told
    scene.let(on.UpstreamClosed(1006, ""))
    assert tell.TurnRestarted(2, RotationReason.STALL) in scene.told
    assert scene.one(do.OpenUpstream).handle == "h1"


def test_a_moment_that_passes_between_two_looks_is_not_lost() -> None:
    """A timer may go off a little early, and the clock be read a little late: the tick is wanted until it has come."""
    scene = Scene(policy=WATCHFUL).live().turn().gets_handle("h1").asks()
    moment = scene.core.deadline
    assert scene.after(19.9995) == []
    scene.now += 0.001
    assert scene.core.deadline == moment
    scene.let(on.Tick())
    assert tell.Rotating(RotationReason.STALL, 2) in scene.told


def test_an_answer_that_stops_halfway_is_a_stall() -> None:
    """The same in the middle of an answer; audio that still comes is no silence, though the core does not see it."""
    scene = Scene(policy=WATCHFUL).live().turn().gets_handle("h1").asks().answers()
    scene.now += 20.0
    assert scene.let(on.Tick(silence=0.5)) == []
    assert scene.core.deadline == scene.now + 19.5
    scene.now += 19.5
    scene.let(on.Tick(silence=20.0))
    assert tell.Rotating(RotationReason.STALL, 2) in scene.told


@pytest.mark.parametrize("quiet", ["idle", "whole", "tool"])
def test_silence_that_is_owed_nothing_is_no_stall(quiet: str) -> None:
    """Between turns, after a whole answer (it is being played), while a tool runs."""
    scene = Scene(policy=WATCHFUL).live().turn().gets_handle("h1")
    if quiet == "whole":
        scene.asks().answers().let(on.GenerationCompleted())
    if quiet == "tool":
        scene.asks().let(on.AnswerBegan(scene.sent), on.ToolsCalled((ToolCall("c1", "lookup", {}),)))
    assert scene.core.deadline is None
    assert scene.after(1000.0) == []


def test_speech_that_only_the_relay_hears_is_a_stall() -> None:
    """A connection that fell silent between turns transcribes nothing either. The patience begins with the speech."""
    scene = Scene(policy=WATCHFUL).live().turn().gets_handle("h1")
    scene.after(500.0)
    scene.let(on.SpeechBegan())
    assert scene.core.deadline == scene.now + 20.0
    scene.after(19.0)
    scene.let(on.SpeechBegan())  # "hello?": no reason to wait longer
    scene.after(1.0)
    assert tell.Rotating(RotationReason.STALL, 2) in scene.told


def test_a_noise_that_gemini_passes_over_costs_one_rotation() -> None:
    """After it, what the relay alone hears counts no more, until Gemini says something."""
    scene = Scene(policy=WATCHFUL).live().turn().gets_handle("h1")
    scene.let(on.SpeechBegan())
    scene.after(20.0)
    scene.let(on.UpstreamClosed(1000, ""), on.UpstreamReady(), on.SpeechBegan())
    assert scene.core.deadline is None
    scene.turn().gets_handle("h2").let(on.SpeechBegan())
    assert scene.core.deadline == scene.now + 20.0


def test_an_echo_of_the_answer_is_no_stall() -> None:
    """What the relay hears of the agent's own voice is over with the turn."""
    scene = Scene(policy=WATCHFUL).live().asks().answers()
    scene.let(on.SpeechBegan(), on.GenerationCompleted(), on.TurnCompleted(scene.sent))
    scene.stores()
    assert scene.core.deadline is None


def test_a_question_after_a_long_silence_is_given_its_time() -> None:
    """The patience begins with the question, not with the last thing that Gemini said."""
    scene = Scene(policy=WATCHFUL).live().turn().gets_handle("h1")
    scene.after(500.0)
    scene.let(on.ClientWrote("hello?"))
    assert scene.core.deadline == scene.now + 20.0
    assert scene.after(19.9) == []


def test_stalls_without_progress_end_in_giving_up() -> None:
    """However long each of them lasted, a connection that stalls has not proven itself: no endless redialling."""
    scene = Scene(policy=WATCHFUL).live().turn().gets_handle("h1")
    for _ in range(4):
        scene.asks()
        scene.after(20.0)
        scene.let(on.UpstreamClosed(1006, ""))
        if scene.core.phase is Phase.OVER:
            break
        scene.let(on.UpstreamReady())
    assert scene.core.phase is Phase.OVER
    assert scene.one(do.CloseClient).why is do.Farewell.UPSTREAM_UNAVAILABLE


def rotated(scene: Scene) -> Scene:
    """A goAway, and the rotation that it asks for."""
    scene.let(on.GoAway(60.0))
    scene.let(on.UpstreamClosed(1000, ""), on.UpstreamReady())
    assert scene.core.phase is Phase.LIVE
    return scene


def test_a_false_resume_is_found_and_mended() -> None:
    """After the resume the audio is gone: the handle is deleted at once, the context rebuilt when the turn is over."""
    scene = Scene().live()
    counted(scene, 1000, 2000).stores().gets_handle("h1")
    rotated(scene)
    scene.asks().answers()
    scene.let(on.GenerationCompleted(), usage(1000, 100))
    assert scene.core.coverage.handle is None
    assert scene.one(do.InvalidateHandle).reason.startswith("the resume was false")
    scene.let(on.HandleUpdated("of the amnesiac"))
    assert scene.core.coverage.handle is None
    scene.let(on.TurnCompleted(scene.sent))
    assert tell.Rotating(RotationReason.FALSE_RESUME, 3) in scene.told
    scene.let(on.HandleUpdated("of the amnesiac"), on.UpstreamClosed(1000, ""))
    opening = scene.one(do.OpenUpstream)
    assert opening.handle is None
    assert (opening.history_through, [turn.number for turn in opening.content]) == (1, [2])
    scene.let(on.UpstreamReady())
    assert scene.core.continuity is Continuity.TRANSCRIPT
    scene.let(on.HandleUpdated("new"))
    assert scene.core.coverage.handle is None, "a handle from before the history was taken in"
    counted(scene, 1000, 50).let(on.HandleUpdated("new"))
    assert scene.core.coverage.handle is not None


def test_a_false_resume_is_mended_although_a_goaway_hurries() -> None:
    """The verdict is given once: it must not be lost to another demand, nor the handle be used again."""
    scene = Scene().live()
    counted(scene, 1000, 2000).stores().gets_handle("h1")
    rotated(scene)
    scene.let(on.SpeechBegan(), on.GoAway(20.0))
    scene.asks().answers()
    scene.let(on.GenerationCompleted(), usage(1000, 100))
    assert scene.core.coverage.handle is None
    assert scene.one(do.InvalidateHandle).reason.startswith("the resume was false")
    scene.let(on.TurnCompleted(scene.sent))
    assert tell.Rotating(RotationReason.FALSE_RESUME, 3) in scene.told
    scene.let(on.UpstreamClosed(1000, ""))
    assert scene.one(do.OpenUpstream).handle is None


def test_a_goaway_hurries_a_false_resume() -> None:
    """It comes while an answer is waited for: at the latest then the context is rebuilt, and told as what it is."""
    scene = Scene().live()
    counted(scene, 1000, 2000).stores().gets_handle("h1")
    rotated(scene)
    scene.asks().answers()
    scene.let(usage(1000, 100), on.GoAway(10.0))
    scene.after(9.0)
    assert tell.Rotating(RotationReason.FALSE_RESUME, 2) in scene.told


def test_a_true_resume_is_left_alone() -> None:
    """The context is all there: nothing happens."""
    scene = Scene().live()
    counted(scene, 1000, 2000).stores().gets_handle("h1")
    counted(rotated(scene), 1000, 2100)
    assert not scene.found(do.InvalidateHandle)
    assert scene.core.phase is Phase.LIVE


def test_only_the_first_turn_after_a_resume_is_judged() -> None:
    """What comes later may be compression."""
    scene = Scene().live()
    counted(scene, 1000, 2000).stores().gets_handle("h1")
    counted(rotated(scene), 1000, 2100).stores().gets_handle("h2")
    counted(scene, 1000, 100)
    assert not scene.found(do.InvalidateHandle)


def said(scene: Scene, audio: int, seconds: float, *, interrupted: bool = False) -> Scene:
    """A spoken turn: the audio in its prompt, and how long the client spoke; its answer has 100 tokens."""
    told = Usage(1000 + audio, 100, {"TEXT": 1000, "AUDIO": audio}, answer_by_modality={"AUDIO": 100})
    scene.asks().answers()
    scene.let(on.Interrupted() if interrupted else on.GenerationCompleted())
    scene.let(on.UsageCounted(told, heard=seconds), on.TurnCompleted(scene.sent))
    return scene


def test_a_long_utterance_does_not_hide_an_early_loss() -> None:
    """After the resume the prompt is as large as before, but all of it is new."""
    scene = Scene().live()
    said(scene, 200, 8.0).stores()
    said(scene, 500, 8.0).stores().gets_handle("h1")
    said(rotated(scene), 1000, 40.0)
    assert tell.Rotating(RotationReason.FALSE_RESUME, 4) in scene.told


def test_an_interrupted_answer_is_not_looked_for() -> None:
    """Gemini keeps only what was heard of it, and nobody knows how much that was."""
    scene = Scene().live()
    said(scene, 200, 8.0).stores()
    said(scene, 500, 8.0).stores()
    said(scene, 610, 0.4, interrupted=True).stores().gets_handle("h1")
    said(rotated(scene), 590, 4.0)
    assert not scene.found(do.InvalidateHandle)
    assert scene.core.phase is Phase.LIVE


def test_a_resume_on_another_relay_is_judged_by_the_stored_usage() -> None:
    """The usage comes with the ledger of the last checkpoint."""
    before = Ledger(usage=Usage(3000, 100, {"TEXT": 1000, "AUDIO": 2000}))
    scene = Scene(replace(resumed(), ledger=before)).live().asks().answers()
    scene.let(on.GenerationCompleted(), usage(1000, 0))
    assert scene.found(do.InvalidateHandle)


def test_the_client_need_not_mend_a_false_resume() -> None:
    """With rotation=client too: what the relay finds wrong, it mends under the open socket."""
    scene = Scene().live(CLIENT)
    counted(scene, 1000, 2000).stores().gets_handle("h1")
    scene.let(on.GoAway(60.0), on.ClientLeft(), on.UpstreamClosed(1000, ""))
    scene.let(on.ClientJoined(CLIENT), on.UpstreamReady())
    counted(scene, 1000, 0)
    assert tell.Rotating(RotationReason.FALSE_RESUME, 3) in scene.told


def test_a_context_that_is_too_large_is_rebuilt() -> None:
    """Long audio becomes text: a planned rebuild, told as `rebased`; not again before it has grown for a reason."""
    scene = Scene(policy=replace(POLICY, context_limit=5000)).live()
    counted(scene, 1000, 2000).stores().gets_handle("h1")
    counted(scene, 1000, 4000)
    assert tell.Rotating(RotationReason.CONTEXT_PRESSURE, 3) in scene.told
    assert scene.one(do.Checkpoint).invalidate, "the polluted handle goes with the turn's own checkpoint"
    scene.let(on.UpstreamClosed(1000, ""))
    assert scene.one(do.OpenUpstream).handle is None
    scene.let(on.UpstreamReady())
    assert scene.core.continuity is Continuity.REBASED
    scene.let(on.CheckpointStored(scene.position, 2))
    counted(scene, 5000, 100)
    assert not scene.found(do.CloseUpstream), "it is as small as it gets"
    counted(scene, 5000, 1500)
    assert scene.found(do.CloseUpstream)


def test_no_context_is_given_up_while_the_store_is_away() -> None:
    """The transcript could not be had: what works is kept, and rebuilt when the store is back."""
    scene = Scene(policy=replace(POLICY, context_limit=5000)).live()
    counted(scene, 1000, 2000).stores().gets_handle("h1")
    counted(scene, 1000, 3000)
    counted(scene, 1000, 3500)
    counted(scene, 1000, 4500)
    assert scene.core.coverage.waiting == 3
    assert (scene.core.phase, scene.core.coverage.handle is not None) == (Phase.LIVE, True)
    scene.let(on.CheckpointStored(scene.position, 4))
    counted(scene, 1000, 5000)
    assert tell.Rotating(RotationReason.CONTEXT_PRESSURE, 6) in scene.told


def test_a_model_that_refuses_content_is_rebuilt_instead() -> None:
    """Turns newer than the handle cannot be sent into a resumed session of such a model: history it is."""
    strict = capability("models/gemini-3.1-flash-live-preview")
    assert not strict.mid_session_content
    scene = Scene(replace(resumed(covers=3, turns=5), capability=strict))
    scene.let(on.ClientJoined(CLIENT))
    opening = scene.one(do.OpenUpstream)
    assert (opening.handle, opening.history_through, opening.content) == (None, 5, ())
    covered = Scene(replace(resumed(covers=5, turns=5), capability=strict))
    covered.let(on.ClientJoined(CLIENT))
    assert covered.one(do.OpenUpstream).handle == "old"


def test_every_model_has_a_capability() -> None:
    """The longest name decides, dated previews need no row, an unknown model gets what is safe."""
    assert capability("models/gemini-live-2.5-flash-native-audio-09-2025").window == 128_000
    assert capability("publishers/google/models/gemini-live-2.5-flash").window == 32_000
    assert capability("models/of-tomorrow", Backend.VERTEX) is CAPABILITIES[-1]
    assert not CAPABILITIES[-1].mid_session_content
    assert all(row.evidence for row in CAPABILITIES)


def test_a_store_that_stays_away_ends_it_in_the_end() -> None:
    """Turns wait for the store, bounded; nothing is called covered meanwhile, and the client is told to come back."""
    scene = Scene(policy=replace(POLICY, unsaved_turns=3)).live()
    for _ in range(3):
        scene.asks().answers().completes()
        assert not any(isinstance(notice, tell.InputCovered) for notice in scene.told)
    scene.asks().answers().completes()
    assert scene.core.phase is Phase.OVER
    assert scene.one(do.CloseClient).why is do.Farewell.STORE_UNAVAILABLE
    assert [turn.number for turn in scene.one(do.Checkpoint).turns] == [1, 2, 3, 4]


def test_two_utterances_that_waited_are_two_turns() -> None:
    """After a gap both are sent at once: the second stops the answer to the first, and is to be sent after a cut."""
    scene = Scene().live().turn().gets_handle("h1")
    first, second = Mark(scene.position, scene.position), Mark(scene.position + 10, scene.position + 10)
    scene.let(on.SpeechBegan(first, waiting=True), on.SpeechBegan(second, waiting=True))
    scene.position += 20
    scene.let(on.UserHeard("first"))
    scene.answers().let(on.Interrupted())
    scene.completes()
    assert scene.core.talk.boundary == second


def test_a_noise_before_the_speech_moves_no_boundary() -> None:
    """Live, a second beginning that Gemini has not answered to may be the first that it hears."""
    scene = Scene().live().turn().gets_handle("h1")
    scene.let(on.SpeechBegan(Mark(11, 11)), on.SpeechBegan(Mark(15, 15)))
    scene.position = 30
    scene.let(on.UserHeard("hello"))
    scene.answers().completes()
    assert scene.core.talk.boundary == Mark(30, 30)


def test_many_turns_that_waited_are_stored_in_several_checkpoints() -> None:
    """The store takes only so many at once; the handle goes with the last of them."""
    scene = Scene().live()
    for _ in range(MOST_TURNS + 5):
        scene.asks().answers().completes()
    scene.let(on.HandleUpdated("h"))
    scene.let(on.CheckpointStored(10, 1))
    first = scene.one(do.Checkpoint)
    assert (len(first.turns), first.handle) == (MOST_TURNS, None)
    scene.let(on.CheckpointStored(10 * MOST_TURNS, first.turns[-1].number))
    second = scene.one(do.Checkpoint)
    assert [turn.number for turn in second.turns] == list(range(MOST_TURNS + 2, MOST_TURNS + 6))
    assert second.handle is not None


def test_the_end_elsewhere_is_told_as_an_end() -> None:
    """The platform ended it at another replica: the client is told so, and nothing more is written."""
    scene = Scene().live().turn()
    scene.let(on.EndedElsewhere())
    assert tell.ConversationOver("ended by the platform") in scene.told
    assert scene.one(do.CloseClient).why is do.Farewell.OVER
    assert not scene.found(do.Checkpoint)


def test_a_write_that_can_never_be_taken_is_a_failure() -> None:
    """It is nobody else's conversation: the client is closed with 1011 and may come back."""
    scene = Scene().live().turn()
    scene.let(on.StoreRefused())
    assert scene.one(do.CloseClient).why is do.Farewell.FAILED


def test_of_two_demands_neither_is_put_off() -> None:
    """The age limit comes while a goAway waits: it ends sooner, and the moment from which speech will do stays."""
    policy = replace(POLICY, max_age=100.0, age_patience=16.0, goaway_margin=0.0)
    scene = Scene(policy=policy).live().turn().asks()
    scene.after(90.0)
    scene.let(on.GoAway(30.0))
    scene.after(10.0)
    assert scene.core.deadline == scene.now + 5.0
    scene.answers()
    scene.after(5.0)
    assert scene.core.deadline == scene.now + 11.0

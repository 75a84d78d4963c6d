"""A conversation at one relay: how it opens, rotates by itself, loses its upstream, and ends."""

import pytest

from services.relay.core import effects as do
from services.relay.core import events as on
from services.relay.core import notices as tell
from services.relay.core.attachment import Attachment
from services.relay.core.model import START, Continuity, Mark, Policy, RotationReason, UpstreamHandle
from services.relay.core.states import Phase
from tests.unit.relay.core.scene import CLIENT, POLICY, RELAY, Scene, resumed

HANDLE, TRANSCRIPT, NONE = Continuity.HANDLE, Continuity.TRANSCRIPT, Continuity.NONE
GO_AWAY, CLOSED, REJECTED = RotationReason.GO_AWAY, RotationReason.UPSTREAM_CLOSED, RotationReason.HANDLE_REJECTED


def opened(scene: Scene) -> tuple[str | None, int, list[int], float]:
    """The dial in the last answer: handle, history, content by number, bound of the wait."""
    effect = scene.one(do.OpenUpstream)
    return effect.handle, effect.history_through, [turn.number for turn in effect.content], effect.wait_at_most


def rotate_at_once(scene: Scene) -> None:
    """A goAway that finds the conversation between turns, and the old connection's close."""
    scene.let(on.GoAway(10.0))
    assert scene.kinds[:3] == [tell.Rotating, do.StopSending, do.CloseUpstream]
    scene.let(on.UpstreamClosed(1000, ""))


# Opening.


def test_a_first_client_opens_a_session_of_its_own() -> None:
    """No handle, no history, no wait; and when it is ready the client hears that the session started."""
    scene = Scene()
    assert scene.core.phase is Phase.PARKED
    scene.let(on.ClientJoined(RELAY))
    assert scene.out == [do.OpenUpstream(None, 0, (), 0.0)]
    scene.let(on.UpstreamReady())
    assert scene.out == [do.StartSending(START), do.Welcome(None)]
    assert (scene.core.phase, scene.core.continuity) == (Phase.LIVE, NONE)


def test_a_conversation_that_was_here_before_resumes_from_its_handle() -> None:
    """What the handle does not cover is sent after it; input goes on after what is stored."""
    scene = Scene(resumed(covers=3, turns=5))
    scene.let(on.ClientJoined(RELAY))
    assert opened(scene) == ("old", 0, [4, 5], 0.0)
    scene.let(on.UpstreamReady())
    assert scene.out == [do.StartSending(Mark(0, 50)), do.Welcome(HANDLE)]
    assert scene.core.talk.number == 6


def test_without_a_handle_it_is_rebuilt_from_the_transcript() -> None:
    """All stored turns are history, and the client is told the truth."""
    scene = Scene(Attachment(new=False, turn_count=5, covered_seq=50))
    scene.let(on.ClientJoined(RELAY))
    assert opened(scene) == (None, 5, [], 0.0)
    scene.let(on.UpstreamReady())
    assert scene.one(do.Welcome) == do.Welcome(TRANSCRIPT)
    assert scene.turn().found(do.Checkpoint) == []


def test_without_a_turn_there_is_nothing_to_survive() -> None:
    """Somebody was here before and said nothing: resumed, with continuity none."""
    scene = Scene(Attachment(new=False))
    scene.let(on.ClientJoined(RELAY), on.UpstreamReady())
    assert scene.one(do.Welcome) == do.Welcome(NONE)


def test_how_the_context_survived_is_stored_with_the_next_turn() -> None:
    """Continuity goes to the store; for a conversation that begins there is none to tell."""
    scene = Scene(resumed()).live()
    scene.asks().answers().completes()
    assert scene.one(do.Checkpoint).continuity is HANDLE
    scene = Scene().live()
    scene.asks().answers().completes()
    assert scene.one(do.Checkpoint).continuity is None


def test_the_first_client_leaves_before_the_upstream_is_ready() -> None:
    """The session still starts, for whoever comes back."""
    scene = Scene()
    scene.let(on.ClientJoined(RELAY), on.ClientLeft())
    scene.let(on.UpstreamReady())
    assert scene.found(do.Welcome) == []
    scene.let(on.ClientJoined(RELAY))
    assert scene.out == [do.Welcome(None)]


def test_a_client_that_comes_back_to_a_turn_was_there_before() -> None:
    """It had spoken before it was greeted: started would be a lie by then."""
    scene = Scene()
    scene.let(on.ClientJoined(RELAY), on.ClientLeft(), on.UpstreamReady())
    scene.turn()
    scene.let(on.ClientJoined(RELAY))
    assert scene.out == [do.Welcome(HANDLE)]


# The client goes and comes.


def test_a_client_that_returns_within_grace_finds_the_same_upstream() -> None:
    """Welcome at once, nothing dialled, whatever was going on goes on."""
    scene = Scene().live().asks().answers()
    scene.let(on.ClientLeft())
    assert scene.out == []
    assert scene.core.deadline(scene.now) == scene.now + POLICY.grace
    assert scene.after(POLICY.grace - 0.1) == []
    assert scene.let(on.ClientJoined(RELAY)) == [do.Welcome(HANDLE)]
    assert scene.core.deadline(scene.now) is None
    scene.completes()
    assert tell.TurnEnded(1, interrupted=False) in scene.told


def test_a_second_client_takes_the_place_of_the_first() -> None:
    """A join without a leave: the newer socket is welcomed."""
    scene = Scene().live()
    assert scene.let(on.ClientJoined(RELAY)) == [do.Welcome(HANDLE)]


def test_when_grace_is_over_the_conversation_is_given_back() -> None:
    """What is not stored is stored, the upstream closed, the conversation released; then nothing more."""
    scene = Scene().live().turn().asks().answers().completes()
    scene.let(on.ClientLeft())
    scene.after(POLICY.grace)
    assert scene.kinds == [do.Checkpoint, do.StopSending, do.CloseUpstream, do.Release, do.Stop]
    assert [turn.number for turn in scene.one(do.Checkpoint).turns] == [2]
    assert scene.core.phase is Phase.OVER
    assert scene.core.deadline(scene.now) is None


def test_nobody_ever_comes() -> None:
    """An attached conversation whose client is gone before it joined does not stay for ever."""
    scene = Scene()
    assert scene.core.deadline(scene.now) == scene.now + POLICY.grace
    scene.after(POLICY.grace)
    assert scene.kinds == [do.Release, do.Stop]


def test_grace_is_over_while_it_is_dialled() -> None:
    """The dial is dropped with the rest: there is nothing to close."""
    scene = Scene()
    scene.let(on.ClientJoined(RELAY), on.ClientLeft())
    scene.after(POLICY.grace)
    assert scene.kinds == [do.Release, do.Stop]


# Rotation by the relay.


def test_goaway_between_turns_rotates_at_once() -> None:
    """The old connection is closed first; its close opens the next one from the covering handle."""
    scene = Scene().live().turn().gets_handle("h1")
    scene.let(on.GoAway(10.0))
    assert scene.out == [do.Tell(tell.Rotating(GO_AWAY, 2)), do.StopSending(), do.CloseUpstream()]
    assert scene.core.phase is Phase.CLOSING
    scene.now += 0.1
    scene.let(on.UpstreamClosed(1000, ""))
    assert scene.out == [do.OpenUpstream("h1", 0, (), 0.0)]
    scene.now += 0.2
    scene.let(on.UpstreamReady())
    assert scene.out[0] == do.StartSending(Mark(10, 10))
    (rotated,) = scene.told
    assert isinstance(rotated, tell.Rotated)
    assert (rotated.reason, rotated.continuity, rotated.turn) == (GO_AWAY, HANDLE, 2)
    assert rotated.gap == pytest.approx(0.3)
    assert scene.core.rotations == 1
    assert scene.found(do.Welcome) == []


def test_goaway_waits_for_the_end_of_an_answer() -> None:
    """Not into an answer, and after it not before the handle that covers it."""
    scene = Scene().live().turn().gets_handle("h1").asks().answers()
    assert scene.let(on.GoAway(10.0)) == []
    scene.now += 2
    scene.completes()
    assert do.CloseUpstream not in scene.kinds
    scene.stores()
    assert scene.core.phase is Phase.LIVE
    scene.let(on.HandleUpdated("h2"))
    assert scene.kinds == [tell.Rotating, do.StopSending, do.CloseUpstream, do.Checkpoint]


def test_goaway_while_the_client_speaks_waits_until_soon() -> None:
    """Half of the time is given to a better moment; then what the client says is sent again."""
    scene = Scene().live().turn().gets_handle("h1")
    scene.let(on.SpeechBegan())
    assert scene.let(on.GoAway(11.0)) == []
    assert scene.core.deadline(scene.now) == scene.now + 5.0
    assert scene.after(4.9) == []
    scene.after(0.1)
    assert scene.kinds == [tell.Rotating, do.StopSending, do.CloseUpstream]


def test_at_the_latest_an_answer_is_cut() -> None:
    """The partial answer is withdrawn, the turn begins again, its input is sent again from the boundary."""
    scene = Scene().live().turn().gets_handle("h1").asks().answers()
    scene.let(on.GoAway(10.0))
    assert scene.core.deadline(scene.now) == scene.now + 4.5
    scene.after(4.5)
    assert scene.core.deadline(scene.now) == scene.now + 4.5
    scene.after(4.5)
    assert scene.kinds == [tell.Rotating, do.StopSending, do.CloseUpstream]
    scene.let(on.UpstreamClosed(1000, ""))
    assert scene.out == [do.Tell(tell.TurnRestarted(2, GO_AWAY)), do.OpenUpstream("h1", 0, (), 0.0)]
    scene.let(on.UpstreamReady())
    assert scene.one(do.StartSending) == do.StartSending(Mark(10, 10))


def test_an_answer_that_ends_while_its_connection_is_closed_is_not_cut() -> None:
    """Its last frames are still read: the turn is completed, and the next connection is told of it."""
    scene = Scene().live().turn().gets_handle("h1").asks().answers()
    scene.let(on.GoAway(1.0))
    assert scene.core.phase is Phase.CLOSING
    scene.completes().stores()
    scene.let(on.UpstreamClosed(1000, ""))
    assert scene.told == []
    assert opened(scene) == ("h1", 0, [2], 0.0)
    scene.let(on.UpstreamReady())
    assert scene.one(do.StartSending) == do.StartSending(Mark(20, 20))


def test_a_handle_that_comes_while_its_connection_is_closed_counts() -> None:
    """The newest handle is the best, wherever it was read."""
    scene = Scene().live().turn().gets_handle("h1").asks().answers()
    scene.let(on.GoAway(1.0))
    scene.completes().stores().gets_handle("h2")
    scene.let(on.UpstreamClosed(1000, ""))
    assert opened(scene) == ("h2", 0, [], 0.0)


def test_a_pending_tool_holds_the_rotation() -> None:
    """The model waits for the client: after the answer is better, the latest moment is the latest."""
    scene = Scene().live().turn().gets_handle("h1").asks().calls("c1")
    assert scene.let(on.GoAway(10.0)) == []
    assert scene.after(8.9) == []
    scene.after(0.1)
    assert do.CloseUpstream in scene.kinds


def test_the_nearer_of_two_goaways_counts() -> None:
    """A second warning may only bring the end nearer."""
    scene = Scene().live().turn().gets_handle("h1").asks().answers()
    scene.let(on.GoAway(10.0), on.GoAway(60.0))
    assert scene.core.deadline(scene.now) == scene.now + 4.5
    scene.let(on.GoAway(5.0))
    assert scene.core.deadline(scene.now) == scene.now + 2.0


def test_goaway_without_a_time() -> None:
    """The assumed time left is what it waits at most."""
    scene = Scene().live().turn().gets_handle("h1").asks().answers()
    scene.let(on.GoAway(None))
    scene.after(POLICY.goaway_unknown - POLICY.goaway_margin)
    assert scene.core.phase is Phase.CLOSING


def test_without_any_handle_a_rotation_waits_to_the_last() -> None:
    """Nothing covers the talk: it is rebuilt from the transcript, and only when it must be."""
    scene = Scene().live().turn()
    assert scene.let(on.GoAway(10.0)) == []
    scene.after(9.0)
    scene.let(on.UpstreamClosed(1000, ""))
    assert opened(scene) == (None, 0, [1], 0.0)
    scene.let(on.UpstreamReady())
    assert [notice.continuity for notice in scene.told if isinstance(notice, tell.Rotated)] == [TRANSCRIPT]


def test_an_old_connection_is_rotated() -> None:
    """Past its age at the next good moment; with no good moment, after the patience is over."""
    policy = Policy(max_age=100.0, age_patience=20.0, grace=1000.0, stall_after=0.0)
    scene = Scene(policy=policy).live().turn().gets_handle("h1")
    assert scene.core.deadline(scene.now) == scene.now + 100.0
    scene.after(100.0)
    assert scene.told == [tell.Rotating(RotationReason.AGE, 2)]
    scene.let(on.UpstreamClosed(1000, ""), on.UpstreamReady())
    scene.asks().answers()
    scene.after(100.0)
    assert scene.out == []
    scene.after(10.0)
    assert scene.out == []
    scene.after(10.0)
    assert scene.told == [tell.Rotating(RotationReason.AGE, 2)]


def test_age_does_not_count_while_nothing_is_open() -> None:
    """Only a live connection grows old."""
    scene = Scene(policy=Policy(max_age=100.0))
    scene.let(on.ClientJoined(RELAY))
    assert scene.core.deadline(scene.now) is None
    assert scene.after(500.0) == []


def test_the_client_leaves_while_the_upstream_is_replaced() -> None:
    """Nobody is there to talk to: the conversation is parked, and opened again for the client."""
    scene = Scene().live().turn().gets_handle("h1")
    scene.let(on.GoAway(10.0), on.ClientLeft())
    assert scene.let(on.UpstreamClosed(1000, "")) == []
    assert scene.core.phase is Phase.PARKED
    scene.let(on.ClientJoined(RELAY))
    assert opened(scene) == ("h1", 0, [], 0.0)
    scene.let(on.UpstreamReady())
    assert scene.out == [do.StartSending(Mark(10, 10)), do.Welcome(HANDLE)]


def test_a_rotation_of_a_conversation_without_client_is_not_told() -> None:
    """There is no socket under which the upstream would be replaced."""
    scene = Scene().live().turn().gets_handle("h1")
    scene.let(on.ClientLeft(), on.GoAway(10.0))
    assert scene.out == [do.StopSending(), do.CloseUpstream()]
    assert scene.let(on.UpstreamClosed(1000, "")) == []
    assert scene.core.phase is Phase.PARKED


def test_a_client_that_returns_while_the_upstream_is_replaced_is_welcomed_by_the_next() -> None:
    """It waits for the new connection; what it says meanwhile is kept."""
    scene = Scene().live().turn().gets_handle("h1")
    scene.let(on.GoAway(10.0), on.ClientLeft())
    assert scene.let(on.ClientJoined(RELAY)) == []
    scene.let(on.UpstreamClosed(1000, ""))
    assert opened(scene) == ("h1", 0, [], 0.0)
    scene.let(on.UpstreamReady())
    assert do.Welcome(HANDLE) in scene.out


# The upstream is lost.


def test_lost_between_turns() -> None:
    """Resumed from the handle; nothing was cut."""
    scene = Scene().live().turn().gets_handle("h1")
    scene.lost()
    assert scene.out == [
        do.StopSending(),
        do.Tell(tell.Rotating(CLOSED, 2)),
        do.OpenUpstream("h1", 0, (), 0.0),
    ]
    scene.let(on.UpstreamReady())
    assert isinstance(scene.told[0], tell.Rotated)


def test_lost_while_the_client_speaks() -> None:
    """What was heard is withdrawn and heard again; what waits to be heard is sent from the boundary."""
    scene = Scene().live().turn().gets_handle("h1").asks("half a quest")
    scene.lost()
    assert scene.told == [tell.TurnRestarted(2, CLOSED), tell.Rotating(CLOSED, 2)]
    scene.let(on.UpstreamReady())
    assert scene.one(do.StartSending) == do.StartSending(Mark(10, 10))


def test_lost_in_an_answer() -> None:
    """The answer is withdrawn and comes again."""
    scene = Scene().live().turn().gets_handle("h1").asks().answers("half an ans")
    scene.lost()
    assert scene.told == [tell.TurnRestarted(2, CLOSED), tell.Rotating(CLOSED, 2)]
    scene.let(on.UpstreamReady())
    scene.let(on.UserHeard("question"))
    scene.answers("answer").completes()
    turn = scene.one(do.Checkpoint).turns[0]
    assert (turn.user_text, turn.agent_text) == ("question", "answer")


def test_lost_after_the_whole_answer() -> None:
    """The turn is over, is stored, and the next connection is told of it instead of answering it again."""
    scene = Scene().live().turn().gets_handle("h1").asks().answers()
    scene.let(on.GenerationCompleted())
    scene.lost()
    assert scene.kinds == [
        tell.TurnEnded,
        do.Forget,
        do.StopSending,
        tell.Rotating,
        do.OpenUpstream,
        do.Checkpoint,
    ]
    assert opened(scene) == ("h1", 0, [2], 0.0)


def test_lost_with_a_tool_pending() -> None:
    """The turn begins again; the model asks again, and is answered from the memo if the result came meanwhile."""
    scene = Scene().live().turn().gets_handle("h1").asks().calls("c1", sku="A")
    scene.lost()
    assert scene.told == [tell.TurnRestarted(2, CLOSED), tell.Rotating(CLOSED, 2)]
    assert scene.let(on.ToolResultGiven("c1", {"price": 1})) == []
    scene.let(on.UpstreamReady())
    scene.calls("d1", sku="A")
    assert scene.out == [do.AnswerTool("d1", "lookup", {"price": 1})]


def test_a_tools_result_goes_to_the_model() -> None:
    """For a call that waits, on a connection that lives; anything else is for nobody."""
    scene = Scene().live().asks().calls("c1")
    assert scene.let(on.ToolResultGiven("x", {})) == []
    assert scene.let(on.ToolResultGiven("c1", {"price": 1})) == [do.AnswerTool("c1", "lookup", {"price": 1})]


def test_a_tools_result_for_a_connection_that_is_being_closed() -> None:
    """It is not sent into the close, but remembered."""
    scene = Scene().live().turn().gets_handle("h1").asks().calls("c1")
    scene.let(on.GoAway(0.0))
    assert scene.core.phase is Phase.CLOSING
    assert scene.let(on.ToolResultGiven("c1", {"price": 1})) == []
    scene.let(on.UpstreamClosed(1000, ""), on.UpstreamReady())
    scene.calls("d1")
    assert scene.out == [do.AnswerTool("d1", "lookup", {"price": 1})]


def test_lost_while_nobody_is_there() -> None:
    """Nothing is dialled for nobody."""
    scene = Scene().live().turn().gets_handle("h1").asks().answers()
    scene.let(on.ClientLeft())
    scene.lost()
    assert scene.kinds == [tell.TurnRestarted, do.StopSending]
    assert scene.core.phase is Phase.PARKED
    assert scene.lost() == []
    scene.let(on.ClientJoined(RELAY))
    assert opened(scene) == ("h1", 0, [], 0.0)


def test_a_dead_handle_is_deleted_and_the_conversation_rebuilt() -> None:
    """The store is told, the transcript takes the handle's place, the client hears how the context survived."""
    scene = Scene(resumed(covers=3, turns=5))
    scene.let(on.ClientJoined(RELAY))
    scene.lost(1008, "BidiGenerateContent session not found")
    assert scene.kinds == [do.StopSending, do.InvalidateHandle, do.OpenUpstream]
    assert opened(scene) == (None, 5, [], 0.25)
    scene.let(on.UpstreamReady())
    assert scene.one(do.Welcome) == do.Welcome(TRANSCRIPT)


def test_a_dead_handle_in_a_rotation() -> None:
    """The rotation goes on, from the transcript; its reason is the one it had."""
    scene = Scene().live().turn().gets_handle("h1")
    rotate_at_once(scene)
    scene.lost(1008, "Requested entity was not found.")
    assert opened(scene) == (None, 1, [], 0.25)
    scene.let(on.UpstreamReady())
    assert [(notice.reason, notice.continuity) for notice in scene.told if isinstance(notice, tell.Rotated)] == [
        (GO_AWAY, TRANSCRIPT)
    ]


def test_a_context_that_is_poisoned_is_rebuilt_once() -> None:
    """1007 in a live session: fresh from the transcript; 1007 again before a turn: that is the end."""
    scene = Scene().live().turn().gets_handle("h1").turn()
    scene.lost(1007, "Request contains an invalid argument.")
    assert scene.one(do.InvalidateHandle).reason == "1007 Request contains an invalid argument."
    assert scene.told == [tell.Rotating(REJECTED, 3)]
    assert opened(scene) == (None, 2, [], 0.0)
    scene.let(on.UpstreamReady())
    scene.lost(1007, "Request contains an invalid argument.")
    assert scene.core.phase is Phase.OVER
    assert scene.one(do.CloseClient).why is do.Farewell.UPSTREAM_REFUSED


def test_a_rebuilt_session_that_proves_itself_may_be_rebuilt_again() -> None:
    """A completed turn shows that the setup is good: the next 1007 is a new case."""
    scene = Scene().live().turn()
    scene.lost(1007, "invalid argument")
    assert scene.found(do.InvalidateHandle) == []
    assert opened(scene) == (None, 0, [1], 0.0)
    scene.let(on.UpstreamReady())
    scene.turn()
    scene.lost(1007, "invalid argument")
    assert scene.core.phase is Phase.OPENING


def test_turns_that_are_not_stored_yet_are_told_from_here() -> None:
    """History comes from the store up to what it surely has; the rest as content: each turn once."""
    scene = Scene().live().turn().gets_handle("h1").turn()
    scene.asks().answers().completes()
    scene.lost(1008, "session not found")
    assert opened(scene) == (None, 2, [3], 0.0)


def test_three_refused_resumes_give_the_handle_up() -> None:
    """Two may be the old socket's fault; after the third the transcript is better."""
    scene = Scene(resumed())
    scene.let(on.ClientJoined(RELAY))
    for _ in range(2):
        scene.lost(1011, "Internal error encountered.")
        assert opened(scene)[0] == "old"
    scene.lost(1011, "Internal error encountered.")
    assert scene.found(do.InvalidateHandle) != []
    assert opened(scene)[:2] == (None, 3)


def test_refusals_are_counted_in_a_row() -> None:
    """A resume that worked begins the count anew."""
    scene = Scene(resumed(), policy=Policy(dials_a_drop=20)).live()
    for _ in range(4):
        scene.lost(1006)
        for _ in range(2):
            scene.lost(1011, "Internal error encountered.")
            assert opened(scene)[0] == "old"
        scene.let(on.UpstreamReady())


def test_a_refused_key_is_the_end() -> None:
    """No attempt helps: the client is told so, the conversation is stored and given back."""
    scene = Scene()
    scene.let(on.ClientJoined(RELAY))
    scene.lost(1007, "API key not valid. Please pass a valid API key.")
    assert scene.told == [
        tell.UpstreamTrouble("Gemini refused: 1007 API key not valid. Please pass a valid API key.", retryable=False)
    ]
    assert scene.kinds == [do.StopSending, tell.UpstreamTrouble, do.Release, do.CloseClient, do.Stop]
    assert scene.one(do.CloseClient).why is do.Farewell.UPSTREAM_REFUSED


def test_the_budget_of_a_drop() -> None:
    """Waits grow, then it is given up with a farewell that says: come back later."""
    scene = Scene().live().turn().gets_handle("h1")
    waits = []
    for _ in range(POLICY.dials_a_drop):
        scene.lost()
        waits.append(opened(scene)[3])
    assert waits == [0.0, 0.25, 0.5, 1.0]
    scene.lost()
    assert scene.kinds == [do.StopSending, tell.UpstreamTrouble, do.Release, do.CloseClient, do.Stop]
    assert scene.one(do.CloseClient).why is do.Farewell.UPSTREAM_UNAVAILABLE
    assert scene.told == [tell.UpstreamTrouble("Gemini cannot be reached", retryable=True)]


def test_a_connection_that_lived_long_enough_was_no_failure() -> None:
    """Its loss is a first one."""
    scene = Scene(resumed())
    scene.let(on.ClientJoined(RELAY))
    scene.lost()
    scene.let(on.UpstreamReady())
    scene.now += POLICY.stable_after
    scene.lost()
    assert opened(scene)[3] == 0.0


def test_a_connection_that_dies_young_pays() -> None:
    """Set up and dead at once, over and over, is bounded like a refusal."""
    scene = Scene(resumed())
    scene.let(on.ClientJoined(RELAY))
    for _ in range(POLICY.dials_a_drop - 1):
        scene.let(on.UpstreamReady())
        scene.lost()
    scene.let(on.UpstreamReady())
    scene.lost()
    assert scene.core.phase is Phase.OVER


def test_goaways_without_end_are_bounded() -> None:
    """Connections that are told to go as soon as they come are no hot loop."""
    scene = Scene(resumed()).live()
    for _ in range(POLICY.dials_a_drop - 1):
        scene.let(on.GoAway(0.0), on.UpstreamClosed(1000, ""), on.UpstreamReady())
    scene.let(on.GoAway(0.0))
    scene.let(on.UpstreamClosed(1000, ""))
    assert scene.kinds == [tell.UpstreamTrouble, do.Release, do.CloseClient, do.Stop]


def test_a_completed_turn_is_progress() -> None:
    """Rotations with a turn between them go on for ever."""
    scene = Scene().live().turn().gets_handle("h")
    for _ in range(30):
        rotate_at_once(scene)
        assert opened(scene)[3] == 0.0
        scene.let(on.UpstreamReady())
        scene.turn().gets_handle("h")


def test_a_completion_of_nothing_is_no_progress() -> None:
    """Only a turn proves a connection."""
    scene = Scene(resumed())
    scene.let(on.ClientJoined(RELAY))
    scene.lost()
    scene.let(on.UpstreamReady(), on.TurnCompleted(Mark(0, 50)))
    assert scene.out == []
    scene.lost()
    assert opened(scene)[3] == 0.5


# Rotation by the client.


def test_goaway_is_passed_on_in_order() -> None:
    """R2.4: the newest handle again, then session_expiring, then goAway; the relay itself does nothing."""
    scene = Scene().live(CLIENT).turn().gets_handle("h1")
    scene.let(on.GoAway(60.0))
    assert scene.told == [
        tell.HandleRenewed("rh-h1", "later"),
        tell.Expiring(60.0, has_handle=True, reason="go_away"),
        tell.ReconnectNow(60.0),
    ]
    assert scene.core.phase is Phase.LIVE
    assert scene.core.deadline(scene.now) is None
    assert scene.after(60.0) == []


def test_goaway_before_any_handle() -> None:
    """There is nothing to tell again, and the message says so; the assumed time stands in for none."""
    scene = Scene().live(CLIENT)
    scene.let(on.GoAway(None))
    assert scene.told == [tell.Expiring(5.0, has_handle=False, reason="go_away"), tell.ReconnectNow(5.0)]


def test_the_client_leaves_for_the_goaway() -> None:
    """Its leaving closes the old upstream; its return opens the next one, and no rotation is told of."""
    scene = Scene().live(CLIENT).turn().gets_handle("h1")
    scene.let(on.GoAway(60.0))
    scene.let(on.ClientLeft())
    assert scene.out == [do.StopSending(), do.CloseUpstream()]
    assert scene.let(on.UpstreamClosed(1000, "")) == []
    assert scene.core.phase is Phase.PARKED
    scene.let(on.ClientJoined(CLIENT))
    assert opened(scene) == ("h1", 0, [], 0.0)
    scene.let(on.UpstreamReady())
    assert scene.out == [do.StartSending(Mark(10, 10)), do.Welcome(HANDLE)]
    assert scene.core.rotations == 0


def test_the_client_is_back_before_the_old_upstream_is_closed() -> None:
    """The order does not matter: close, dial, welcome."""
    scene = Scene().live(CLIENT).turn().gets_handle("h1")
    scene.let(on.GoAway(60.0), on.ClientLeft(), on.ClientJoined(CLIENT))
    assert scene.out == []
    scene.let(on.UpstreamClosed(1000, ""))
    assert opened(scene) == ("h1", 0, [], 0.0)


def test_the_new_socket_comes_before_the_old_one_goes() -> None:
    """A client that opens its next socket first rotates just the same."""
    scene = Scene().live(CLIENT).turn().gets_handle("h1")
    scene.let(on.GoAway(60.0))
    scene.let(on.ClientJoined(CLIENT))
    assert scene.out == [do.StopSending(), do.CloseUpstream()]
    scene.let(on.UpstreamClosed(1000, ""), on.UpstreamReady())
    assert do.Welcome(HANDLE) in scene.out


def test_leaving_in_an_answer_withdraws_it() -> None:
    """The client will hear that the turn begins again, and that it is its own doing."""
    scene = Scene().live(CLIENT).turn().gets_handle("h1").asks().answers()
    scene.let(on.GoAway(60.0), on.ClientLeft(), on.UpstreamClosed(1000, ""))
    assert scene.told == [tell.TurnRestarted(2, RotationReason.CLIENT)]


def test_a_client_that_is_away_is_not_told_to_reconnect() -> None:
    """When it comes back that is what it has done: an old goAway would send it away again."""
    scene = Scene().live(CLIENT).turn().gets_handle("h1")
    scene.let(on.ClientLeft(), on.GoAway(60.0))
    assert scene.out == []
    scene.let(on.ClientJoined(CLIENT))
    assert scene.out == [do.StopSending(), do.CloseUpstream()]


def test_an_upstream_lost_under_a_client_that_rotates() -> None:
    """The client is sent away to come back by itself; then the handle serves."""
    scene = Scene().live(CLIENT).turn().gets_handle("h1").asks().answers()
    scene.lost(1011, "Internal error encountered.")
    assert scene.kinds == [tell.TurnRestarted, do.StopSending, do.CloseClient]
    assert scene.one(do.CloseClient) == do.CloseClient(
        do.Farewell.RECONNECT, "the connection to Gemini ended: 1011 Internal error encountered."
    )
    assert scene.core.phase is Phase.PARKED
    scene.let(on.ClientLeft())
    scene.let(on.ClientJoined(CLIENT))
    assert opened(scene)[0] == "h1"


def test_a_dead_session_under_a_client_that_rotates() -> None:
    """The handle is deleted, and the client's return is served from the transcript."""
    scene = Scene().live(CLIENT).turn().gets_handle("h1")
    scene.lost(1008, "session not found")
    assert scene.kinds == [do.StopSending, do.InvalidateHandle, do.CloseClient]
    scene.let(on.ClientLeft(), on.ClientJoined(CLIENT))
    assert opened(scene)[:2] == (None, 1)


def test_a_dial_that_fails_under_a_client_that_rotates_is_repeated() -> None:
    """The client waits for its welcome: sending it away once more would help nobody."""
    scene = Scene()
    scene.let(on.ClientJoined(CLIENT))
    scene.lost()
    assert opened(scene) == (None, 0, [], 0.25)


def test_the_way_of_rotating_may_change_with_the_socket() -> None:
    """A goAway that was passed on in vain is the relay's own business once the client lets it."""
    scene = Scene().live(CLIENT).turn().gets_handle("h1")
    scene.let(on.GoAway(10.0))
    scene.let(on.ClientJoined(RELAY))
    assert scene.kinds == [do.Welcome, tell.Rotating, do.StopSending, do.CloseUpstream]
    assert scene.core.rotation_mode is RELAY


def test_age_is_not_the_clients_business() -> None:
    """With rotation by the client only Gemini's own goAway is passed on; the next socket takes the chance."""
    scene = Scene(policy=Policy(max_age=10.0)).live(CLIENT).turn().gets_handle("h1")
    assert scene.after(10.0) == []
    scene.let(on.ClientJoined(CLIENT))
    assert scene.out == [do.StopSending(), do.CloseUpstream()]


# The end.


def in_phase(phase: Phase) -> Scene:
    """A conversation that stands in this phase, with a turn that is not stored."""
    scene = Scene()
    if phase is Phase.PARKED:
        return scene
    if phase is Phase.OPENING:
        scene.let(on.ClientJoined(RELAY))
        return scene
    scene.live().asks().answers().completes()
    if phase is Phase.CLOSING:
        scene.let(on.GoAway(0.0))
    assert scene.core.phase is phase
    return scene


PHASES = [Phase.PARKED, Phase.OPENING, Phase.LIVE, Phase.CLOSING]


@pytest.mark.parametrize("phase", PHASES)
def test_the_end_is_asked_for(phase: Phase) -> None:
    """The client is told, the store ends it for good, an upstream is closed, the last turn is stored first."""
    scene = in_phase(phase)
    scene.let(on.EndAsked("done"))
    connected = phase in (Phase.LIVE, Phase.CLOSING)
    assert scene.kinds == [
        *([do.Checkpoint, do.StopSending, do.CloseUpstream] if connected else []),
        tell.ConversationOver,
        do.EndConversation,
        do.CloseClient,
        do.Stop,
    ]
    assert scene.one(do.EndConversation).reason == "done"
    assert scene.one(do.CloseClient).why is do.Farewell.OVER


@pytest.mark.parametrize("phase", PHASES)
def test_another_relay_has_it(phase: Phase) -> None:
    """Fenced: nothing is written any more, not even what is not stored."""
    scene = in_phase(phase)
    scene.let(on.Fenced())
    connected = phase in (Phase.LIVE, Phase.CLOSING)
    assert scene.kinds == [*([do.StopSending, do.CloseUpstream] if connected else []), do.CloseClient, do.Stop]
    assert scene.one(do.CloseClient).why is do.Farewell.REPLACED


@pytest.mark.parametrize("phase", PHASES)
def test_this_relay_goes_away(phase: Phase) -> None:
    """Drained: stored, released, and the client sent elsewhere."""
    scene = in_phase(phase)
    scene.let(on.DrainAsked())
    connected = phase in (Phase.LIVE, Phase.CLOSING)
    assert scene.kinds == [
        tell.Expiring,
        *([do.Checkpoint, do.StopSending, do.CloseUpstream] if connected else []),
        do.Release,
        do.CloseClient,
        do.Stop,
    ]
    assert scene.one(do.CloseClient).why is do.Farewell.DRAIN


def test_a_drained_client_gets_its_handle_again() -> None:
    """With it the next relay goes on."""
    scene = Scene().live().turn().gets_handle("h1")
    scene.let(on.DrainAsked())
    assert scene.told == [tell.HandleRenewed("rh-h1", "later"), tell.Expiring(0.0, has_handle=True, reason="drain")]


@pytest.mark.parametrize("event", [on.EndAsked("done"), on.DrainAsked()])
def test_a_whole_answer_is_stored_at_the_end(event: on.Event) -> None:
    """The client has heard it: it belongs to the transcript, and nobody answers it again."""
    scene = Scene().live().asks().answers()
    scene.let(on.GenerationCompleted(), event)
    assert [turn.number for turn in scene.one(do.Checkpoint).turns] == [1]
    assert tell.TurnEnded(1, interrupted=False) in scene.told


@pytest.mark.parametrize("phase", PHASES)
def test_nothing_comes_after_the_end(phase: Phase) -> None:
    """Whatever happens to a conversation that is over here has no effect."""
    scene = in_phase(phase)
    scene.let(on.Fenced())
    for event in (
        on.ClientJoined(RELAY),
        on.ClientLeft(),
        on.UpstreamReady(),
        on.UpstreamClosed(1006, ""),
        on.TurnCompleted(START),
        on.CheckpointStored(1, 1),
        on.EndAsked("again"),
        on.Tick(),
    ):
        assert scene.let(event) == []
    assert scene.core.phase is Phase.OVER


# The store.


def test_nothing_is_covered_before_it_is_stored() -> None:
    """The store may be away for long: turns gather, and the client keeps its input."""
    scene = Scene().live().asks().answers().completes()
    checkpoint = scene.one(do.Checkpoint)
    scene.asks().answers().completes()
    assert scene.found(do.Checkpoint) == []
    assert scene.core.coverage.covered_seq == 0
    scene.let(on.CheckpointStored(checkpoint.turns[-1].covered_seq, 1))
    assert scene.told == [tell.InputCovered(10, 1)]
    assert [turn.number for turn in scene.one(do.Checkpoint).turns] == [2]


def test_a_handle_alone_is_stored() -> None:
    """The first one comes right after the setup."""
    scene = Scene().live()
    scene.let(on.HandleUpdated("h0"))
    assert scene.out == [do.Checkpoint((), UpstreamHandle("h0", 0), scene.core.coverage.ledger, None)]
    scene.stores("rh0")
    assert scene.told == [tell.HandleRenewed("rh0", "later")]


def test_the_first_handle_of_a_resumed_connection_does_not_hold_the_content() -> None:
    """Lost before a turn: the turns that were sent as content are sent again, since no handle has them."""
    scene = Scene(resumed(covers=3, turns=5)).live()
    scene.gets_handle("new")
    scene.lost()
    assert opened(scene) == ("new", 0, [4, 5], 0.25)


def test_the_first_handle_of_a_rebuilt_session_is_not_used() -> None:
    """Lost before a turn: the transcript is told again, rather than a handle of an empty session resumed."""
    scene = Scene(Attachment(new=False, turn_count=5, covered_seq=50)).live()
    scene.let(on.HandleUpdated("empty"))
    assert scene.out == []
    scene.lost()
    assert opened(scene) == (None, 5, [], 0.25)


def test_an_unknown_event_raises() -> None:
    """Nothing is dropped by falling through."""
    scene = Scene()
    with pytest.raises(KeyError):
        scene.let("nonsense")  # type: ignore[arg-type]

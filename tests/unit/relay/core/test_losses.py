"""Upstream connections that are lost, refused or cannot be made."""

from services.relay.core import effects as do
from services.relay.core import events as on
from services.relay.core import notices as tell
from services.relay.core.attachment import Attachment
from services.relay.core.model import Continuity, Mark, Policy, RotationReason
from services.relay.core.states import Phase
from tests.unit.relay.core.scene import POLICY, RELAY, Scene, opened, resumed, rotate_at_once

TRANSCRIPT = Continuity.TRANSCRIPT
GO_AWAY, CLOSED, REJECTED = RotationReason.GO_AWAY, RotationReason.UPSTREAM_CLOSED, RotationReason.HANDLE_REJECTED


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
    assert scene.one(do.StartSending) == do.StartSending(Mark(10, 10), heard=True)


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


def test_a_dial_that_was_not_answered_is_no_refusal() -> None:
    """Nobody said anything of the handle: neither where Gemini is away, nor where the relay itself was late."""
    scene = Scene(resumed())
    scene.let(on.ClientJoined(RELAY))
    for late in (True, False):
        scene.let(on.UpstreamClosed(1006, "cannot connect: TimeoutError", late=late))
    for _ in range(2):
        scene.lost(1011, "Internal error encountered.")
        assert opened(scene)[0] == "old"


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


def test_a_tool_whose_answer_does_not_keep_runs_again_for_the_next_connection() -> None:
    """The agent's configuration names it."""
    scene = Scene(Attachment(new=True, volatile_tools=frozenset({"clock"}))).live().asks().calls("c1", name="clock")
    scene.let(on.ToolResultGiven("c1", {"now": 1}))
    scene.lost()
    scene.let(on.UpstreamReady())
    scene.calls("d1", name="clock")
    assert [call.id for notice in scene.told if isinstance(notice, tell.ToolsWanted) for call in notice.calls] == ["d1"]

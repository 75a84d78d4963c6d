"""One upstream connection after another, as the relay plans it."""

import pytest

from services.relay.core import effects as do
from services.relay.core import events as on
from services.relay.core import notices as tell
from services.relay.core.model import Continuity, Mark, Policy, RotationReason
from services.relay.core.states import Phase
from tests.unit.relay.core.scene import POLICY, RELAY, Scene, opened

HANDLE, TRANSCRIPT, GO_AWAY = Continuity.HANDLE, Continuity.TRANSCRIPT, RotationReason.GO_AWAY


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
    assert scene.core.deadline == scene.now + 5.0
    assert scene.after(4.9) == []
    scene.after(0.1)
    assert scene.kinds == [tell.Rotating, do.StopSending, do.CloseUpstream]


def test_at_the_latest_an_answer_is_cut() -> None:
    """The partial answer is withdrawn, the turn begins again, its input is sent again from the boundary."""
    scene = Scene().live().turn().gets_handle("h1").asks().answers()
    scene.let(on.GoAway(10.0))
    assert scene.core.deadline == scene.now + 4.5
    scene.after(4.5)
    assert scene.core.deadline == scene.now + 4.5
    scene.after(4.5)
    assert scene.kinds == [tell.Rotating, do.StopSending, do.CloseUpstream]
    scene.let(on.UpstreamClosed(1000, ""))
    assert scene.out == [do.Tell(tell.TurnRestarted(2, GO_AWAY)), do.OpenUpstream("h1", 0, (), 0.0)]
    scene.let(on.UpstreamReady())
    assert scene.one(do.StartSending) == do.StartSending(Mark(10, 10), heard=True)


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
    assert scene.core.deadline == scene.now + 4.5
    scene.let(on.GoAway(5.0))
    assert scene.core.deadline == scene.now + 2.0


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
    assert scene.core.deadline == scene.now + 100.0
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


def test_a_goaway_that_leaves_much_time_does_not_stop_the_clock() -> None:
    """The connection's age comes first, and is waited for; a goAway that leaves less counts alone."""
    policy = Policy(max_age=100.0, age_patience=20.0, grace=1000.0, stall_after=0.0)
    scene = Scene(policy=policy).live().turn().asks().answers()
    began = scene.now
    scene.let(on.GoAway(500.0))
    assert scene.core.deadline == began + 100.0
    scene.let(on.GoAway(100.0))
    assert scene.core.deadline == began + (100.0 - policy.goaway_margin) / 2


def test_age_does_not_count_while_nothing_is_open() -> None:
    """Only a live connection grows old."""
    scene = Scene(policy=Policy(max_age=100.0))
    scene.let(on.ClientJoined(RELAY))
    assert scene.core.deadline is None
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

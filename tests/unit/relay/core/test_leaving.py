"""A relay gives a conversation back: because it stops itself, or because another one has the client."""

import pytest

from services.relay.core import effects as do
from services.relay.core import events as on
from services.relay.core import notices as tell
from services.relay.core.states import Phase
from tests.unit.relay.core.scene import RELAY, Scene, resumed

LEFT = [tell.HandleRenewed, tell.Expiring, do.StopSending, do.CloseUpstream, do.Release, do.CloseClient, do.Stop]


def live() -> Scene:
    """Between two turns, all of it stored and covered."""
    return Scene().live().turn().gets_handle("h1")


def test_between_two_turns_it_leaves_at_once() -> None:
    """Nobody notices; the client gets its handle, and is sent elsewhere."""
    scene = live()
    scene.let(on.DrainAsked(10.0))
    assert scene.kinds == LEFT
    assert scene.one(do.CloseClient).why is do.Farewell.DRAIN


def test_an_answer_is_waited_for_and_for_its_handle() -> None:
    """The next relay resumes a session that knows the whole turn."""
    scene = live().asks().answers()
    assert scene.let(on.DrainAsked(10.0)) == []
    scene.completes()
    assert do.Release() not in scene.out, "the turn is not stored yet"
    scene.stores()
    assert do.Release() not in scene.out, "no handle covers it yet"
    scene.let(on.HandleUpdated("h2"))
    assert scene.one(do.Checkpoint).handle is not None
    assert scene.core.phase is Phase.OVER


def test_an_answer_without_end_is_not_waited_for() -> None:
    """When patience is over the turn begins again at the next relay."""
    scene = live().asks().answers()
    scene.let(on.DrainAsked(10.0))
    assert scene.core.deadline == scene.now + 5.0
    assert scene.after(9.9) == []
    assert scene.core.deadline == scene.now + 10.0 - 9.9
    scene.after(0.2)
    assert scene.core.phase is Phase.OVER
    assert not scene.found(do.Checkpoint)


def test_the_client_may_be_left_in_its_speech_after_half_the_time() -> None:
    """It sends it again to the next relay; the answer is not yet due."""
    scene = live().asks()
    scene.let(on.DrainAsked(10.0))
    assert scene.after(4.9) == []
    scene.after(0.2)
    assert scene.core.phase is Phase.OVER


def test_a_tool_is_waited_for() -> None:
    """Its result would be asked for again."""
    scene = live().asks().calls("c1")
    scene.let(on.DrainAsked(10.0))
    assert scene.after(6.0) == []


def test_a_rotation_is_waited_for() -> None:
    """It ends on the new connection, where nothing is lost."""
    scene = live()
    scene.let(on.GoAway(0.0), on.DrainAsked(10.0))
    assert do.Release() not in scene.out
    scene.let(on.UpstreamClosed(1000, ""))
    assert scene.found(do.OpenUpstream)
    scene.let(on.UpstreamReady())
    assert scene.core.phase is Phase.OVER


def test_a_conversation_without_connection_is_given_back_at_once() -> None:
    """There is nothing to wait for."""
    scene = Scene(resumed())
    scene.let(on.DrainAsked(10.0))
    assert scene.core.phase is Phase.OVER


def test_a_conversation_whose_client_is_away_is_given_back() -> None:
    """It will come to another relay."""
    scene = live()
    scene.let(on.ClientLeft(), on.DrainAsked(10.0))
    assert do.Release() in scene.out


@pytest.mark.parametrize("speaking", [False, True])
def test_taken_over(speaking: bool) -> None:  # noqa: FBT001
    """The client has come to another relay: given back at once, in whatever moment; what is whole is stored first."""
    scene = Scene().live().asks().answers()
    if not speaking:
        scene.let(on.GenerationCompleted())
    scene.let(on.TakenOver())
    stored = [] if speaking else [do.Forget, tell.TurnEnded, do.Checkpoint]
    assert scene.kinds == [*stored, do.StopSending, do.CloseUpstream, do.Release, do.CloseClient, do.Stop]
    assert scene.one(do.CloseClient).why is do.Farewell.REPLACED


def test_taken_over_before_the_first_connection() -> None:
    """The dial that is under way is for nobody."""
    scene = Scene()
    scene.let(on.ClientJoined(RELAY), on.TakenOver())
    assert scene.kinds == [do.Release, do.CloseClient, do.Stop]

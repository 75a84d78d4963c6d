"""The next connection is prepared while the old one is still in use, so that a rotation waits for its setup alone."""

from services.relay.core import effects as do
from services.relay.core import events as on
from services.relay.core.states import Phase
from tests.unit.relay.core.scene import CLIENT, Scene


def live() -> Scene:
    """Between two turns, with a handle that covers them; nothing is prepared by itself."""
    return Scene(prepares=False).live().gets_handle().turn().gets_handle("h2")


def test_a_rotation_between_turns_waits_until_the_next_connection_stands_ready() -> None:
    """First it is prepared; the old one goes on meanwhile."""
    scene = live()
    assert scene.let(on.GoAway(10.0)) == [do.PrepareUpstream()]
    scene.let(on.UpstreamPrepared())
    assert scene.core.phase is Phase.CLOSING
    assert scene.kinds[-2:] == [do.StopSending, do.CloseUpstream]


def test_it_is_not_waited_for_too_long() -> None:
    """After half the time that is left the rotation begins without it: preparing only saves time."""
    scene = live()
    scene.let(on.GoAway(10.0))
    assert scene.core.deadline == scene.now + 4.5
    assert scene.after(4.4) == []
    scene.after(0.1)
    assert scene.core.phase is Phase.CLOSING


def test_it_is_prepared_once_for_each_connection() -> None:
    """However often the end is announced; and again for the connection after it."""
    scene = live()
    scene.let(on.GoAway(10.0))
    assert scene.let(on.GoAway(9.0)) == []
    scene.let(on.UpstreamPrepared(), on.UpstreamClosed(1000, ""), on.UpstreamReady())
    scene.let(on.UpstreamPrepared())  # a word that comes too late
    assert do.PrepareUpstream() in scene.let(on.GoAway(10.0))


def test_in_an_answer_it_is_prepared_and_the_answer_goes_on() -> None:
    """It stands ready when the answer has ended."""
    scene = live().asks().answers()
    assert do.PrepareUpstream() in scene.let(on.GoAway(10.0))
    scene.let(on.UpstreamPrepared())
    assert scene.core.phase is Phase.LIVE


def test_nothing_is_prepared_for_a_client_that_is_away_or_reconnects_by_itself() -> None:
    """Nobody may come; and the connection is let go without waiting."""
    scene = live()
    scene.let(on.ClientLeft())
    assert do.PrepareUpstream() not in scene.let(on.GoAway(10.0))
    assert scene.core.phase is Phase.CLOSING
    scene = Scene(prepares=False).live(CLIENT).gets_handle()
    assert do.PrepareUpstream() not in scene.let(on.GoAway(10.0))

"""With `rotation=client` the client replaces the connection by coming back."""

from services.relay.core import effects as do
from services.relay.core import events as on
from services.relay.core import notices as tell
from services.relay.core.model import Continuity, Mark, Policy, RotationReason
from services.relay.core.states import Phase
from tests.unit.relay.core.scene import CLIENT, RELAY, Scene, opened

HANDLE = Continuity.HANDLE


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
    assert scene.core.deadline is None
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

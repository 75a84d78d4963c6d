"""The next connection is prepared while the old one is still in use, so that a rotation waits for its setup alone."""

from services.relay.core import effects as do
from services.relay.core import events as on
from services.relay.core.model import Policy
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


AGED = Policy(max_age=100.0, age_patience=20.0, grace=1000.0, stall_after=0.0, retry_base=0.25, retry_cap=8.0)


def aged() -> Scene:
    """A connection that has just grown old; its successor is asked for."""
    scene = Scene(policy=AGED, prepares=False).live().gets_handle().turn().gets_handle("h2")
    assert do.PrepareUpstream() in scene.after(100.0)
    return scene


def rotates(scene: Scene) -> bool:
    """Whether it does, once the next connection stands ready."""
    scene.let(on.UpstreamPrepared())
    return scene.core.phase is Phase.CLOSING


def test_while_no_other_can_be_had_an_old_connection_is_kept() -> None:
    """It works: it is asked again and again, less and less often, and the talk goes on past every limit."""
    scene = aged()
    waits = []
    for _ in range(10):
        assert scene.let(on.UpstreamPrepared(stands=False)) == []
        refused_at = scene.now
        while scene.out != [do.PrepareUpstream()]:
            assert scene.core.deadline is not None
            scene.after(scene.core.deadline - scene.now)
        waits.append(scene.now - refused_at)
    assert waits[:6] == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0]
    scene.turn("still here?", "yes").gets_handle("h3")
    assert scene.core.phase is Phase.LIVE
    assert rotates(scene)


def test_the_queue_of_dials_is_waited_for_with_an_old_connection() -> None:
    """However long it takes for it to be its turn."""
    scene = aged()
    scene.after(20.0)
    scene.after(500.0)
    assert scene.core.phase is Phase.LIVE
    assert rotates(scene)


def test_what_stood_ready_may_be_gone_again() -> None:
    """In an answer nothing is replaced; by its end the connection in readiness could not be renewed."""
    scene = aged()
    scene.asks().answers()
    scene.let(on.UpstreamPrepared(), on.UpstreamPrepared(stands=False))
    scene.completes().stores().gets_handle("h3")
    assert scene.core.phase is Phase.LIVE
    scene.after(0.25)
    assert rotates(scene)


def test_a_goaway_is_waited_out_while_no_other_can_be_had() -> None:
    """To the last moment but the margin; then the connection would end anyway."""
    scene = live()
    scene.let(on.GoAway(10.0), on.UpstreamPrepared(stands=False))
    while scene.now < 1000.0 + 8.9:
        scene.after(1.0 if scene.now < 1000.0 + 7.5 else 8.9 - (scene.now - 1000.0))
        assert scene.core.phase is Phase.LIVE
        scene.let(on.UpstreamPrepared(stands=False))
    scene.after(0.1)
    assert scene.core.phase is Phase.CLOSING


def test_who_is_in_a_hurry_says_so() -> None:
    """A conversation in which somebody speaks wants the next connection sooner than an idle one."""
    idle, speaking = live(), live().asks()
    (of_idle,) = [effect for effect in idle.let(on.GoAway(10.0)) if isinstance(effect, do.PrepareUpstream)]
    (of_speaking,) = [effect for effect in speaking.let(on.GoAway(10.0)) if isinstance(effect, do.PrepareUpstream)]
    assert (of_idle.wanted_by, of_speaking.wanted_by) == (idle.now + 9.0, speaking.now + 4.5)
    idle.let(on.UpstreamClosed(1006, ""))
    assert idle.one(do.OpenUpstream).wanted_by == idle.now + 1.0

"""A relay that is late itself: what it notices too late, or fails to do in time, is no fault of Gemini's."""

from dataclasses import replace

from services.relay.core import effects as do
from services.relay.core import events as on
from services.relay.core import notices as tell
from services.relay.core.model import Policy, RotationReason
from services.relay.core.states import Phase
from tests.unit.relay.core.scene import POLICY, RELAY, Scene, resumed

STALLING = replace(POLICY, stall_after=30.0, dials_a_drop=4)


def cut() -> Scene:
    """A conversation whose connection was just cut."""
    scene = Scene(policy=STALLING).live().turn().gets_handle("h1")
    scene.lost()
    assert scene.core.phase is Phase.OPENING
    return scene


def test_dials_that_fail_because_the_relay_is_late_end_nothing() -> None:
    """However many; each waits longer than the one before."""
    scene = cut()
    waits = []
    for _ in range(50):
        scene.let(on.UpstreamClosed(1006, "cannot connect: TimeoutError", late=True))
        waits.append(scene.one(do.OpenUpstream).wait_at_most)
    assert waits[:6] == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0]
    assert waits[6:] == [8.0] * 44
    scene.let(on.UpstreamReady())
    assert scene.core.phase is Phase.LIVE


def test_dials_that_fail_by_themselves_still_end_it() -> None:
    """The late ones between them count for nothing, in neither direction."""
    scene = cut()
    for _ in range(POLICY.dials_a_drop - 1):
        scene.let(on.UpstreamClosed(1006, "refused"))
        scene.let(on.UpstreamClosed(1006, "cannot connect: TimeoutError", late=True))
    scene.let(on.UpstreamClosed(1006, "refused"))
    assert scene.one(do.CloseClient).detail == "Gemini cannot be reached"


def test_the_first_connection_too() -> None:
    """A client that has just come is not sent away because this relay is late."""
    scene = Scene(resumed())
    scene.let(on.ClientJoined(RELAY))
    for _ in range(20):
        scene.let(on.UpstreamClosed(1006, "cannot connect: TimeoutError", late=True))
    assert scene.core.phase is Phase.OPENING


def test_only_a_look_finds_a_stall() -> None:
    """After a pause the first thing to happen says nothing of what waits in the socket of the connection."""
    scene = Scene(policy=STALLING).live().turn().gets_handle("h1").asks().answers()
    began = scene.now
    assert scene.core.deadline == began + 30.0
    scene.now += 100.0
    assert scene.let(on.SpeechBegan()) == []
    assert scene.core.deadline == began + 30.0, "the look is still wanted"
    assert scene.let(on.Tick(silence=2.0)) == []
    assert scene.core.deadline == scene.now + 28.0
    scene.now += 28.0
    scene.let(on.Tick(silence=30.0))
    assert scene.told[0] == tell.Rotating(RotationReason.STALL, 2)


def test_a_gemini_that_connects_and_never_answers_is_called_so() -> None:
    """It can be reached: that is not what ends the conversation."""
    scene = Scene(policy=replace(STALLING, stable_after=1.0)).live().turn().gets_handle("h1")
    for _ in range(STALLING.dials_a_drop):
        scene.asks().answers()
        scene.after(30.0)
        scene.let(on.UpstreamClosed(1006, ""))
        if scene.core.phase is Phase.OPENING:
            scene.let(on.UpstreamReady())
    scene.asks().answers()
    scene.after(30.0)
    scene.let(on.UpstreamClosed(1006, ""))
    assert scene.one(do.CloseClient).detail == "Gemini does not answer"


def test_conversations_that_began_together_rotate_apart() -> None:
    """Each at its own place before the age limit, the same each time."""
    policy = Policy(max_age=100.0, age_spread=20.0, grace=1000.0, stall_after=0.0)
    for place, age in ((0.0, 100.0), (0.5, 90.0), (1.0, 80.0)):
        scene = Scene(replace(resumed(), place=place), policy).live()
        for _ in range(3):
            assert scene.core.deadline == scene.now + age
            scene.after(age)
            assert scene.told[0] == tell.Rotating(RotationReason.AGE, 4)
            scene.let(on.UpstreamClosed(1000, ""), on.UpstreamReady())

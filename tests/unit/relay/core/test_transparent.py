"""Vertex AI's transparent resumption: a handle that holds the client's input into the middle of an utterance."""

from services.relay.core import effects as do
from services.relay.core import events as on
from services.relay.core.model import START, Mark, UpstreamHandle
from tests.unit.relay.core.scene import Scene, opened, rotate_at_once


def test_a_handle_in_mid_speech_moves_the_replay() -> None:
    """What it holds of the utterance is not sent again; it is not stored, since no other relay would know."""
    scene = Scene().live().turn().gets_handle("h1").asks(inputs=10)
    boundary = scene.core.talk.boundary
    held = Mark(boundary.position + 6, boundary.seq + 6)
    scene.let(on.HandleUpdated("h2", held))
    assert not scene.found(do.Checkpoint)
    scene.lost()
    assert scene.one(do.OpenUpstream).handle == "h2"
    scene.let(on.UpstreamReady())
    assert scene.one(do.StartSending).after == held


def test_a_handle_between_turns_is_stored_as_ever() -> None:
    """It holds nothing of a turn that is not completed."""
    scene = Scene().live().turn()
    scene.let(on.HandleUpdated("h1", scene.core.talk.boundary))
    stored = scene.one(do.Checkpoint).handle
    assert stored is not None
    assert stored.secret == "h1"


def test_what_a_completed_turn_held_is_not_looked_back_to() -> None:
    """After the turn its own boundary counts, which is later."""
    scene = Scene().live().turn().gets_handle("h1").asks(inputs=10)
    scene.let(on.HandleUpdated("h2", Mark(13, 13)))
    scene.answers().completes()
    scene.lost()
    scene.let(on.UpstreamReady())
    assert scene.one(do.StartSending).after == scene.core.talk.boundary


def test_without_the_handle_all_of_it_is_sent() -> None:
    """A context rebuilt from the transcript holds nothing of the utterance."""
    scene = Scene().live().turn().gets_handle("h1").asks(inputs=10)
    scene.let(on.HandleUpdated("h2", Mark(16, 16)))
    scene.lost()
    scene.lost(1008, "BidiGenerateContent session not found")
    assert scene.one(do.OpenUpstream).handle is None
    scene.let(on.UpstreamReady())
    assert scene.one(do.StartSending).after == scene.core.talk.boundary


def test_a_handle_that_comes_late_covers_no_more_than_it_holds() -> None:
    """It was issued after the turn before, and holds no input of the newest: that one is told again, not lost."""
    scene = Scene().live().turn()
    before = scene.core.talk.boundary
    scene.position += 10
    scene.let(on.SpeechBegan(before), on.UserHeard("question"))
    scene.answers().completes().stores()
    scene.let(on.HandleUpdated("h1", before))
    assert scene.one(do.Checkpoint).handle == UpstreamHandle("h1", 1)
    scene.stores()
    scene.let(on.GoAway(60.0))
    assert not scene.found(do.CloseUpstream), "the newest turn has no handle yet"
    scene.lost()
    assert opened(scene)[:3] == ("h1", 0, [2])


def test_the_handle_of_the_turn_covers_it() -> None:
    """However little of its input that handle holds: Gemini need not count the silence after the last word."""
    scene = Scene().live().turn()
    before = scene.core.talk.boundary
    scene.position += 10
    scene.let(on.SpeechBegan(before), on.UserHeard("question"))
    scene.answers().completes().stores()
    scene.let(on.HandleUpdated("h2", Mark(before.position + 1, before.seq + 1)))
    assert scene.one(do.Checkpoint).handle == UpstreamHandle("h2", 2)


def test_the_first_handle_of_a_connection_may_come_late_too() -> None:
    """It holds nothing that was sent to the connection, whatever was completed there meanwhile."""
    scene = Scene().live().turn().gets_handle("h1")
    rotate_at_once(scene)
    scene.let(on.UpstreamReady())
    before = scene.core.talk.boundary
    scene.position += 10
    scene.let(on.ClientWrote("question", before))
    scene.answers().completes().stores()
    scene.let(on.HandleUpdated("again", START))
    assert scene.one(do.Checkpoint).handle == UpstreamHandle("again", 1)
    assert [turn.number for turn in scene.core.coverage.uncovered] == [2]

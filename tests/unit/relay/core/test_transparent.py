"""Vertex AI's transparent resumption: a handle that holds the client's input into the middle of an utterance."""

from services.relay.core import effects as do
from services.relay.core import events as on
from services.relay.core.model import Mark
from tests.unit.relay.core.scene import Scene


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

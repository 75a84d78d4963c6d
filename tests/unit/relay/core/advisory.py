"""Scenes of conversations in which the agent is advised."""

from dataclasses import replace

from services.relay.core import effects as do
from services.relay.core import events as on
from services.relay.core.attachment import Attachment
from services.relay.core.capabilities import UNHINDERED, Capability, Channel, capability
from services.relay.core.feedback import PREFIX
from services.relay.core.model import (
    Feedback,
    FeedbackPolicy,
    FeedbackState,
    Usage,
)
from tests.unit.relay.core.scene import POLICY, Scene

AUTO, APPEND, JUST_IN_TIME, REPLACE, REBASE = FeedbackPolicy
ACCEPTED, SUPERSEDED, EXPIRED, DELIVERED, REMOVED = FeedbackState
TEXT_ONLY = capability("gemini-3.1-flash-live")
ADVICE = Feedback("1", "Offer the trial.")
OTHER = Feedback("2", "Ask who decides.")
SETTINGS = replace(POLICY, rebase_tokens=1, rebase_interval=0.0)
CONTENT, UPDATE = Channel.CONTENT, Channel.CONTEXT_UPDATE


def scene(wish: FeedbackPolicy, model: Capability = UNHINDERED, **settings: object) -> Scene:
    """A conversation under a policy, live, with one turn behind it."""
    attachment = Attachment(new=True, capability=model, feedback_policy=wish)
    return Scene(attachment, replace(SETTINGS, **settings)).live().turn().gets_handle("h1")  # type: ignore[arg-type]


def given(*items: Feedback) -> list[on.Event]:
    """The platform gives these."""
    return [on.FeedbackGiven(item) for item in items]


def gives(it: Scene, item: Feedback) -> None:
    """The platform gives an item, and what comes of that is stored at once."""
    it.let(*given(item))
    if it.found(do.Checkpoint):
        it.stores()


def advice(scene: Scene) -> list[tuple[Channel, str]]:
    """What the agent is told by the last answer of the core, without the prefix."""
    return [(effect.channel, effect.text.removeprefix(PREFIX)) for effect in scene.found(do.Advise)]


def states(scene: Scene) -> list[tuple[str, FeedbackState]]:
    """What those who watch are told by the last answer."""
    changes = [effect.notice.change for effect in scene.found(do.TellWatchers)]
    return [(change.id, change.state) for change in changes]


def asked(it: Scene) -> Scene:
    """The client speaks, and what became of advice is stored at once."""
    it.position += 10
    it.let(on.SpeechBegan())
    if it.found(do.Checkpoint):
        it.stores()
    it.let(on.UserHeard("question"))
    return it


def answered(it: Scene, text: int, audio: int = 0) -> Scene:
    """The client speaks, the agent answers, Gemini counts."""
    asked(it).answers()
    it.let(on.UsageCounted(Usage(text + audio, 20, {"TEXT": text, "AUDIO": audio}, 0, {"AUDIO": 20})))
    return it.completes()


def stored(it: Scene) -> Scene:
    """The store has what was under way, and then the rest."""
    if not it.found(do.Checkpoint):
        it.let(on.CheckpointStored(0, 0))
    return it.stores() if it.found(do.Checkpoint) else it

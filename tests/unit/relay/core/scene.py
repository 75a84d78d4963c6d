"""A conversation's core with a clock and a client's input, told what happens in few words."""

from typing import Any, TypeVar

from services.relay.core import effects as do
from services.relay.core import events as on
from services.relay.core import notices as tell
from services.relay.core.attachment import Attachment
from services.relay.core.conversation import Conversation
from services.relay.core.model import Mark, Policy, RotationMode, ToolCall, Turn, UpstreamHandle
from services.relay.core.states import Phase

E = TypeVar("E")

POLICY = Policy(
    goaway_margin=1.0,
    goaway_unknown=5.0,
    grace=30.0,
    retry_base=0.25,
    retry_cap=8.0,
    dials_a_drop=4,
    dials_a_life=50,
    stable_after=3.0,
    stall_after=0.0,
)
RELAY, CLIENT = RotationMode.RELAY, RotationMode.CLIENT


class Scene:
    """One conversation at one relay.

    Args:
        attachment: Where it begins; a new one by default.
        policy: The settings.
        prepares: The next connection is prepared as soon as it is wanted, without a word.
    """

    def __init__(self, attachment: Attachment | None = None, policy: Policy = POLICY, *, prepares: bool = True) -> None:
        self.prepares = prepares
        self.now = 1000.0
        self.core = Conversation(attachment or Attachment(new=True), policy, self.now)
        self.out: list[do.Effect] = []
        self.position = 0
        self.stored = attachment.turn_count if attachment else 0

    def let(self, *events: on.Event) -> list[do.Effect]:
        """Let these happen, and remember what the last of them was answered with."""
        for event in events:
            self.out = self.core.handle(event, self.now)
            if self.prepares and do.PrepareUpstream() in self.out:
                rest = self.core.handle(on.UpstreamPrepared(), self.now)
                self.out = [effect for effect in self.out if effect != do.PrepareUpstream()] + rest
        return self.out

    def after(self, seconds: float) -> list[do.Effect]:
        """Let time pass and tick."""
        self.now += seconds
        return self.let(on.Tick())

    @property
    def sent(self) -> Mark:
        """The newest input that has been sent, each with its own number as seq."""
        return Mark(self.position, self.position)

    def found(self, kind: type[E]) -> list[E]:
        """The effects of one kind in the last answer."""
        return [effect for effect in self.out if isinstance(effect, kind)]

    def one(self, kind: type[E]) -> E:
        """The only effect of one kind in the last answer."""
        (effect,) = self.found(kind)
        return effect

    @property
    def told(self) -> list[tell.Notice]:
        """What the client is told by the last answer."""
        return [effect.notice for effect in self.found(do.Tell)]

    @property
    def kinds(self) -> list[type[Any]]:
        """The last answer's effects, by kind; notices by their own."""
        return [type(effect.notice) if isinstance(effect, do.Tell) else type(effect) for effect in self.out]

    def live(self, mode: RotationMode = RELAY) -> "Scene":
        """A client comes, and the upstream is ready."""
        self.let(on.ClientJoined(mode), on.UpstreamReady())
        assert self.core.phase is Phase.LIVE
        return self

    def gets_handle(self, name: str = "h") -> "Scene":
        """Gemini issues a handle, and it is stored."""
        self.let(on.HandleUpdated(name))
        if self.found(do.Checkpoint):
            self.stores(resume_handle=f"rh-{name}")
        return self

    def stores(self, resume_handle: str | None = None) -> "Scene":
        """The store has taken the last checkpoint."""
        checkpoint = self.one(do.Checkpoint)
        self.stored = max([self.stored, *(turn.number for turn in checkpoint.turns)])
        seq = max([self.core.coverage.covered_seq, *(turn.covered_seq for turn in checkpoint.turns)])
        self.let(on.CheckpointStored(seq, self.stored, resume_handle, "later"))
        return self

    def asks(self, text: str = "question", inputs: int = 10) -> "Scene":
        """The client speaks, and Gemini hears it."""
        self.position += inputs
        self.let(on.SpeechBegan(), on.UserHeard(text))
        return self

    def answers(self, text: str = "answer") -> "Scene":
        """The agent begins to answer."""
        self.let(on.AnswerBegan(self.sent), on.AgentSaid(text))
        return self

    def completes(self) -> "Scene":
        """The answer comes to its end."""
        self.let(on.GenerationCompleted(), on.TurnCompleted(self.sent))
        return self

    def turn(self, question: str = "question", answer: str = "answer") -> "Scene":
        """A whole turn, stored."""
        return self.asks(question).answers(answer).completes().stores()

    def calls(self, *ids: str, name: str = "lookup", **args: object) -> "Scene":
        """The model asks for tools, as the first output of its answer."""
        self.let(on.AnswerBegan(self.sent), on.ToolsCalled(tuple(ToolCall(i, name, args) for i in ids)))
        return self

    def lost(self, code: int = 1006, reason: str = "") -> list[do.Effect]:
        """The upstream connection is gone, or a dial failed."""
        return self.let(on.UpstreamClosed(code, reason))


def resumed(covers: int = 3, turns: int = 3) -> Attachment:
    """A conversation that was here before, with a handle and the turns that it does not cover."""
    uncovered = tuple(Turn(number, f"u{number}", f"a{number}") for number in range(covers + 1, turns + 1))
    return Attachment(
        new=False, turn_count=turns, covered_seq=50, handle=UpstreamHandle("old", covers), uncovered=uncovered
    )


def opened(scene: Scene) -> tuple[str | None, int, list[int], float]:
    """The dial in the last answer: handle, history, content by number, bound of the wait."""
    effect = scene.one(do.OpenUpstream)
    return effect.handle, effect.history_through, [turn.number for turn in effect.content], effect.wait_at_most


def rotate_at_once(scene: Scene) -> None:
    """A goAway that finds the conversation between turns, and the old connection's close."""
    scene.let(on.GoAway(10.0))
    assert scene.kinds[:3] == [tell.Rotating, do.StopSending, do.CloseUpstream]
    scene.let(on.UpstreamClosed(1000, ""))

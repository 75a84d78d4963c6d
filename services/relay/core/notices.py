"""What a client is told, free of any wire: `client.told` renders them, a gateway may render them otherwise."""

from dataclasses import dataclass, field

from services.relay.core.ledger import Ledger
from services.relay.core.model import Continuity, FeedbackChange, Role, RotationReason, ToolCall


@dataclass(frozen=True, slots=True)
class HandleRenewed:
    """A new resume handle; it replaces the earlier ones."""

    resume_handle: str = field(repr=False)
    expires_at: str


@dataclass(frozen=True, slots=True)
class Expiring:
    """The connection is about to end, in so many seconds."""

    time_left: float
    has_handle: bool
    reason: str


@dataclass(frozen=True, slots=True)
class ReconnectNow:
    """With `RotationMode.CLIENT`: Gemini's goAway, passed on."""

    time_left: float


@dataclass(frozen=True, slots=True)
class Rotating:
    """The upstream connection is being replaced."""

    reason: RotationReason
    turn: int


@dataclass(frozen=True, slots=True)
class Rotated:
    """The upstream connection has been replaced; the gap is in seconds."""

    reason: RotationReason
    continuity: Continuity
    gap: float
    turn: int


@dataclass(frozen=True, slots=True)
class Transcript:
    """A piece of what was said."""

    role: Role
    text: str
    turn: int


@dataclass(frozen=True, slots=True)
class AnswerInterrupted:
    """Stop playing: the client spoke into the answer."""

    turn: int


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """The turn is over.

    Args:
        turn: Its number.
        interrupted: The client spoke into the answer.
        stored: The store has it; where it has not, the turn dies with this relay and begins again at the next one.
    """

    turn: int
    interrupted: bool
    stored: bool = True


@dataclass(frozen=True, slots=True)
class TurnRestarted:
    """The turn was cut and is begun again: forget what came of it."""

    turn: int
    reason: RotationReason


@dataclass(frozen=True, slots=True)
class InputCovered:
    """Everything up to ``seq`` is stored; the client may forget it."""

    seq: int
    turn: int


@dataclass(frozen=True, slots=True)
class TokensCounted:
    """The context after a turn."""

    turn: int
    ledger: Ledger


@dataclass(frozen=True, slots=True)
class ToolsWanted:
    """The agent wants tools."""

    turn: int
    calls: tuple[ToolCall, ...]


@dataclass(frozen=True, slots=True)
class ToolsUnwanted:
    """The agent no longer wants these."""

    turn: int
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UpstreamTrouble:
    """Gemini cannot be reached, or refuses; ``retryable`` says whether coming back may help."""

    message: str
    retryable: bool


@dataclass(frozen=True, slots=True)
class FeedbackChanged:
    """Something became of an item of feedback: for those who watch (`effects.TellWatchers`), never for the client."""

    change: FeedbackChange


@dataclass(frozen=True, slots=True)
class ConversationOver:
    """The conversation has ended for good."""

    reason: str


Notice = (
    HandleRenewed
    | Expiring
    | ReconnectNow
    | Rotating
    | Rotated
    | Transcript
    | AnswerInterrupted
    | TurnEnded
    | TurnRestarted
    | InputCovered
    | TokensCounted
    | ToolsWanted
    | ToolsUnwanted
    | UpstreamTrouble
    | ConversationOver
)

"""What the relay sends, as values; the shapes are those of ``docs/client-protocol.md``, the names Python's."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class Call:
    """One tool the agent wants called: answer it by its `id`."""

    id: str
    name: str
    args: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Any JSON message of the relay: where it stands in the epoch's numbering."""

    TYPE: ClassVar[str] = ""
    epoch: int = 0
    n: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStarted(Message):
    """The first connection of a conversation."""

    TYPE = "session:started"
    next_seq: int = 1
    covered: int = 0
    turn: int = 0
    conversation: str = ""
    rotation: str = "relay"
    continuity: str = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionResumed(Message):
    """A later connection; `continuity` says how the context survived, `turn` how many turns are complete."""

    TYPE = "session:resumed"
    next_seq: int = 1
    covered: int = 0
    turn: int = 0
    conversation: str = ""
    rotation: str = "relay"
    continuity: str = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumptionUpdate(Message):
    """The newest resume handle and a fresh session token: both secrets, so neither is shown."""

    TYPE = "session_resumption_update"
    handle: str | None = None
    resumable: bool = False
    session_token: str | None = None

    def __repr__(self) -> str:
        return f"ResumptionUpdate(epoch={self.epoch}, n={self.n}, resumable={self.resumable})"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionExpiring(Message):
    """The upstream connection ends in `time_left` seconds."""

    TYPE = "session_expiring"
    message: str = ""
    time_left: float = 0.0
    has_handle: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoAway(Message):
    """Reconnect now: only with ``rotation=client``. `time_left` is in seconds."""

    TYPE = "goAway"
    time_left: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotating(Message):
    """The relay begins to replace the upstream connection."""

    TYPE = "session:rotating"
    reason: str = ""
    turn: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotated(Message):
    """The relay has replaced the upstream connection; `gap_ms` is how long there was none."""

    TYPE = "session:rotated"
    reason: str = ""
    continuity: str = ""
    gap_ms: float = 0
    turn: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript(Message):
    """A piece of what was said by `role`, ``user`` or ``agent``."""

    TYPE = "transcript"
    role: str = ""
    text: str = ""
    turn: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Interrupted(Message):
    """The client spoke into the answer."""

    TYPE = "interrupted"
    turn: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnComplete(Message):
    """The turn is over; where it is not `stored`, it begins again if the relay dies before it can store it."""

    TYPE = "turn:complete"
    turn: int = 0
    interrupted: bool = False
    stored: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnRestarted(Message):
    """The answer was cut and comes again: what came of it is to be forgotten."""

    TYPE = "turn:restarted"
    turn: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnMissed(Message):
    """A whole turn that was completed while the client was away."""

    TYPE = "turn:missed"
    turn: int = 0
    user: str = ""
    agent: str = ""
    interrupted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Covered(Message):
    """Everything up to input `seq` is stored."""

    TYPE = "covered"
    seq: int = 0
    turn: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage(Message):
    """Context tokens after a turn, and what was billed since the conversation began."""

    TYPE = "usage"
    turn: int = 0
    context_tokens: int = 0
    billed_tokens: int = 0
    by_category: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall(Message):
    """The agent wants these tools called."""

    TYPE = "tool_call"
    turn: int = 0
    calls: tuple[Call, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallCancellation(Message):
    """The agent no longer wants these calls."""

    TYPE = "tool_call_cancellation"
    turn: int = 0
    ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Error(Message):
    """Something went wrong that does not end the conversation."""

    TYPE = "error"
    code: str = ""
    message: str = ""
    retryable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped(Message):
    """So many messages, up to this one's number, will not be sent: the client was away or slow for too long."""

    TYPE = "skipped"
    messages: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pong(Message):
    """The answer to a ping."""

    TYPE = "pong"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationEnd(Message):
    """The conversation is over."""

    TYPE = "conversation_end"
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Unknown:
    """A message of a type this client does not know, or no message at all (`epoch` 0)."""

    epoch: int = 0
    n: int = 0


Greeting = SessionStarted | SessionResumed
Numbered = (
    ResumptionUpdate
    | SessionExpiring
    | GoAway
    | Rotating
    | Rotated
    | Transcript
    | Interrupted
    | TurnComplete
    | TurnRestarted
    | TurnMissed
    | Covered
    | Usage
    | ToolCall
    | ToolCallCancellation
    | Error
    | Skipped
    | Pong
    | ConversationEnd
)
RelayMessage = Greeting | Numbered

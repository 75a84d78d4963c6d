"""What the relay sends and what a client sends, as values; the shapes are those of ``docs/client-protocol.md``.

A message of a type that is not known yet is `Unknown`, and an unknown field is passed over: a newer relay must not
break an older client.
"""

from typing import Any, Final

import msgspec


class Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", rename="camel"):
    """Any JSON message of the relay: where it stands in the epoch's numbering."""

    epoch: int = 0
    n: int = 0


class SessionStarted(Message, frozen=True, tag="session:started"):
    """The first connection of a conversation."""

    next_seq: int = 1
    covered: int = 0
    turn: int = 0
    conversation: str = ""
    rotation: str = "relay"
    continuity: str = "none"


class SessionResumed(Message, frozen=True, tag="session:resumed"):
    """A later connection; `continuity` says how the context survived, `turn` how many turns are complete."""

    next_seq: int = 1
    covered: int = 0
    turn: int = 0
    conversation: str = ""
    rotation: str = "relay"
    continuity: str = "none"


class ResumptionUpdate(Message, frozen=True, tag="session_resumption_update"):
    """The newest resume handle and a fresh session token: both secrets, so neither is shown."""

    handle: str | None = None
    resumable: bool = False
    session_token: str | None = None

    def __repr__(self) -> str:
        return f"ResumptionUpdate(epoch={self.epoch}, n={self.n}, resumable={self.resumable})"


class SessionExpiring(Message, frozen=True, tag="session_expiring"):
    """The upstream connection ends in `time_left` seconds."""

    message: str = ""
    time_left: float = 0.0
    has_handle: bool = False
    reason: str = ""


class GoAway(Message, frozen=True, tag="goAway"):
    """Reconnect now: only with ``rotation=client``. `time_left` is in seconds."""

    time_left: float = 0.0


class Rotating(Message, frozen=True, tag="session:rotating"):
    """The relay begins to replace the upstream connection."""

    reason: str = ""
    turn: int = 0


class Rotated(Message, frozen=True, tag="session:rotated"):
    """The relay has replaced the upstream connection; `gap_ms` is how long there was none."""

    reason: str = ""
    continuity: str = ""
    gap_ms: float = 0
    turn: int = 0


class Transcript(Message, frozen=True, tag="transcript"):
    """A piece of what was said by `role`, ``user`` or ``agent``."""

    role: str = ""
    text: str = ""
    turn: int = 0


class Interrupted(Message, frozen=True, tag="interrupted"):
    """The client spoke into the answer."""

    turn: int = 0


class TurnComplete(Message, frozen=True, tag="turn:complete"):
    """The turn is over."""

    turn: int = 0
    interrupted: bool = False


class TurnRestarted(Message, frozen=True, tag="turn:restarted"):
    """The answer was cut and comes again: what came of it is to be forgotten."""

    turn: int = 0
    reason: str = ""


class TurnMissed(Message, frozen=True, tag="turn:missed"):
    """A whole turn that was completed while the client was away."""

    turn: int = 0
    user: str = ""
    agent: str = ""
    interrupted: bool = False


class Covered(Message, frozen=True, tag="covered"):
    """Everything up to input `seq` is stored."""

    seq: int = 0
    turn: int = 0


class Usage(Message, frozen=True, tag="usage"):
    """Context tokens after a turn, and what was billed since the conversation began."""

    turn: int = 0
    context_tokens: int = 0
    billed_tokens: int = 0
    by_category: dict[str, int] = msgspec.field(default_factory=dict)


class ToolCall(Message, frozen=True, tag="tool_call"):
    """The agent wants these tools called."""

    turn: int = 0
    calls: list[dict[str, Any]] = msgspec.field(default_factory=list)


class ToolCallCancellation(Message, frozen=True, tag="tool_call_cancellation"):
    """The agent no longer wants these calls."""

    turn: int = 0
    ids: list[str] = msgspec.field(default_factory=list)


class Error(Message, frozen=True, tag="error"):
    """Something went wrong that does not end the conversation."""

    code: str = ""
    message: str = ""
    retryable: bool = False


class Skipped(Message, frozen=True, tag="skipped"):
    """So many messages, up to this one's number, will not be sent: the client was away or slow for too long."""

    messages: int = 0


class Pong(Message, frozen=True, tag="pong"):
    """The answer to a ping."""


class ConversationEnd(Message, frozen=True, tag="conversation_end"):
    """The conversation is over."""

    reason: str = ""


class Unknown(msgspec.Struct, frozen=True):
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

_KNOWN: Final[msgspec.json.Decoder[RelayMessage | Unknown]] = msgspec.json.Decoder(RelayMessage)
_OTHER: Final[msgspec.json.Decoder[RelayMessage | Unknown]] = msgspec.json.Decoder(Unknown)


def parse(text: str) -> RelayMessage | Unknown:
    """Read a text frame of the relay; what cannot be read is `Unknown`."""
    for decoder in (_KNOWN, _OTHER):
        try:
            return decoder.decode(text)
        except msgspec.DecodeError:
            continue
    return Unknown()


def write(kind: str, **fields: object) -> str:
    """A client's message; fields that are None are left out."""
    given = {name: value for name, value in fields.items() if value is not None}
    return msgspec.json.encode({"type": kind, **given}).decode()

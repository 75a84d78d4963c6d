"""What can happen to a conversation. A driver tells these to `conversation.Conversation.handle`, one at a time.

Audio is not among them: frames pass beside the core, which hears of them once an utterance (`SpeechBegan`) and once an
answer (`AnswerBegan`).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, get_args

from services.relay.core.model import NOTHING_TOLD, START, Feedback, Mark, RotationMode, Told, ToolCall, Usage


@dataclass(frozen=True, slots=True)
class ClientJoined:
    """A client's socket, proven to be the owner's, has come to the conversation.

    Args:
        rotation: Who replaces connections.
        stranger: It starts from now, and does not get what was told before; otherwise it gets all it has not seen.
    """

    rotation: RotationMode
    stranger: bool = False


@dataclass(frozen=True, slots=True)
class ClientLeft:
    """The client's socket is gone, for whatever reason."""


@dataclass(frozen=True, slots=True)
class SpeechBegan:
    """The client's voice was heard by the relay's own detector, after a pause; or the client says that it speaks.

    Args:
        after: The newest input before it.
        waiting: It is not sent yet, for want of a connection.
        marked: The client says so.
        paused: There was a pause before it; without, a turn is over, and it may be what the client was saying already.
    """

    after: Mark = START
    waiting: bool = False
    marked: bool = False
    paused: bool = True


@dataclass(frozen=True, slots=True)
class ClientWrote:
    """The client typed a turn.

    Args:
        text: What.
        after: The newest input before it.
    """

    text: str
    after: Mark = START


@dataclass(frozen=True, slots=True)
class ToolResultGiven:
    """The client answers a tool call."""

    id: str
    result: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class FeedbackGiven:
    """The platform has given advice; it is stored. The same item may be told again: its id is what it is known by.

    Args:
        feedback: The item.
        speaking: The client's voice is heard at this very moment.
    """

    feedback: Feedback
    speaking: bool = False


@dataclass(frozen=True, slots=True)
class EndAsked:
    """The client or the platform ends the conversation for good."""

    reason: str


@dataclass(frozen=True, slots=True)
class DrainAsked:
    """This relay stops: give the conversation back at a good moment.

    Args:
        patience: Seconds; after so many of them at any moment.
    """

    patience: float = 0.0


@dataclass(frozen=True, slots=True)
class TakenOver:
    """Another relay is about to attach: its client has come there. Give the conversation back at once."""


@dataclass(frozen=True, slots=True)
class UpstreamPrepared:
    """What `effects.PrepareUpstream` asked for stands ready, or cannot be had.

    Args:
        stands: Which of the two; also what stood ready may later be had no more.
    """

    stands: bool = True


@dataclass(frozen=True, slots=True)
class UpstreamReady:
    """The new upstream connection has completed its setup, and knows what the handle and the content gave it.

    Args:
        told: What the content was.
    """

    told: Told = NOTHING_TOLD


@dataclass(frozen=True, slots=True)
class UpstreamClosed:
    """The upstream connection is gone, or could not be made.

    Args:
        code: The close code; 1006 when there was no close frame or no connection.
        reason: The reason in the close frame, or what failed.
        late: It could not be made because this relay was late, which says nothing of Gemini.
    """

    code: int
    reason: str
    late: bool = False


@dataclass(frozen=True, slots=True)
class HandleUpdated:
    """Gemini's ``sessionResumptionUpdate``.

    Args:
        secret: None where it is not resumable now.
        consumed: The newest input that the context behind it holds, where Gemini tells it; it may be in the middle of
            an utterance.
        advised: It holds the newest advice that was sent to this connection, although its turn is not over; known only
            where Gemini tells what it holds.
    """

    secret: str | None = field(repr=False)
    consumed: Mark | None = None
    advised: bool = False


@dataclass(frozen=True, slots=True)
class UserHeard:
    """A piece of the transcript of what the client said."""

    text: str


@dataclass(frozen=True, slots=True)
class AnswerBegan:
    """The first output of an answer, in sound or in words.

    Args:
        sent: The newest input that had been sent to this connection.
        quiet: Seconds without the client's voice at the end of that.
    """

    sent: Mark
    quiet: float = 0.0


@dataclass(frozen=True, slots=True)
class AgentSaid:
    """A piece of the transcript of what the agent says."""

    text: str


@dataclass(frozen=True, slots=True)
class GenerationCompleted:
    """The answer is whole; nothing more of it will come."""


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The client spoke into the answer; Gemini has stopped it."""


@dataclass(frozen=True, slots=True)
class TurnCompleted:
    """Gemini says that the turn is over.

    Args:
        sent: The newest input that had been sent to this connection.
    """

    sent: Mark


@dataclass(frozen=True, slots=True)
class ToolsCalled:
    """The model wants tools."""

    calls: tuple[ToolCall, ...]


@dataclass(frozen=True, slots=True)
class ToolCallsCancelled:
    """The model no longer wants these."""

    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GoAway:
    """The connection will end.

    Args:
        time_left: Seconds; None where Gemini does not say.
    """

    time_left: float | None


@dataclass(frozen=True, slots=True)
class UsageCounted:
    """Tokens of the turn that is being completed.

    Args:
        usage: What Gemini says.
        heard: Seconds of the client's voice in it, as far as the relay heard it.
        spoken: Seconds of the answer, as far as it came.
    """

    usage: Usage
    heard: float = 0.0
    spoken: float = 0.0


@dataclass(frozen=True, slots=True)
class CheckpointStored:
    """The store has the turns and the handle of the last `effects.Checkpoint`.

    Args:
        covered_seq: The newest client sequence number that the store's turns contain.
        turn: The newest stored turn.
        resume_handle: What the client gets for the upstream handle, if one was stored.
        expires_at: When it expires, as RFC 3339.
    """

    covered_seq: int
    turn: int
    resume_handle: str | None = field(default=None, repr=False)
    expires_at: str = ""


@dataclass(frozen=True, slots=True)
class Fenced:
    """Another relay holds the conversation now."""


@dataclass(frozen=True, slots=True)
class EndedElsewhere:
    """The store says that the conversation was ended, not by this relay."""


@dataclass(frozen=True, slots=True)
class StoreRefused:
    """The store will never take a write: a defect on one of the two sides."""


@dataclass(frozen=True, slots=True)
class Tick:
    """The time that `conversation.Conversation.deadline` asked for has come.

    Args:
        silence: Seconds since anything, audio included, came from the upstream connection.
    """

    silence: float = math.inf


_OfClient = ClientJoined | ClientLeft | SpeechBegan | ClientWrote | ToolResultGiven
_OfPlatform = FeedbackGiven | EndAsked | DrainAsked | TakenOver
_OfConnection = UpstreamPrepared | UpstreamReady | UpstreamClosed
_OfTools = ToolsCalled | ToolCallsCancelled
_OfAnswer = AnswerBegan | AgentSaid | GenerationCompleted | Interrupted | TurnCompleted | _OfTools
_OfGemini = HandleUpdated | UserHeard | _OfAnswer | GoAway | UsageCounted
_OfStore = CheckpointStored | Fenced | EndedElsewhere | StoreRefused
Event = _OfClient | _OfPlatform | _OfConnection | _OfGemini | _OfStore | Tick

RENEWS_PATIENCE: Final[frozenset[type[Event]]] = frozenset({*get_args(_OfGemini), ClientWrote, ToolResultGiven})
"""Gemini has said something, or has just been asked: from here on it is given time again."""

"""What a session wants done, and what it has to tell."""

from dataclasses import dataclass
from enum import StrEnum

from services.common.voice import Heard
from services.emulator.closes import Close
from services.emulator.context import Context
from services.emulator.replies import Message
from services.emulator.tokens import Tokens


class Continued(StrEnum):
    """What a session grew from."""

    NEW = "new"
    HANDLE = "handle"
    HISTORY = "history"


@dataclass(frozen=True, slots=True)
class Send:
    """Send this message to the client."""

    message: Message


@dataclass(frozen=True, slots=True)
class End:
    """Close the connection; nothing follows."""

    close: Close


@dataclass(frozen=True, slots=True)
class Cut:
    """Cut the TCP connection, without a close frame."""


@dataclass(frozen=True, slots=True)
class Stall:
    """Send nothing for so many seconds; None means never again."""

    seconds: float | None


@dataclass(frozen=True, slots=True)
class SlowPongs:
    """Answer each ping so many seconds late from now on."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Began:
    """The setup was accepted, or the initial history came: the session now grows from this."""

    continued: Continued
    context: Context


@dataclass(frozen=True, slots=True)
class VoiceHeard:
    """A frame of the test voice arrived."""

    heard: Heard


@dataclass(frozen=True, slots=True)
class ContextChanged:
    """The session's context is now this."""

    context: Context


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer ended, whole or interrupted, and was billed; `cached` is the part of the prompt that was cheap."""

    prompt: Tokens
    response: Tokens
    cached: Tokens
    greeting: bool


Fact = Began | VoiceHeard | ContextChanged | Answered
Action = Send | End | Cut | Stall | SlowPongs
Effect = Action | Fact

"""What a session wants done, and what it has to tell."""

from dataclasses import dataclass
from enum import StrEnum

from services.common.voice import Heard
from services.emulator.categories import Prompt
from services.emulator.closes import Close
from services.emulator.context import Context
from services.emulator.profiles import Backend
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
    """An answer ended, whole or interrupted, and was billed; `greeting` tells that it greeted."""

    prompt: Prompt
    response: Tokens
    greeting: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """A setup arrived, be it refused afterwards.

    Attributes:
        model: The model it names.
        backend: The API it came to.
        conversation: The conversation that its handle belongs to, or the connection's own.
        handle: The handle it brings; empty if it brings none.
    """

    model: str
    backend: Backend
    conversation: str
    handle: str = ""


@dataclass(frozen=True, slots=True)
class AudioReceived:
    """So many seconds of audio arrived, whatever is in them."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Issued:
    """The client was told a handle, for a context of so many pieces and tokens."""

    handle: str
    pieces: int
    tokens: int


Fact = Asked | Began | VoiceHeard | AudioReceived | ContextChanged | Answered | Issued
Action = Send | End | Cut | Stall | SlowPongs
Effect = Action | Fact

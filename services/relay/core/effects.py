"""What a conversation wants done. A driver does them in order and tells what came of it as `events`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from services.relay.core.capabilities import Channel
from services.relay.core.ledger import Ledger
from services.relay.core.model import Continuity, FeedbackChange, Mark, Turn, UpstreamHandle
from services.relay.core.notices import FeedbackChanged, Notice


@dataclass(frozen=True, slots=True)
class OpenUpstream:
    """Dial Gemini, send the whole setup, then the content, and say `events.UpstreamReady`.

    Args:
        handle: Resume from it; None begins a session of its own.
        history_through: Without a handle: the stored turns up to this one are sent first, as history.
        content: Turns that neither the handle nor that history holds, sent after it.
        wait_at_most: Seconds; the driver draws the wait before the dial evenly from 0 to this (full jitter).
        history_budget: Without a handle: so many tokens of turns at most, the newest of them; 0 for all.
        wanted_by: Its place among the dials of the relay, monotonic seconds; the soonest goes first.
    """

    handle: str | None = field(repr=False)
    history_through: int
    content: tuple[Turn, ...]
    wait_at_most: float
    history_budget: int = 0
    wanted_by: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class PrepareUpstream:
    """Connect for the next `OpenUpstream`, but send no setup: a connection without one holds no session.

    Then say `events.UpstreamPrepared`, also when it could not be made: `OpenUpstream` dials by itself then.

    Args:
        wanted_by: Its place among the dials of the relay, monotonic seconds; the soonest goes first.
    """

    wanted_by: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class CloseUpstream:
    """Close it, reading on until its close is acknowledged or the bound is reached; then `events.UpstreamClosed`."""


@dataclass(frozen=True, slots=True)
class StartSending:
    """Send the client's inputs from after a mark on, those that wait and those to come.

    Silence that an earlier connection was sent may be passed over.

    Args:
        after: The newest input that the connection knows already.
        heard: Gemini had heard something in what comes after it, so it is not all silence, whatever it sounds like.
    """

    after: Mark
    heard: bool = False


@dataclass(frozen=True, slots=True)
class StopSending:
    """Keep the client's inputs; send none."""


@dataclass(frozen=True, slots=True)
class Forget:
    """Inputs up to this position are covered, or held by a stored turn."""

    through: int


@dataclass(frozen=True, slots=True)
class Advise:
    """Bring private advice to the agent, before any input that waits.

    Args:
        channel: How. Through one that replaces the system instruction: the conversation's own, and the advice after it.
        text: With its prefix; empty, through one that replaces the instruction, for none.
    """

    channel: Channel
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class AnswerTool:
    """Give the model a tool's result."""

    id: str
    name: str
    result: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Welcome:
    """Admit the client that has joined: tell it how things stand, then what it missed, then what comes.

    Args:
        continuity: How the context survived; None when there was nothing before.
    """

    continuity: Continuity | None


@dataclass(frozen=True, slots=True)
class Tell:
    """Tell the client, now or when it is back."""

    notice: Notice


@dataclass(frozen=True, slots=True)
class TellWatchers:
    """Tell those who watch the conversation, and count it; the client must not know."""

    notice: FeedbackChanged


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Store it all at once, then say `events.CheckpointStored`.

    Args:
        turns: Turns that are not stored yet.
        handle: The newest upstream handle, if it is news.
        ledger: After the newest counted turn.
        continuity: How the context survived the last change of connection, if there was one.
        feedback: What became of it since the last checkpoint.
        invalidate: Why the stored upstream handle is deleted; empty where it is not.
    """

    turns: tuple[Turn, ...]
    handle: UpstreamHandle | None
    ledger: Ledger
    continuity: Continuity | None
    feedback: tuple[FeedbackChange, ...] = ()
    invalidate: str = ""


@dataclass(frozen=True, slots=True)
class InvalidateHandle:
    """Delete the stored upstream handle."""

    reason: str


class Farewell(StrEnum):
    """Why the client's socket is closed."""

    OVER = "over"
    RECONNECT = "reconnect"
    DRAIN = "drain"
    REPLACED = "replaced"
    UPSTREAM_REFUSED = "upstream_refused"
    UPSTREAM_UNAVAILABLE = "upstream_unavailable"
    STORE_UNAVAILABLE = "store_unavailable"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class CloseClient:
    """Close the client's socket."""

    why: Farewell
    detail: str


@dataclass(frozen=True, slots=True)
class EndConversation:
    """Tell the store that it is over for good."""

    reason: str


@dataclass(frozen=True, slots=True)
class Release:
    """Tell the store that this relay gives the conversation back."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Nothing more will come: let go of everything."""


Effect = (
    OpenUpstream
    | PrepareUpstream
    | CloseUpstream
    | StartSending
    | StopSending
    | Forget
    | Advise
    | AnswerTool
    | Welcome
    | Tell
    | TellWatchers
    | Checkpoint
    | InvalidateHandle
    | CloseClient
    | EndConversation
    | Release
    | Stop
)

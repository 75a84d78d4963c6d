"""What a client's owner is told: the relay's messages as they are, the agent's voice, and what became of the socket."""

from dataclasses import dataclass

from filo.client.messages import Greeting, Numbered


@dataclass(frozen=True, slots=True)
class Audio:
    """A piece of the agent's voice: PCM16 little-endian mono, 24 kHz."""

    pcm: bytes


@dataclass(frozen=True, slots=True)
class Disconnected:
    """An open socket is gone; `code` is 1006 for a cut without a close frame."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Reconnecting:
    """Attempt number `attempt` (from 1) begins after `wait` seconds; `cause` is why the socket was lost."""

    attempt: int
    wait: float
    cause: str


@dataclass(frozen=True, slots=True)
class Offline:
    """There is no network: an attempt that does not count begins after `wait` seconds, or when the network is back."""

    wait: float


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    """An attempt did not bring the session back; `reason` is a sentence or the close code."""

    attempt: int
    reason: str


@dataclass(frozen=True, slots=True)
class Reconnected:
    """The session is back.

    Attributes:
        cause: Why the socket was lost: ``go_away``, ``cut``, ``silent`` or the close code.
        attempts: How many it took.
        continuity: How the context survived, in the relay's words.
        gap: Seconds without a session.
        lost_inputs: Inputs the relay asked for that were no longer kept.
    """

    cause: str
    attempts: int
    continuity: str
    gap: float
    lost_inputs: int


@dataclass(frozen=True, slots=True)
class Over:
    """Nothing more will come; the last event.

    Attributes:
        ended: True when the conversation was ended; False when it was lost, or left.
        code: The last close code.
        reason: A sentence.
        attempts: Failed attempts at the end.
    """

    ended: bool
    code: int
    reason: str
    attempts: int


Event = Greeting | Numbered | Audio | Disconnected | Reconnecting | Offline | AttemptFailed | Reconnected | Over

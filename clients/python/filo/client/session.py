"""One client of the relay, decided: what to send, when to leave, when to come back. No I/O and no clock.

The driver's part: call `connect` and open the URL it gives; tell `opened`, `received` and `closed`; send what `take`
gives; while `leaving` close the socket; call `timeout` at the deadline. A method that is told something returns what
the owner should hear. Times are readings of a monotonic clock, in seconds.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode, urlsplit, urlunsplit

from filo.client import close_codes, messages
from filo.client.close_codes import Action
from filo.client.events import (
    AttemptFailed,
    Audio,
    Disconnected,
    Event,
    Over,
    Reconnected,
    Reconnecting,
)
from filo.client.messages import Greeting, Numbered, SessionResumed, SessionStarted
from filo.client.outbox import Outbox
from filo.client.policy import Policy
from filo.client.states import Phase, Signal, follow

CUT: Final = 1006
"""RFC 6455, 7.1.5: the code of a connection that ended without a close frame."""

DONE: Final = 1000
"""The relay closes with it only when the conversation is over."""

AWAY: Final = 1001
"""What this side closes with when it means to come back: the table answers its echo with RECONNECT."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What opens the socket.

    Attributes:
        url: The relay with the path of `CreateSession`, for example ``ws://127.0.0.1:7400/ws/ai-voice?mode=sales_agent``.
        session_token: The first token; newer ones come on the socket. Secret: it is sent in the first message.
        share_token: The share token of the conversation, if its mode has one. Secret, sent likewise.
        test: Marks the connection as a test.
        rotation: Who replaces the upstream connection, ``relay`` or ``client``.
    """

    url: str
    session_token: str
    share_token: str | None = None
    test: bool = False
    rotation: str = "relay"

    def __repr__(self) -> str:
        return f"Credentials(url={self.url!r}, test={self.test}, rotation={self.rotation!r})"


class Session:
    """A client's hold on one conversation, across sockets.

    Args:
        credentials: What opens the socket.
        policy: When to come back.
        chance: Gives numbers in [0, 1) for the waits, for example ``random.Random(seed).random``.
    """

    def __init__(self, credentials: Credentials, policy: Policy, chance: Callable[[], float]) -> None:
        self.phase = Phase.IDLE
        self.deadline: float | None = None
        self.expiring = False
        self.outbox = Outbox()
        self.policy = policy
        self.duplicates = 0
        self._credentials = credentials
        self._chance = chance
        self._token = credentials.session_token
        self._handle: str | None = None
        self._position = self._seen = (0, 0)
        self._first: deque[str] = deque()
        self._farewell: str | None = None
        self._said_farewell = False
        self._greeted_before = False
        self._attempts = 0
        self._cause = ""
        self._lost_at = 0.0
        self._end: str | None = None
        self._live = False

    # What the owner gives. ------------------------------------------------------------------------------------------

    def audio(self, pcm: bytes) -> int:
        """Keep a piece of the client's voice (PCM16 mono 16 kHz, at most 64 KiB); return its number."""
        return self.outbox.add(pcm)

    def text(self, text: str) -> int:
        """Keep a typed turn; return its number."""
        return self.outbox.add(messages.write("text", text=text))

    def tool_result(self, call: str, name: str, result: object) -> int:
        """Keep the answer to a tool call; return its number."""
        return self.outbox.add(messages.write("tool_result", id=call, name=name, result=result))

    def end(self, reason: str) -> None:
        """End the conversation once everything kept has been sent; said again on a new socket if need be."""
        self._farewell = messages.write("end", reason=reason)

    @property
    def leaving(self) -> bool:
        """Whether the driver is to close the socket."""
        return self.phase is Phase.LEAVING

    # What the driver does. ------------------------------------------------------------------------------------------

    def connect(self, now: float) -> str:
        """Begin an attempt; return the URL to open. It holds no token: those go in the first message."""
        self._move(Signal.CONNECT, now + self.policy.open_timeout)
        parts = urlsplit(self._credentials.url)
        given = {
            "testMode": "true" if self._credentials.test else None,
            "rotation": "client" if self._credentials.rotation == "client" else None,
            "resumeHandle": self._handle,
            "lastSeen": "{}.{}".format(*self._seen) if self._greeted_before else None,
        }
        query = urlencode({name: value for name, value in given.items() if value is not None})
        return urlunsplit(parts._replace(query="&".join(filter(None, (parts.query, query)))))

    def opened(self, now: float) -> Sequence[Event]:
        """The socket is open: introduce this client and await the relay's greeting."""
        self._move(Signal.OPENED, now + self.policy.greeting_timeout)
        share = self._credentials.share_token
        self._first = deque([messages.write("auth", sessionToken=self._token, shareToken=share)])
        return ()

    def take(self) -> str | bytes | None:
        """The next message for the socket, or None while there is none."""
        if self.phase not in (Phase.GREETING, Phase.LIVE):
            return None
        if self._first:
            return self._first.popleft()
        if self.phase is Phase.GREETING:
            return None
        payload = self.outbox.take()
        if payload is None and self._farewell and not self._said_farewell:
            self._said_farewell = True
            return self._farewell
        return payload

    def received(self, frame: str | bytes, now: float) -> Sequence[Event]:
        """A frame has come from the relay. One that was seen before is counted and passed over."""
        if isinstance(frame, bytes):
            epoch, n = self._position
            return (Audio(frame),) if self._is_new(epoch, n + 1) else ()
        message = messages.parse(frame)
        if isinstance(message, SessionStarted | SessionResumed):
            return self._greeted(message, now)
        if not message.epoch or not self._is_new(message.epoch, message.n) or isinstance(message, messages.Unknown):
            return ()
        self._react(message, now)
        return (message,)

    def closed(self, code: int, reason: str, now: float) -> Sequence[Event]:
        """The socket is gone, or could not be opened (1006 and a sentence); decide whether to come back."""
        told: list[Event] = []
        if self._end is None:
            why = reason or f"closed with {code}"
            told.append(Disconnected(code, reason) if self._live else AttemptFailed(self._attempts, why))
        if not self._cause:
            self._cause, self._lost_at = "cut" if code == CUT else str(code), now
        self._live = False
        action = close_codes.action(code)
        if self._end is not None or action is Action.STOP or self._attempts >= self.policy.attempts:
            self._move(Signal.FINISHED)
            return [*told, Over(self._end is not None or code == DONE, code, self._end or reason, self._attempts)]
        self._attempts += 1
        wait = self.policy.wait(self._attempts, action, self._chance())
        self._move(Signal.LOST, now + wait)
        return [*told, Reconnecting(self._attempts, wait, self._cause)]

    def timeout(self, now: float) -> Sequence[Event]:
        """The deadline has passed: a relay that does not greet is left. The driver keeps the other deadlines."""
        if self.phase is Phase.GREETING:
            self._leave("silent", now)
        return ()

    # What the relay's messages change. ------------------------------------------------------------------------------

    def _greeted(self, message: Greeting, now: float) -> Sequence[Event]:
        """Say where this client stands, and go on from where the relay stands."""
        if self.phase is not Phase.GREETING:  # it came too late, or twice
            return ()
        self._move(Signal.GREETED)
        self._position = (message.epoch, message.n)
        if not self._greeted_before:
            self._seen = self._position
            self.outbox.adopt(message.next_seq)
        lost = self.outbox.rewind(message.next_seq)
        self.outbox.cover(message.covered)
        self._first = deque([messages.write("seq", next=max(message.next_seq, self.outbox.covered + 1))])
        told: list[Event] = [message]
        if self._greeted_before:
            gap = now - self._lost_at
            told.append(Reconnected(self._cause, self._attempts, message.continuity, gap, lost))
        self._greeted_before = self._live = True
        self.expiring = self._said_farewell = False
        self._attempts, self._cause = 0, ""
        return told

    def _is_new(self, epoch: int, n: int) -> bool:
        """Note the number of the message that has come; False if it was seen before."""
        self._position = (epoch, n)
        if self._position <= self._seen:
            self.duplicates += 1
            return False
        self._seen = self._position
        return True

    def _react(self, message: Numbered, now: float) -> None:
        match message:
            case messages.ResumptionUpdate():
                self._token = message.session_token or self._token
                self._handle = message.handle or self._handle
            case messages.SessionExpiring():
                self.expiring = True
            case messages.Rotated():
                self.expiring = False
            case messages.Covered():
                self.outbox.cover(message.seq)
            case messages.ConversationEnd():
                self._end = message.reason or "ended"
            case messages.GoAway() if self.policy.follow_go_away and self.phase is Phase.LIVE:
                self._leave("go_away", now)
            case _:
                pass

    def _leave(self, cause: str, now: float) -> None:
        if not self._cause:
            self._cause, self._lost_at = cause, now
        self._move(Signal.LEAVE, now + self.policy.close_timeout)

    def _move(self, signal: Signal, deadline: float | None = None) -> None:
        """Take a row of the table; whatever was to be done by the old deadline is done, or no longer matters."""
        self.phase, self.deadline = follow(self.phase, signal), deadline

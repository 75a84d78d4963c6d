"""One client of the relay, decided: what to send, when to leave, when to come back. No I/O and no clock.

The driver's part: call `connect` and open the URL it gives, after `renewed` where `wants_token`; tell `opened`,
`received` and `closed`; send what `take` gives; while `leaving` close the socket; call `timeout` at the deadline. A
method that is told something returns what the owner should hear. Times are readings of a monotonic clock, in seconds.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import urlencode, urlsplit, urlunsplit

from filo.client import messages, wire
from filo.client.comeback import CUT, Comeback
from filo.client.credentials import Credentials
from filo.client.events import AttemptFailed, Audio, Disconnected, Event, Offline, Over, Reconnected, Reconnecting
from filo.client.messages import Greeting, Numbered, SessionResumed, SessionStarted
from filo.client.outbox import CAPACITY, Outbox
from filo.client.policy import Policy
from filo.client.pulse import Pulse
from filo.client.states import Phase, Signal, follow

ENDED: Final = frozenset({1000, 4410})
"""The relay closes with these when the conversation is over: now, or since before this socket."""

AWAY: Final = 1001
"""What this side closes with when it means to come back: the table answers its echo with RECONNECT."""

Standing = tuple[tuple[int, int], str | None]
"""The last message seen, as epoch and number, and the newest resume handle."""

NOWHERE: Final = (0, 0)
"""Where a client stands that has seen no message: epochs begin at 1."""


class Session:
    """A client's hold on one conversation, across sockets.

    Args:
        credentials: What opens the socket.
        policy: When to come back.
        chance: Gives numbers in [0, 1) for the waits, for example ``random.Random(seed).random``.
        capacity: Bytes of audio that are kept until they are covered.

    Attributes:
        expiring: The relay has said that the upstream connection is about to end.
        duplicates: Messages that came twice and were passed over.
    """

    def __init__(
        self, credentials: Credentials, policy: Policy, chance: Callable[[], float], capacity: int = CAPACITY
    ) -> None:
        self.phase = Phase.IDLE
        self.expiring = False
        self.outbox = Outbox(capacity)
        self.policy = policy
        self.duplicates = 0
        self._credentials = credentials
        self._token = credentials.session_token
        self._handle: str | None = None
        self._position = self._seen = NOWHERE
        self._last_turn: int | None = 0
        self._first: deque[str | bytes] = deque()
        self._counted = 1
        self._farewell: str | None = None
        self._said_farewell = False
        self._greeted_before = False
        self._comeback = Comeback(policy, chance, renewable=credentials.renewable)
        self._comeback.wants_token = self._token is None
        self._pulse = Pulse(policy)
        self._deadline: float | None = None
        self._end: str | None = None
        self._live = self._quitting = False

    @property
    def standing(self) -> Standing:
        """The last message seen, as epoch and number, and the newest resume handle: what `go_on_from` takes."""
        return self._seen, self._handle

    def go_on_from(self, seen: tuple[int, int], handle: str | None) -> None:
        """Before the first `connect`: another process had this session and died; be sent what came after `seen`."""
        self._seen, self._handle, self._last_turn = seen, handle, None

    # What the owner gives. ------------------------------------------------------------------------------------------

    def audio(self, pcm: bytes) -> int:
        """Keep a piece of the client's voice (PCM16 mono 16 kHz, at most 64 KiB); return its number."""
        return self.outbox.add(pcm)

    def text(self, text: str) -> int:
        """Keep a typed turn; return its number."""
        return self.outbox.add(wire.write("text", text=text))

    def activity(self, *, start: bool) -> int:
        """Keep the client's own voice activity, where automatic detection is off; return its number."""
        return self.outbox.add(wire.write("activity_start" if start else "activity_end"))

    def audio_stream_end(self) -> int:
        """Keep that the microphone is off for a while; return the number of that."""
        return self.outbox.add(wire.write("audio_stream_end"))

    def tool_result(self, call: str, name: str, result: object) -> int:
        """Keep the answer to a tool call; return its number."""
        return self.outbox.add(wire.write("tool_result", id=call, name=name, result=result))

    def end(self, reason: str) -> None:
        """End the conversation once everything kept has been sent; said again on a new socket if need be."""
        self._farewell = wire.write("end", reason=reason)

    def quit(self, now: float) -> None:
        """Leave for good, without ending the conversation: another client may go on with it."""
        self._quitting = True
        if self.phase in (Phase.GREETING, Phase.LIVE):
            self._leave("left", now)

    # What the driver does. ------------------------------------------------------------------------------------------

    @property
    def leaving(self) -> bool:
        """Whether the driver is to close the socket."""
        return self.phase is Phase.LEAVING

    @property
    def deadline(self) -> float | None:
        """When the driver is to call `timeout`, or to begin the next attempt; None while nothing is due."""
        return self._pulse.deadline if self.phase is Phase.LIVE else self._deadline

    @property
    def wants_token(self) -> bool:
        """Whether the owner is to be asked for a new session token before the socket is opened."""
        return self._comeback.wants_token

    def renewed(self, token: str) -> None:
        """The owner has given a new session token."""
        self._token, self._comeback.wants_token = token, False

    def connect(self, now: float) -> str:
        """Begin an attempt; return the URL to open. It holds no token: those go in the first message."""
        self._move(Signal.CONNECT, now + self.policy.open_timeout)
        parts = urlsplit(self._credentials.url)
        given = {
            "testMode": "true" if self._credentials.test else None,
            "rotation": "client" if self._credentials.rotation == "client" else None,
            "resumeHandle": self._handle,
            "lastSeen": "{}.{}".format(*self._seen) if self._seen != NOWHERE else None,
            "lastTurn": self._last_turn if self._seen != NOWHERE else None,
        }
        query = urlencode({name: value for name, value in given.items() if value is not None})
        return urlunsplit(parts._replace(query="&".join(filter(None, (parts.query, query)))))

    def opened(self, now: float) -> Sequence[Event]:
        """The socket is open: introduce this client and await the relay's greeting."""
        self._move(Signal.OPENED, now + self.policy.greeting_timeout)
        share = self._credentials.share_token
        self._first = deque([wire.write("auth", sessionToken=self._token, shareToken=share)])
        return ()

    def take(self) -> str | bytes | None:
        """The next message for the socket, or None while there is none."""
        if self.phase not in (Phase.GREETING, Phase.LIVE):
            return None
        if self._first:
            return self._first.popleft()
        entry = self.outbox.take() if self.phase is Phase.LIVE else None
        if entry is not None:
            expected, self._counted = self._counted, entry.number + 1
            if entry.number == expected:
                return entry.payload
            self._first.append(entry.payload)
            return wire.write("seq", next=entry.number)
        if self.phase is Phase.LIVE and self._farewell and not self._said_farewell:
            self._said_farewell = True
            return self._farewell
        return None

    def received(self, frame: str | bytes, now: float) -> Sequence[Event]:
        """A frame has come from the relay. One that was seen before is counted and passed over."""
        self._pulse.heard(now)
        if isinstance(frame, bytes):
            epoch, n = self._position
            return (Audio(frame),) if self._is_new(epoch, n + 1) else ()
        message = wire.parse(frame)
        if isinstance(message, SessionStarted | SessionResumed):
            return self._greeted(message, now)
        if not message.epoch or not self._is_new(message.epoch, message.n) or isinstance(message, messages.Unknown):
            return ()
        self._react(message, now)
        return (message,)

    def closed(self, code: int, reason: str, now: float) -> Sequence[Event]:
        """The socket is gone, or could not be opened (1006 and a sentence); decide whether to come back."""
        told: list[Event] = []
        if self._end is None and not self._quitting:
            why = reason or f"closed with {code}"
            told.append(Disconnected(code, reason) if self._live else AttemptFailed(self._comeback.attempts, why))
        self._comeback.lost("cut" if code == CUT else str(code), now)
        self._live = False
        wait = None if self._end is not None or self._quitting else self._comeback.after(code)
        if wait is None:
            self._move(Signal.FINISHED)
            why = "left" if self._quitting and self._end is None else self._end or reason
            ended = self._end is not None or (code in ENDED and not self._quitting)
            return [*told, Over(ended, code, why, self._comeback.attempts)]
        self._move(Signal.LOST, now + wait)
        return [*told, self._waiting(wait)]

    def timeout(self, now: float) -> Sequence[Event]:
        """The deadline has passed: a relay that does not greet, or has fallen silent, is left."""
        if self.phase is Phase.GREETING:
            self._leave("silent", now)
        elif self.phase is Phase.LIVE:
            self._do(self._pulse.due(now), now)
        return ()

    def network(self, *, online: bool, now: float) -> Sequence[Event]:
        """The machine has lost its network or has one again, as far as it knows."""
        self._comeback.offline = not online
        if self.phase is Phase.LIVE:  # it may have another address now, and the socket be dead without a word
            self._do(self._pulse.probe(now), now)
        elif self.phase is Phase.WAITING and online and self._comeback.parked:
            wait = self._comeback.next()
            self._deadline = now + wait
            return (self._waiting(wait),)
        return ()

    # What the relay's messages change. ------------------------------------------------------------------------------

    def _greeted(self, message: Greeting, now: float) -> Sequence[Event]:
        """Say where this client stands, and go on from where the relay stands."""
        if self.phase is not Phase.GREETING:  # it came too late, or twice
            return ()
        self._move(Signal.GREETED)
        self._position = (message.epoch, message.n)
        if self._seen == NOWHERE:  # what was before is not this client's to know
            self._seen, self._last_turn = self._position, message.turn
        elif self._last_turn is not None:  # a turn that was not stored begins again
            self._last_turn = min(self._last_turn, message.turn)
        if not self._greeted_before:
            self.outbox.adopt(message.next_seq)
        lost = self.outbox.rewind(message.next_seq)
        self.outbox.cover(message.covered)
        self._counted = max(message.next_seq, self.outbox.covered + 1)
        self._first = deque([wire.write("seq", next=self._counted)])
        told: list[Event] = [message]
        cause, attempts, gap = self._comeback.cause, self._comeback.attempts, self._comeback.back(now)
        if self._greeted_before:
            told.append(Reconnected(cause, attempts, message.continuity, gap, lost))
        self._greeted_before = self._live = True
        self.expiring = self._said_farewell = False
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
            case messages.TurnComplete() | messages.TurnMissed():
                self._last_turn = max(self._last_turn or 0, message.turn)
            case messages.Covered():
                self.outbox.cover(message.seq)
            case messages.ConversationEnd():
                self._end = message.reason or "ended"
            case messages.GoAway() if self.policy.follow_go_away and self.phase is Phase.LIVE:
                self._leave("go_away", now)
            case _:
                pass

    def _waiting(self, wait: float) -> Event:
        if self._comeback.parked:
            return Offline(wait)
        return Reconnecting(self._comeback.attempts, wait, self._comeback.cause)

    def _do(self, due: Pulse.Due, now: float) -> None:
        if due is Pulse.Due.ASK:
            self._first.append(wire.write("ping"))
        elif due is Pulse.Due.DEAD:
            self._leave("silent", now)

    def _leave(self, cause: str, now: float) -> None:
        self._comeback.lost(cause, now)
        self._move(Signal.LEAVE, now + self.policy.close_timeout)

    def _move(self, signal: Signal, deadline: float | None = None) -> None:
        """Take a row of the table; whatever was to be done by the old deadline is done, or no longer matters."""
        self.phase, self._deadline = follow(self.phase, signal), deadline

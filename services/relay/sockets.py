"""What the relay wants of a WebSocket, whichever library carries it.

A message goes to whoever takes it in the moment it comes, and leaves the moment it is sent: a conversation is a hundred
messages of audio a second, and a queue or a task for each costs more than the message. The modules of
`services.relay.transport` do this, each with one library; nobody else in the relay knows which one is used.
"""

import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final, Protocol

from services.common.lateness import Late

Take = Callable[[bytes, bool], bool]
"""Takes one message and whether it is text; returns whether it was the last that is wanted."""

NO_CODE: Final = 1005
"""The close frame had no code (RFC 6455, section 7.1.5)."""
NO_CLOSE_FRAME: Final = 1006
"""The connection ended without a close frame."""


class ClosedError(Exception):
    """The socket is closed, or on its way there: nothing can be sent any more."""


class DialError(Exception):
    """A connection could not be made, for a reason that is not the network's (those are OSError).

    Attributes:
        status: The HTTP status that was given in place of the upgrade; None where the handshake failed in another way.
    """

    def __init__(self, text: str, status: int | None = None) -> None:
        super().__init__(text)
        self.status = status


class Socket(Protocol):
    """One WebSocket that is open, until it is closed by either side.

    What it does by itself: it answers pings, puts fragmented messages together, refuses what breaks RFC 6455 (1002) or
    is too large (1009), answers a close, and bounds the time that closing takes. Text is not checked to be UTF-8:
    whoever takes it parses it. Compression is never agreed on.

    Attributes:
        got: Told the mark of an `ask` that the peer has answered, whatever the peer says the mark was.
    """

    got: Callable[[int], None] | None

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent: no close was sent, and none has come."""

    @property
    def close_code(self) -> int | None:
        """Of the peer's close frame; `NO_CODE` if it had none, `NO_CLOSE_FRAME` after a cut, None before the end."""

    @property
    def close_reason(self) -> str | None:
        """Of the peer's close frame; None before the end."""

    async def deliver(self, take: Take) -> None:
        """Give every message to `take`, in order, until it has had the last it wants, or the connection has ended.

        What comes after the last waits for the next `deliver`; of what comes before the first a few messages wait, then
        no more are read. Cancelling is safe.

        Raises:
            Exception: Whatever `take` raised; nothing is given to it afterwards.
        """

    def send_now(self, message: bytes, *, text: bool) -> bool:
        """Send one message without waiting.

        Returns:
            Whether it was sent; false when the connection takes no more for the moment, or is not open.
        """

    async def send(self, message: bytes | str, *, text: bool | None = None) -> None:
        """Send one message, then wait while the connection takes no more. Cancelling is safe.

        Args:
            message: The message; a string is sent as text.
            text: Whether bytes are sent as text.

        Raises:
            ClosedError: The socket is not open, or was closed during the wait.
        """

    def ask(self, mark: int) -> None:
        """Ask the peer for a sign that it has got all that was sent so far; `got` is told the mark when it comes.

        It is a ping: its pong comes after everything before it was taken in (RFC 6455, section 5.5.2).
        """

    def hold(self) -> None:
        """Read no more for the moment: the peer has to wait. What was read already is still delivered."""

    def release(self) -> None:
        """Read on."""

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close, and wait until the peer has closed too, in a bounded time; then it is dropped.

        Messages that come meanwhile are delivered. Cancelling is safe: it closes all the same.

        Args:
            code: RFC 6455, section 7.4.
            reason: At most 123 bytes.
        """

    def abort(self) -> None:
        """Drop the connection without a word."""


class ClientSocket(Socket, Protocol):
    """A socket that a client has opened."""

    @property
    def target(self) -> str:
        """Path and query that it asked for."""

    @property
    def offered(self) -> tuple[str, ...]:
        """The subprotocols that it offered."""


@dataclass(frozen=True, slots=True)
class Door:
    """How clients are let in.

    Args:
        serve: Serves one socket to its end; the socket is closed after it.
        answer: Told the target of a request; gives what it gets in place of an upgrade, None where it may go on.
        subprotocol: Agreed on where a client offers it.
        origins: Allowed values of ``Origin``; a request without one is always allowed, and any where this is empty.
        largest: Bytes of a message.
        close_timeout: Seconds in which a client must answer a close.
        ping_interval: Seconds between pings; a client must answer one in the same time, or it is closed with 1011. What
            this process is late is not counted, nor while the client is not read.
        open_timeout: Seconds for the handshake.
        late: How late this process is: then the answer lies in the socket, unread.
    """

    serve: Callable[[ClientSocket], Awaitable[None]]
    answer: Callable[[str], tuple[HTTPStatus, str] | None]
    subprotocol: str
    origins: tuple[str, ...]
    largest: int
    close_timeout: float
    ping_interval: float
    open_timeout: float = 10.0
    late: Late = lambda _: 0.0


@dataclass(frozen=True, slots=True)
class Dialling:
    """How a connection is made. It is not pinged: Gemini's pongs take 8 to 30 s, and a timeout would kill what is well.

    Args:
        headers: Sent with the request.
        tls: Whom to trust; None for a connection in the clear.
        largest: Bytes of a message.
        send_buffer: Bytes that the kernel takes for a peer that does not read.
        receive_buffer: Bytes that it takes of a peer before they are read here.
        close_timeout: Seconds in which the peer must answer a close.
    """

    headers: Mapping[str, str] = field(repr=False)
    tls: ssl.SSLContext | None
    largest: int
    send_buffer: int
    receive_buffer: int
    close_timeout: float


class Listener(Protocol):
    """A port that is listened on."""

    @property
    def port(self) -> int:
        """The one that was really taken."""

    async def close(self, code: int, reason: str) -> None:
        """Take no more sockets, close those that are open, and wait until everybody is served."""


class Transport(Protocol):
    """One library, at both edges of the relay."""

    async def dial(self, url: str, how: Dialling) -> Socket:
        """Connect. There is no time limit here; cancelling is safe, the connection is dropped.

        Args:
            url: ``ws://`` or ``wss://``.
            how: With what.

        Raises:
            OSError: The network, or TLS; ConnectionAbortedError where it was cut before the handshake was over.
            DialError: The handshake was refused, or was none.
        """

    async def listen(self, host: str, port: int, door: Door) -> Listener:
        """Take sockets.

        Raises:
            OSError: The port cannot be listened on.
        """

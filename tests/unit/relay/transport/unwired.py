"""Open sockets of the relay's on `websockets`, with no network below them."""

from typing import Any, Final, cast

from websockets.asyncio.connection import Connection
from websockets.client import ClientProtocol
from websockets.protocol import Protocol, State
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from services.relay.transport.websockets_socket import ClientSocket, Straight, UpstreamSocket

SIDES: Final = ["server", "client"]
LARGEST: Final = 70_000
"""Bytes of a message: more than two bytes can say."""
CLOSE_TIMEOUT: Final = 9.0
"""Seconds; nobody waits for them."""


class Wire:
    """A transport that remembers what is done with it."""

    def __init__(self) -> None:
        self.written = bytearray()
        self.ended = self.aborted = False
        self.reading = True

    def write(self, data: bytes) -> None:
        """Remember it."""
        self.written += data

    def can_write_eof(self) -> bool:
        """It can, as any socket without TLS."""
        return True

    def write_eof(self) -> None:
        """The end of what is written."""
        self.ended = True

    def pause_reading(self) -> None:
        """The peer has to wait."""
        self.reading = False

    def resume_reading(self) -> None:
        """No more."""
        self.reading = True

    def abort(self) -> None:
        """Whoever calls it has to say that the connection is lost."""
        self.aborted = True

    def is_closing(self) -> bool:
        """Whether it is dropped."""
        return self.aborted

    def set_write_buffer_limits(self, *_: int, **__: int) -> None:
        """There is no buffer."""


def protocol_of(side: str) -> Protocol:
    """The library's, without a connection around it."""
    if side == "server":
        return ServerProtocol(state=State.OPEN, max_size=LARGEST)
    return ClientProtocol(parse_uri("ws://gemini"), state=State.OPEN, max_size=LARGEST)


def socket_of(side: str, wire: Wire) -> Straight:
    """An open socket of the relay's."""
    how: dict[str, Any] = {"ping_interval": None, "close_timeout": CLOSE_TIMEOUT}
    socket: Straight
    if side == "server":
        socket = ClientSocket(protocol_of(side), None, late=lambda _: 0.0, **how)
        socket.request = cast("Any", object())
    else:
        socket = UpstreamSocket(protocol_of(side), **how)
        socket.response = cast("Any", object())
    Connection.connection_made(socket, cast("Any", wire))
    return socket

"""One call by bare HTTP/2: without a gRPC library that ends it for the server, it shows who keeps a deadline.

Only what that needs of RFC 9113 is here: one stream, frames that are told apart and not decoded.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

from services.common.tls import Transport
from services.contract.target import Target

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY = 0, 1, 3, 4, 6, 7
_END_STREAM, _ACK, _END_HEADERS = 0x1, 0x1, 0x4
_CANCEL: Final = (8).to_bytes(4, "big")
_STREAM: Final = 1
_SEVEN_BITS: Final = 127


class Frame(NamedTuple):
    """A frame: its type, flags, stream and payload."""

    kind: int
    flags: int
    stream: int
    payload: bytes

    @property
    def ends(self) -> bool:
        """Whether our call is over with it."""
        if self.kind == _GOAWAY:
            return True
        ended = self.kind == _RST_STREAM or (self.kind in {_DATA, _HEADERS} and bool(self.flags & _END_STREAM))
        return ended and self.stream == _STREAM


class Call:
    """A call that a server answers.

    Args:
        reader: What the server sends.
        writer: What it is sent.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def until_end(self) -> None:
        """Read until the server has ended the call.

        Raises:
            ConnectionError: It closed the connection instead.
        """
        while not (await self._next()).ends:
            pass

    async def cancel(self) -> None:
        """Cancel the call, and wait until the server knows.

        Raises:
            ConnectionError: It closed the connection.
        """
        self._send(_RST_STREAM, 0, _STREAM, _CANCEL)
        self._send(_PING, 0, 0, b"filofilo")
        while True:
            frame = await self._next()
            if frame.kind == _PING and frame.flags & _ACK:
                return

    async def heard_within(self, seconds: float) -> bool:
        """Whether anything of the call still comes within so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                while (await self._next()).stream != _STREAM:
                    pass
        except TimeoutError:
            return False
        return True

    async def _next(self) -> Frame:
        try:
            head = await self._reader.readexactly(9)
            payload = await self._reader.readexactly(int.from_bytes(head[:3], "big"))
        except asyncio.IncompleteReadError as error:
            raise ConnectionError("the server closed the connection") from error
        frame = Frame(head[3], head[4], int.from_bytes(head[5:], "big") & 0x7FFFFFFF, payload)
        if frame.kind in {_SETTINGS, _PING} and not frame.flags & _ACK:
            self._send(frame.kind, _ACK, 0, b"" if frame.kind == _SETTINGS else frame.payload)
        return frame

    def _send(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        head = len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big")
        self._writer.write(head + payload)

    def begin(self, headers: Sequence[tuple[str, str]], message: bytes) -> None:
        """Send the request."""
        self._writer.write(_PREFACE)
        self._send(_SETTINGS, 0, 0, b"")
        self._send(_HEADERS, _END_HEADERS, _STREAM, b"".join(_literal(*header) for header in headers))
        self._send(_DATA, _END_STREAM, _STREAM, b"\0" + len(message).to_bytes(4, "big") + message)


@asynccontextmanager
async def calling(target: Target, path: str, message: bytes, milliseconds: int) -> AsyncIterator[Call]:
    """Begin a call whose deadline only the server knows.

    Args:
        target: The server.
        path: The RPC.
        message: The request.
        milliseconds: The deadline.

    Raises:
        OSError: It cannot be reached.
    """
    address, secure = target.address, _context(target.transport)
    reader, writer = await asyncio.open_connection(
        address.host, address.port, ssl=secure, server_hostname=target.name or None if secure else None
    )
    headers = (
        (":method", "POST"),
        (":scheme", "https" if secure else "http"),
        (":path", path),
        (":authority", str(address)),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("grpc-timeout", f"{milliseconds}m"),
        *target.metadata,
    )
    try:
        call = Call(reader, writer)
        call.begin(headers, message)
        yield call
    finally:
        writer.transport.abort()


def _context(transport: Transport) -> ssl.SSLContext | None:
    if transport.certificate is None:
        return None
    context = ssl.create_default_context(cafile=str(transport.authority))
    context.load_cert_chain(transport.certificate, transport.key)
    context.set_alpn_protocols(["h2"])
    return context


def _literal(name: str, value: str) -> bytes:
    """A header as HPACK's literal without indexing (RFC 7541, 6.2.2)."""
    return b"\0" + _string(name) + _string(value)


def _string(text: str) -> bytes:
    content = text.encode("ascii")
    return _length(len(content)) + content


def _length(number: int) -> bytes:
    """An integer with a prefix of seven bits (RFC 7541, 5.1)."""
    if number < _SEVEN_BITS:
        return bytes([number])
    rest, encoded = number - _SEVEN_BITS, bytearray([_SEVEN_BITS])
    while rest >= 128:  # noqa: PLR2004 - seven bits a byte
        encoded.append(rest % 128 + 128)
        rest //= 128
    return bytes([*encoded, rest])

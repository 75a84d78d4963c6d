"""The other end of a relay's WebSocket, frame by frame: it can do what no library lets one do."""

import asyncio
import base64
import functools
import hashlib
import os
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from services.emulator import tls as certificates_of
from services.relay.sockets import ClientSocket, Dialling, Door, Socket, Transport

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
LARGEST: Final = 100_000
"""Bytes of a message that the relay's end takes."""
CLOSE_TIMEOUT: Final = 0.4
PATIENCE: Final = 5.0
_SHORT: Final = 125
KEY: Final = base64.b64encode(bytes(range(16))).decode()
_MAGIC: Final = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Frame(NamedTuple):
    """One frame as it came."""

    opcode: int
    data: bytes
    fin: bool = True


def _masked(data: bytes, key: bytes) -> bytes:
    whole = int.from_bytes(data) ^ int.from_bytes((key * (len(data) // 4 + 1))[: len(data)])
    return whole.to_bytes(len(data))


def encoded(opcode: int, data: bytes, *, fin: bool, rsv: int, masks: bool) -> bytes:
    """A frame's bytes (RFC 6455, section 5.2)."""
    size = len(data)
    if size <= _SHORT:
        length = bytes([size])
    else:
        length = b"\x7e" + size.to_bytes(2) if size < 1 << 16 else b"\x7f" + size.to_bytes(8)
    head = bytes([fin << 7 | rsv << 4 | opcode, length[0] | masks << 7]) + length[1:]
    key = os.urandom(4)
    return head + key + _masked(data, key) if masks else head + data


def accept(key: str) -> str:
    """What a server answers to a key (RFC 6455, section 4.2.2)."""
    return base64.b64encode(hashlib.sha1((key + _MAGIC).encode(), usedforsecurity=False).digest()).decode()


@dataclass
class Peer:
    """One end of a connection.

    Args:
        reader: What comes.
        writer: What goes.
        masks: Whether it is a client, which masks what it sends.
    """

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    masks: bool

    def write(
        self, opcode: int, data: bytes = b"", *, fin: bool = True, rsv: int = 0, masks: bool | None = None
    ) -> None:
        """Write one frame, whatever it may be."""
        self.writer.write(encoded(opcode, data, fin=fin, rsv=rsv, masks=self.masks if masks is None else masks))

    def close(self, code: int | None = None, reason: bytes = b"") -> None:
        """Write a close frame."""
        self.write(CLOSE, b"" if code is None else code.to_bytes(2) + reason)

    async def read(self) -> Frame:
        """The next frame."""
        async with asyncio.timeout(PATIENCE):
            first, second = await self.reader.readexactly(2)
            size = second & 0x7F
            if size > 125:
                size = int.from_bytes(await self.reader.readexactly(2 if size == 126 else 8))
            key = await self.reader.readexactly(4) if second & 0x80 else b""
            data = await self.reader.readexactly(size)
        return Frame(first & 0xF, _masked(data, key) if key else data, bool(first & 0x80))

    async def closed(self) -> tuple[int | None, bytes]:
        """Code and reason of the close frame, whatever comes before it."""
        while True:
            frame = await self.read()
            if frame.opcode == CLOSE:
                return int.from_bytes(frame.data[:2]) if frame.data else None, frame.data[2:]

    async def ended(self) -> None:
        """Wait for the end of the stream, or a reset."""
        async with asyncio.timeout(PATIENCE):
            with suppress(ConnectionError):
                while await self.reader.read(1 << 16):
                    pass

    def cut(self) -> None:
        """Reset the connection."""
        self.writer.transport.abort()


class Pair(NamedTuple):
    """A socket of the relay's, and the other end."""

    socket: Socket
    peer: Peer


async def knock(port: int, *lines: str, target: str = "/ws", wait: bool = True) -> tuple[Peer, bytes]:
    """Ask a server for an upgrade; gives the peer and the head of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    usual = (
        "Host: any",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {KEY}",
        "Sec-WebSocket-Version: 13",
    )
    names = {line.partition(":")[0] for line in lines}
    sent = [line for line in usual if line.partition(":")[0] not in names] + [line for line in lines if ": " in line]
    writer.write("\r\n".join([f"GET {target} HTTP/1.1", *sent, "", ""]).encode())
    answer = b""
    if wait:
        async with asyncio.timeout(PATIENCE):
            answer = await reader.readuntil(b"\r\n\r\n")
    return Peer(reader, writer, masks=True), answer


def door(serve: Callable[[ClientSocket], object], **changes: object) -> Door:
    """A door whose visitors are served by a function that may be a coroutine function."""
    usual: dict[str, object] = {
        "serve": serve,
        "answer": lambda _target: None,
        "subprotocol": "filo.v1",
        "origins": (),
        "largest": LARGEST,
        "close_timeout": CLOSE_TIMEOUT,
        "ping_interval": 60.0,
    }
    return Door(**{**usual, **changes})  # type: ignore[arg-type]  # fields of it


@asynccontextmanager
async def _server_side(transport: Transport, **changes: object) -> AsyncIterator[Pair]:
    met: asyncio.Future[Socket] = asyncio.get_running_loop().create_future()
    leave = asyncio.Event()

    async def serve(socket: ClientSocket) -> None:
        met.set_result(socket)
        await leave.wait()

    listener = await transport.listen("127.0.0.1", 0, door(serve, **changes))
    peer, _ = await knock(listener.port)
    try:
        async with asyncio.timeout(PATIENCE):
            yield Pair(await met, peer)
    finally:
        leave.set()
        peer.cut()
        await listener.close(1001, "over")


@asynccontextmanager
async def server(
    answer: Callable[[Peer, str], object], *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[str, list[str]]]:
    """A server on plain streams, told each request's head; gives its URL, and the heads."""
    heads: list[str] = []
    writers: list[asyncio.StreamWriter] = []

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
            answer(Peer(reader, writer, masks=False), heads[-1])

    listener = await asyncio.start_server(meet, "127.0.0.1", 0, ssl=tls)
    scheme = "wss" if tls else "ws"
    try:
        yield f"{scheme}://localhost:{listener.sockets[0].getsockname()[1]}", heads
    finally:
        listener.close()
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0)


def upgrade(peer: Peer, head: str, *extra: str) -> None:
    """Answer a request as a good server does."""
    key = next(line.partition(": ")[2] for line in head.split("\r\n") if line.lower().startswith("sec-websocket-key:"))
    lines = ("HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade")
    peer.writer.write("\r\n".join([*lines, f"Sec-WebSocket-Accept: {accept(key)}", *extra, "", ""]).encode())


@functools.cache
def certificates() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context for loopback, and one that trusts it."""
    with tempfile.TemporaryDirectory() as made:
        secure = certificates_of.server_context(Path(made), "127.0.0.1", datetime.now(UTC))
        return secure, ssl.create_default_context(cafile=Path(made) / certificates_of.CA_FILE)


def dialling(**changes: object) -> Dialling:
    """How the relay's end connects in these tests."""
    usual: dict[str, object] = {
        "headers": {},
        "tls": None,
        "largest": LARGEST,
        "send_buffer": 65536,
        "receive_buffer": 65536,
        "close_timeout": CLOSE_TIMEOUT,
    }
    return Dialling(**{**usual, **changes})  # type: ignore[arg-type]  # fields of it


@asynccontextmanager
async def _client_side(transport: Transport, *, tls: bool = False) -> AsyncIterator[Pair]:
    met: asyncio.Future[Peer] = asyncio.get_running_loop().create_future()

    def answer(peer: Peer, head: str) -> None:
        upgrade(peer, head)
        met.set_result(peer)

    secure, trusting = certificates() if tls else (None, None)
    async with server(answer, tls=secure) as (url, _), asyncio.timeout(PATIENCE):
        socket = await transport.dial(url, dialling(tls=trusting))
        try:
            yield Pair(socket, await met)
        finally:
            socket.abort()
            await socket.close()


@asynccontextmanager
async def paired(transport: Transport, side: str, **changes: object) -> AsyncIterator[Pair]:
    """A socket of the relay's on one side, ``server``, ``client`` or ``tls``, and the other end of it."""
    ours = _server_side(transport, **changes) if side == "server" else _client_side(transport, tls=side == "tls")
    async with ours as pair:
        yield pair

"""How the relay connects, and what it finds: the same with every library."""

import asyncio
import os
import socket as kernel
import ssl
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from services.relay.sockets import DialError, Transport
from tests.support.peer import PATIENCE, TEXT, Peer, certificates, dialling, server, upgrade


async def test_what_is_asked(transport: Transport) -> None:
    """Path, headers, host; nothing is offered that is not wanted."""
    async with server(upgrade) as (url, heads):
        socket = await transport.dial(f"{url}/ws/v1.Bidi", dialling(headers={"x-goog-api-key": "secret"}))
        assert socket.is_open
        asked = heads[0].splitlines()
        assert asked[0] == "GET /ws/v1.Bidi HTTP/1.1"
        assert "x-goog-api-key: secret" in asked
        assert f"Host: {url.removeprefix('ws://')}" in asked
        assert not any(line.lower().startswith(("sec-websocket-ext", "sec-websocket-prot")) for line in asked)
        socket.abort()


def _buffers() -> set[tuple[int, int]]:
    """Of every TCP socket of this process: bytes that the kernel keeps of what is sent, and of what comes."""
    found = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError), kernel.socket(fileno=os.dup(int(descriptor.name))) as below:
            if below.family is kernel.AF_INET:
                sizes = (below.getsockopt(kernel.SOL_SOCKET, what) for what in (kernel.SO_SNDBUF, kernel.SO_RCVBUF))
                found.add((next(sizes), next(sizes)))
    return found


async def test_what_the_kernel_keeps(transport: Transport) -> None:
    """As much as was asked for, each way; Linux doubles it for its own bookkeeping, and lets it grow no more."""
    async with server(upgrade) as (url, _):
        socket = await transport.dial(url, dialling(send_buffer=41_000, receive_buffer=43_000))
        assert (82_000, 86_000) in _buffers()
        socket.abort()


async def test_what_comes_with_the_answer_is_not_lost(transport: Transport) -> None:
    """A server that speaks first."""

    def answer(peer: Peer, head: str) -> None:
        upgrade(peer, head)
        peer.write(TEXT, b"welcome")

    got: list[bytes] = []

    def take(data: bytes, _text: bool) -> bool:  # noqa: FBT001 - as a socket gives it
        got.append(data)
        return True

    async with server(answer) as (url, _), asyncio.timeout(PATIENCE):
        socket = await transport.dial(url, dialling())
        await socket.deliver(take)
        assert got == [b"welcome"]
        socket.abort()


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503])
async def test_a_refusal(transport: Transport, status: int) -> None:
    """Its status is told; a body is nothing."""

    def answer(peer: Peer, _head: str) -> None:
        peer.writer.write(f"HTTP/1.1 {status} No\r\nContent-Length: 3\r\nX: y\r\n\r\nno\n".encode())
        peer.writer.close()

    async with server(answer) as (url, _):
        with pytest.raises(DialError) as refused:
            await transport.dial(url, dialling())
        assert refused.value.status == status


async def test_a_redirect_is_not_followed(transport: Transport) -> None:
    """The key that is sent with the request would go wherever it points."""
    async with server(upgrade) as (elsewhere, asked):

        def answer(peer: Peer, _head: str) -> None:
            peer.writer.write(f"HTTP/1.1 302 No\r\nLocation: {elsewhere}\r\nContent-Length: 0\r\n\r\n".encode())
            peer.writer.close()

        async with server(answer) as (url, _):
            with pytest.raises(DialError) as refused:
                await transport.dial(url, dialling(headers={"x-goog-api-key": "secret"}))
        assert refused.value.status == 302
        assert asked == []


def _babbles(peer: Peer, _head: str) -> None:
    peer.writer.write(b"what do you want?\r\n\r\n")
    peer.writer.write_eof()


def _signs_wrongly(peer: Peer, head: str) -> None:
    upgrade(peer, head.replace("ey: ", "ey: x"))


def _compresses(peer: Peer, head: str) -> None:
    upgrade(peer, head, "Sec-WebSocket-Extensions: permessage-deflate")


def _speaks_another_protocol(peer: Peer, head: str) -> None:
    upgrade(peer, head, "Sec-WebSocket-Protocol: chat")


@pytest.mark.parametrize("answer", [_babbles, _signs_wrongly, _compresses, _speaks_another_protocol])
async def test_an_answer_that_is_none(transport: Transport, answer: Callable[[Peer, str], None]) -> None:
    """There is no status then, and no connection is left."""
    peers: list[Peer] = []

    def meet(peer: Peer, head: str) -> None:
        peers.append(peer)
        answer(peer, head)

    async with server(meet) as (url, _):
        with pytest.raises(DialError) as refused:
            await transport.dial(url, dialling())
        assert refused.value.status is None
        await peers[0].ended()


@pytest.mark.parametrize("half", [b"", b"HTTP/1.1 101 Switching"])
async def test_a_handshake_that_is_cut(transport: Transport, half: bytes) -> None:
    """It is the network's trouble."""

    def answer(peer: Peer, _head: str) -> None:
        peer.writer.write(half)
        peer.writer.close()

    async with server(answer) as (url, _):
        with pytest.raises(ConnectionError):
            await transport.dial(url, dialling())


async def test_nobody_is_there(transport: Transport) -> None:
    """Or nobody by that name."""
    async with server(upgrade) as (url, _):
        pass
    with pytest.raises(OSError, match=r"."):
        await transport.dial(url, dialling())
    with pytest.raises(OSError, match=r"."):
        await transport.dial("ws://no-such-host.invalid", dialling())


@pytest.mark.parametrize("silent_in", ["handshake", "tls"])
async def test_a_dial_can_be_given_up(transport: Transport, silent_in: str) -> None:
    """The connection does not stay behind, wherever it was."""
    asked: asyncio.Queue[Peer] = asyncio.Queue()

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        asked.put_nowait(Peer(reader, writer, masks=False))

    listener = await asyncio.start_server(meet, "127.0.0.1", 0)
    address = f"127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    secure = silent_in == "tls"
    url, tls = (f"wss://{address}", certificates()[1]) if secure else (f"ws://{address}", None)
    dialled = asyncio.create_task(transport.dial(url, dialling(tls=tls)))
    async with asyncio.timeout(PATIENCE):
        peer = await asked.get()
        dialled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await dialled
        await peer.ended()
    peer.cut()
    listener.close()


async def test_tls(transport: Transport) -> None:
    """Whom to trust is told; the name must be the server's own."""
    secure, trusting = certificates()
    async with server(upgrade, tls=secure) as (url, _):
        socket = await transport.dial(url, dialling(tls=trusting))
        assert socket.is_open
        socket.abort()
        with pytest.raises(OSError, match=r"(?i)certificate"):
            await transport.dial(url, dialling(tls=ssl.create_default_context()))
        with pytest.raises(OSError, match=r"(?i)certificate"):
            await transport.dial(url.replace("localhost", "127.1"), dialling(tls=trusting))  # the same place

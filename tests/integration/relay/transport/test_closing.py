"""How a socket of the relay's ends: by either side, in a bounded time, with every library."""

import asyncio
import gc
import time
import weakref
from contextlib import suppress

import pytest

from services.relay.sockets import NO_CLOSE_FRAME, NO_CODE, ClosedError, Socket, Transport
from tests.support.peer import BINARY, CLOSE_TIMEOUT, PATIENCE, TEXT, Pair, paired

BOUND = 10 * CLOSE_TIMEOUT
"""Seconds; much less than any timeout that is not this socket's own."""


async def end(socket: Socket) -> list[bytes]:
    """What comes until the end."""
    found: list[bytes] = []

    def take(data: bytes, _text: bool) -> bool:  # noqa: FBT001 - as a socket gives it
        found.append(data)
        return False

    async with asyncio.timeout(PATIENCE):
        await socket.deliver(take)
    return found


@pytest.mark.parametrize(
    ("code", "reason"), [(1000, "bye"), (1001, ""), (1011, "Deadline expired"), (4409, "taken ovér")]
)
async def test_the_peer_closes(pair: Pair, code: int, reason: str) -> None:
    """What it sent before is delivered, its close is answered with the same, and told."""
    assert (pair.socket.close_code, pair.socket.close_reason) == (None, None)
    pair.peer.write(TEXT, b"last words")
    pair.peer.close(code, reason.encode())
    assert await pair.peer.closed() == (code, reason.encode())
    pair.peer.cut()
    assert await end(pair.socket) == [b"last words"]
    assert (pair.socket.close_code, pair.socket.close_reason) == (code, reason)
    assert not pair.socket.is_open


async def test_the_peer_closes_without_a_code(pair: Pair) -> None:
    """It is answered in kind, and told as what it is (RFC 6455, section 7.1.5)."""
    pair.peer.close()
    assert await pair.peer.closed() == (None, b"")
    pair.peer.cut()
    assert await end(pair.socket) == []
    assert pair.socket.close_code == NO_CODE


@pytest.mark.parametrize("side", ["server", "client"])
async def test_who_goes_first(transport: Transport, side: str) -> None:
    """Once both have said it, a server ends the connection; a client waits for that (section 7.1.1), bounded."""
    async with paired(transport, side) as (socket, peer):
        peer.close(1000)
        assert await peer.closed() == (1000, b"")
        began = time.monotonic()
        if side == "server":
            await peer.ended()
            assert time.monotonic() - began < CLOSE_TIMEOUT
        assert await end(socket) == []
        assert time.monotonic() - began < BOUND
        assert socket.close_code == 1000


async def test_the_relay_closes(pair: Pair) -> None:
    """The peer is told; what it still sends is delivered; its answer is awaited, and is what counts."""
    ending = asyncio.create_task(end(pair.socket))
    closing = asyncio.create_task(pair.socket.close(4403, "not yours"))
    assert await pair.peer.closed() == (4403, b"not yours")
    assert not pair.socket.is_open
    assert not closing.done()
    pair.peer.write(BINARY, b"late")
    pair.peer.close(4403, b"so be it")
    await asyncio.sleep(0)
    if pair.peer.masks:
        await pair.peer.ended()
    else:
        await pair.peer.writer.drain()
        pair.peer.writer.close()
    async with asyncio.timeout(PATIENCE):
        await closing
    assert await ending == [b"late"]
    assert (pair.socket.close_code, pair.socket.close_reason) == (4403, "so be it")
    await pair.socket.close(1000, "again")


async def test_both_close_at_once(pair: Pair) -> None:
    """Each takes the other's for the answer."""
    closing = asyncio.create_task(pair.socket.close(1000))
    await asyncio.sleep(0)
    pair.peer.close(1001, b"going away")
    assert await pair.peer.closed() == (1000, b"")
    pair.peer.writer.close()
    async with asyncio.timeout(PATIENCE):
        await closing
    assert pair.socket.close_code == 1001


async def test_a_peer_that_does_not_answer_a_close_is_dropped(pair: Pair) -> None:
    """In time."""
    began = time.monotonic()
    await pair.socket.close(1000)
    assert CLOSE_TIMEOUT * 0.9 <= time.monotonic() - began < BOUND
    assert pair.socket.close_code == NO_CLOSE_FRAME
    await pair.peer.ended()


async def test_a_peer_that_reads_nothing_is_dropped(pair: Pair) -> None:
    """The close frame has to wait behind what it did not read."""
    pair.peer.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a transport that reads
    while pair.socket.send_now(bytes(50_000), text=False):  # noqa: ASYNC110 - until the kernel takes no more
        await asyncio.sleep(0)
    began = time.monotonic()
    await pair.socket.close(1000)
    assert time.monotonic() - began < BOUND
    assert pair.socket.close_code == NO_CLOSE_FRAME


async def test_a_peer_that_stays_after_what_it_may_not_is_dropped(pair: Pair) -> None:
    """It was told why; the socket ends all the same."""
    pair.peer.write(0x3, b"?")
    assert (await pair.peer.closed())[0] == 1002
    began = time.monotonic()
    assert await end(pair.socket) == []
    assert time.monotonic() - began < BOUND


async def test_a_close_that_nobody_waits_for_is_a_close(pair: Pair) -> None:
    """It goes on when who waited is cancelled."""
    closing = asyncio.create_task(pair.socket.close(4401, "who are you"))
    assert (await pair.peer.closed())[0] == 4401
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    pair.peer.close(4401)
    pair.peer.writer.close()
    assert await end(pair.socket) == []
    assert pair.socket.close_code == 4401


async def test_a_cut(pair: Pair) -> None:
    """Nothing was said: 1006; whatever waits is told."""
    sending = asyncio.create_task(end(pair.socket))
    pair.peer.cut()
    assert await sending == []
    assert (pair.socket.close_code, pair.socket.close_reason) == (NO_CLOSE_FRAME, "")
    assert not pair.socket.is_open
    with pytest.raises(ClosedError):
        await pair.socket.send("late")
    await pair.socket.close()
    pair.socket.abort()


async def test_the_end_of_the_stream_without_a_close(pair: Pair) -> None:
    """As a cut."""
    pair.peer.write(TEXT, b"last")
    pair.peer.writer.close()
    assert await end(pair.socket) == [b"last"]
    assert pair.socket.close_code == NO_CLOSE_FRAME


async def test_the_relay_drops_it(pair: Pair) -> None:
    """Without a word."""
    pair.socket.abort()
    assert await end(pair.socket) == []
    assert pair.socket.close_code == NO_CLOSE_FRAME
    assert not pair.socket.is_open
    await pair.peer.ended()


@pytest.mark.parametrize("side", ["client", "tls"])
async def test_what_has_ended_is_gone(transport: Transport, side: str) -> None:
    """A relay replaces connections all day: none of it waits for the garbage collector, which stops everybody."""
    gc.collect()
    gc.disable()
    try:
        async with paired(transport, side) as pair:
            left = [weakref.ref(pair.socket), weakref.ref(getattr(pair.socket, "protocol", pair.socket))]
            pair.peer.close(1000, b"")
            await end(pair.socket)
            pair.peer.cut()
            await pair.socket.close()
            del pair
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while any(held() is not None for held in left):  # noqa: ASYNC110 - nothing tells of it
                    await asyncio.sleep(0.01)
        assert [held() for held in left] == [None, None]
    finally:
        gc.enable()

"""Nobody is sent more than he takes, and nothing is kept without a bound: with every library, on both sides."""

import asyncio

import pytest

from services.relay.sockets import ClosedError, Socket, Transport
from tests.support.peer import BINARY, LARGEST, PATIENCE, PING, PONG, TEXT, Pair, encoded, paired

CHUNK = bytes(20_000)
FEW = 16_000_000
"""Bytes; less than a test sends, more than the kernel keeps for both ends."""


def _bytes(socket: Socket, wanted: int) -> "asyncio.Task[int]":
    """Take so many bytes."""

    async def work() -> int:
        seen = 0

        def take(data: bytes, _text: bool) -> bool:  # noqa: FBT001 - as a socket gives it
            nonlocal seen
            seen += len(data)
            return seen >= wanted

        async with asyncio.timeout(PATIENCE):
            await socket.deliver(take)
        return seen

    return asyncio.create_task(work())


async def _push(pair: Pair) -> int:
    """Write as much as the peer can; gives how many messages. It ends when nothing goes on for a while."""
    sent = 0
    while sent * len(CHUNK) < 4 * FEW:
        pair.peer.write(BINARY, CHUNK)
        sent += 1
        try:
            async with asyncio.timeout(0.3):  # what is not taken in this time is not taken
                await pair.peer.writer.drain()
        except TimeoutError:
            break
    return sent


async def _fill(pair: Pair) -> int:
    """Send until no more is taken, numbered; gives how many."""
    number = refused = 0
    while refused < 3:
        if pair.socket.send_now(number.to_bytes(4) + CHUNK, text=False):
            number, refused = number + 1, 0
            assert number * len(CHUNK) < FEW
        else:
            refused += 1
            await asyncio.sleep(0.03)  # the kernel moves some of it to the other end
    return number


async def test_what_comes_before_anybody_takes_it_waits_at_the_peer(pair: Pair) -> None:
    """A few messages are kept here; then the peer has to wait, and nothing is lost."""
    pair.peer.writer.transport.set_write_buffer_limits(len(CHUNK))
    sent = await _push(pair)
    assert sent * len(CHUNK) < FEW
    taking = _bytes(pair.socket, sent * len(CHUNK))
    assert await taking == sent * len(CHUNK)


async def test_a_peer_can_be_held(pair: Pair) -> None:
    """And released again; what was read before is delivered in any case."""
    pair.peer.writer.transport.set_write_buffer_limits(len(CHUNK))
    pair.peer.write(TEXT, b"x")
    assert await _bytes(pair.socket, 1) == 1
    pair.socket.hold()
    pair.socket.hold()
    taking = _bytes(pair.socket, 10**9)
    await asyncio.sleep(0)
    pair.socket.hold()  # a delivery that begins reads on
    sent = await _push(pair)
    assert sent * len(CHUNK) < FEW
    pair.socket.release()
    async with asyncio.timeout(PATIENCE):
        await pair.peer.writer.drain()
    taking.cancel()


async def test_a_peer_that_reads_nothing_is_not_sent_more(pair: Pair) -> None:
    """`send_now` says no, `send` waits, and both go on when it reads; every message arrives once, in order."""
    transport = pair.peer.writer.transport
    transport.pause_reading()  # type: ignore[attr-defined]  # a transport that reads
    number = await _fill(pair)
    waiting = asyncio.create_task(pair.socket.send(number.to_bytes(4) + CHUNK))
    await asyncio.sleep(0.05)  # long enough for what would be sent at once
    assert not waiting.done()
    assert not pair.socket.send_now(b"no", text=True)
    transport.resume_reading()  # type: ignore[attr-defined]  # the same
    assert [int.from_bytes((await pair.peer.read()).data[:4]) for _ in range(number + 1)] == list(range(number + 1))
    async with asyncio.timeout(PATIENCE):
        await waiting
    assert pair.socket.send_now(b"yes", text=True)
    assert (await pair.peer.read()).data == b"yes"


async def test_a_wait_ends_with_the_connection(pair: Pair) -> None:
    """Who waits to send is told, when the peer is gone, or the socket dropped."""
    pair.peer.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a transport that reads
    await _fill(pair)
    waiting = [asyncio.create_task(pair.socket.send(CHUNK)) for _ in range(2)]
    await asyncio.sleep(0)
    pair.socket.abort()
    for each in waiting:
        with pytest.raises(ClosedError):
            await each


async def test_a_wait_can_be_given_up(pair: Pair) -> None:
    """What was written is sent all the same."""
    pair.peer.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a transport that reads
    number = await _fill(pair)
    waiting = asyncio.create_task(pair.socket.send(b"the last"))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    pair.peer.writer.transport.resume_reading()  # type: ignore[attr-defined]  # the same
    for _ in range(number):
        await pair.peer.read()
    assert (await pair.peer.read()).data == b"the last"


async def test_a_held_peer_is_closed_like_any_other(pair: Pair) -> None:
    """Its answer is behind what was not read."""
    pair.peer.write(TEXT, b"x")
    assert await _bytes(pair.socket, 1) == 1
    pair.socket.hold()
    closing = asyncio.create_task(pair.socket.close(1000))
    assert await pair.peer.closed() == (1000, b"")
    pair.peer.close(1000)
    pair.peer.writer.close()
    async with asyncio.timeout(PATIENCE):
        await closing
    assert pair.socket.close_code == 1000


async def test_pings_of_one_who_reads_nothing(pair: Pair) -> None:
    """They are answered when it reads again, the newest at least (RFC 6455, section 5.5.3)."""
    transport = pair.peer.writer.transport
    transport.pause_reading()  # type: ignore[attr-defined]  # a transport that reads
    await _fill(pair)
    for count in range(100):
        pair.peer.write(PING, str(count).encode())
    pair.peer.write(TEXT, b"seen")
    assert await _bytes(pair.socket, 4) == 4
    transport.resume_reading()  # type: ignore[attr-defined]  # the same
    while (frame := await pair.peer.read()) != (PONG, b"99", True):
        assert frame.opcode in (BINARY, PONG)


async def test_pings_without_end_of_one_who_reads_nothing(pair: Pair) -> None:
    """Their answers are not kept without a bound: there is one answer for all of them, or the peer is dropped."""
    pair.peer.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a transport that reads
    await _fill(pair)
    pair.peer.writer.write(encoded(PING, bytes(125), fin=True, rsv=0, masks=pair.peer.masks) * 3_000)
    pair.peer.write(TEXT, b"seen")
    dropped = await _either(pair)
    sending = asyncio.create_task(pair.socket.send(b"the last", text=True)) if not dropped else None
    pair.peer.writer.transport.resume_reading()  # type: ignore[attr-defined]  # the same
    pongs = 0
    while sending is not None and (frame := await pair.peer.read()).data != b"the last":
        pongs += frame.opcode == PONG
    assert pongs <= 1_500
    if sending is not None:
        await sending


async def _either(pair: Pair) -> bool:
    """Wait for a message, or the end; whether it was the end."""
    async with asyncio.timeout(PATIENCE):
        await pair.socket.deliver(lambda _data, _text: True)
    return not pair.socket.is_open


async def test_who_reads_nothing_is_dropped_by_the_keepalive(transport: Transport) -> None:
    """It cannot answer, for it has not even got the ping."""
    async with paired(transport, "server", ping_interval=0.3) as pair:
        pair.peer.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a transport that reads
        await _fill(pair)
        async with asyncio.timeout(PATIENCE):
            await pair.socket.deliver(lambda _data, _text: False)
        assert pair.socket.close_code == 1006


async def test_what_comes_into_a_close_is_not_kept(pair: Pair) -> None:
    """Nobody will take it, and the peer may send as much as it can until it is dropped."""
    closing = asyncio.create_task(pair.socket.close(1008, "no"))
    await asyncio.sleep(0)
    for _ in range(100):
        pair.peer.write(BINARY, bytes(LARGEST))
    await pair.peer.closed()
    pair.peer.close(1008)
    async with asyncio.timeout(PATIENCE):
        await closing
    came: list[bytes] = []

    def take(data: bytes, _text: bool) -> bool:  # noqa: FBT001 - as a socket gives it
        came.append(data)
        return False

    await pair.socket.deliver(take)
    assert came == []

"""What a socket of the relay's does with messages, and with what is none: the same with every library."""

import asyncio
import os
import random
from collections.abc import Callable
from typing import Final, NamedTuple

import pytest

from services.relay.sockets import NO_CLOSE_FRAME, ClosedError, Socket
from tests.support.peer import BINARY, CLOSE, CONT, LARGEST, PATIENCE, PING, PONG, TEXT, Frame, Pair, Peer, encoded

SIZES = (0, 1, 125, 126, 65_535, 65_536, LARGEST)


async def taken(socket: Socket, count: int) -> list[tuple[bytes, bool]]:
    """The next messages."""
    found: list[tuple[bytes, bool]] = []

    def take(data: bytes, text: bool) -> bool:  # noqa: FBT001 - as a socket gives it
        found.append((data, text))
        return len(found) == count

    async with asyncio.timeout(PATIENCE):
        await socket.deliver(take)
    return found


async def test_messages_of_every_size_both_ways(pair: Pair) -> None:
    """They arrive whole, in order, as text or not, and what is kept of them is a copy of its own."""
    sent = [(os.urandom(size), text) for size in SIZES for text in (False, True)]
    for data, text in sent:
        pair.peer.write(TEXT if text else BINARY, data)
    assert await taken(pair.socket, len(sent)) == sent
    for data, text in sent:
        await pair.socket.send(data, text=text)
        assert await pair.peer.read() == Frame(TEXT if text else BINARY, data)
    await pair.socket.send("grüezi")
    assert await pair.peer.read() == Frame(TEXT, "grüezi".encode())
    assert pair.socket.send_now(b"now", text=True)
    assert await pair.peer.read() == Frame(TEXT, b"now")


async def test_frames_in_any_pieces(pair: Pair) -> None:
    """Bytes come as they please: one at a time, many frames in one."""
    sent = [os.urandom(300) for _ in range(20)]
    wire = bytearray()
    for data in sent:
        wire += encoded(BINARY, data, fin=True, rsv=0, masks=pair.peer.masks)
    taking = asyncio.create_task(taken(pair.socket, len(sent)))
    chance = random.Random(7)  # noqa: S311 - a test
    while wire:
        size = chance.choice((1, 2, 7, 500, 2000))
        pair.peer.writer.write(bytes(wire[:size]))
        del wire[:size]
        await pair.peer.writer.drain()
        await asyncio.sleep(0)
    assert [data for data, _ in await taking] == sent


async def test_fragments_are_joined_around_control_frames(pair: Pair) -> None:
    """A ping may come between them, and is answered at once."""
    pair.peer.write(TEXT, b"one ", fin=False)
    pair.peer.write(PING, b"there?")
    pair.peer.write(CONT, b"", fin=False)
    pair.peer.write(CONT, b"message")
    pair.peer.write(BINARY, b"another")
    assert await taken(pair.socket, 2) == [(b"one message", True), (b"another", False)]
    assert await pair.peer.read() == Frame(PONG, b"there?")


async def test_pings_are_answered_with_what_they_hold(pair: Pair) -> None:
    """In order."""
    for payload in (b"", b"a", bytes(125)):
        pair.peer.write(PING, payload)
        assert await pair.peer.read() == Frame(PONG, payload)


async def test_a_sign_is_a_ping(pair: Pair) -> None:
    """Its pong tells the mark; other pongs, and who asks nothing, are nothing."""
    marks: asyncio.Queue[int] = asyncio.Queue()
    pair.socket.got = marks.put_nowait
    pair.socket.ask(70_000)
    asked = await pair.peer.read()
    assert asked.opcode == PING
    pair.peer.write(PONG, b"unasked")
    pair.peer.write(PONG, asked.data)
    assert await marks.get() == 70_000
    assert marks.empty()
    pair.socket.got = None
    pair.peer.write(PONG, asked.data)
    pair.peer.write(TEXT, b"alive")
    assert await taken(pair.socket, 1) == [(b"alive", True)]


def _flood(peer: Peer) -> None:
    peer.write(BINARY, bytes(LARGEST + 1))


def _long_in_pieces(peer: Peer) -> None:
    for opcode in (BINARY, CONT, CONT):
        peer.write(opcode, bytes(LARGEST // 2), fin=False)


def _crumbs(peer: Peer) -> None:
    peer.write(BINARY, fin=False)
    for _ in range(2000):
        peer.write(CONT, fin=False)


@pytest.mark.parametrize("sends", [_flood, _long_in_pieces, _crumbs])
async def test_what_is_too_large_is_refused(pair: Pair, sends: Callable[[Peer], None]) -> None:
    """One large message, one in large pieces, and one in endless small ones: 1009, which the peer gets to see."""
    sends(pair.peer)
    assert (await pair.peer.closed())[0] == 1009
    await _is_over(pair)


async def test_a_length_is_enough(pair: Pair) -> None:
    """What says that it is endless is not waited for."""
    whole = encoded(BINARY, bytes(70_000), fin=True, rsv=0, masks=pair.peer.masks)
    pair.peer.writer.write(whole[:2] + (1 << 40).to_bytes(8) + whole[10:500])
    assert (await pair.peer.closed())[0] == 1009
    await _is_over(pair)


class Sent(NamedTuple):
    """One frame that a peer sends, and that it may not."""

    opcode: int
    data: bytes = b"?"
    fin: bool = True
    rsv: int = 0
    well_masked: bool = True


BROKEN: Final = {
    "reserved bit": (Sent(TEXT, rsv=4),),
    "other reserved bit": (Sent(BINARY, rsv=1),),
    "unknown data frame": (Sent(0x3),),
    "unknown control frame": (Sent(0xB),),
    "ping in pieces": (Sent(PING, fin=False),),
    "long ping": (Sent(PING, bytes(126)),),
    "continuation of nothing": (Sent(CONT),),
    "message within a message": (Sent(TEXT, fin=False), Sent(TEXT)),
    "wrong mask": (Sent(TEXT, well_masked=False),),
    "close of one byte": (Sent(CLOSE),),
    "close within a message": (Sent(TEXT, fin=False), Sent(CLOSE, b"\x03\xe8")),
    **{f"close code {code}": (Sent(CLOSE, code.to_bytes(2)),) for code in (0, 999, 1004, 1005, 1006, 1015, 2999, 5000)},
}
"""What breaks RFC 6455."""


@pytest.mark.parametrize("name", BROKEN)
async def test_what_is_no_websocket_is_refused(pair: Pair, name: str) -> None:
    """With 1002; nothing of it is delivered."""
    for sent in BROKEN[name]:
        masks = pair.peer.masks is sent.well_masked
        pair.peer.write(sent.opcode, sent.data, fin=sent.fin, rsv=sent.rsv, masks=masks)
    assert (await pair.peer.closed())[0] == 1002
    await _is_over(pair)


async def test_a_reason_that_is_no_text_is_refused(pair: Pair) -> None:
    """With 1007 (RFC 6455, section 8.1)."""
    pair.peer.close(1000, b"\xff")
    assert (await pair.peer.closed())[0] == 1007
    await _is_over(pair)


async def _is_over(pair: Pair) -> None:
    pair.peer.cut()
    assert await taken(pair.socket, 1) == []
    assert not pair.socket.is_open
    assert pair.socket.close_code in (NO_CLOSE_FRAME, 1000)
    assert not pair.socket.send_now(b"late", text=False)
    with pytest.raises(ClosedError):
        await pair.socket.send(b"late")
    pair.socket.ask(1)
    pair.socket.hold()
    pair.socket.release()


async def test_who_takes_says_when_it_is_enough(pair: Pair) -> None:
    """What comes after that waits for the next one, in order."""
    for number in range(10):
        pair.peer.write(BINARY, bytes([number]))
    assert [data[0] for data, _ in await taken(pair.socket, 3)] == [0, 1, 2]
    assert [data[0] for data, _ in await taken(pair.socket, 7)] == [3, 4, 5, 6, 7, 8, 9]


async def test_an_error_of_who_takes_is_told(pair: Pair) -> None:
    """To whoever delivers, and not to the peer; what comes next is for the next one."""
    seen: list[bytes] = []

    def take(data: bytes, _text: bool) -> bool:  # noqa: FBT001 - as a socket gives it
        seen.append(data)
        raise ValueError("not this protocol")

    pair.peer.write(TEXT, b"first")
    with pytest.raises(ValueError, match="not this"):
        await pair.socket.deliver(take)
    pair.peer.write(TEXT, b"second")
    assert await taken(pair.socket, 1) == [(b"second", True)]
    assert seen == [b"first"]


async def test_a_delivery_can_be_given_up(pair: Pair) -> None:
    """And begun again, with nothing lost."""
    task = asyncio.create_task(taken(pair.socket, 1))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    pair.peer.write(TEXT, b"here")
    assert await taken(pair.socket, 1) == [(b"here", True)]

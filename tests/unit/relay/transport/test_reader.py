"""What is read past the library is what the library would have read, however the bytes come."""

import asyncio
from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from typing import Final, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.streams import StreamReader

from tests.support.peer import BINARY, CLOSE, CONT, PING, PONG, TEXT, encoded
from tests.unit.relay.transport.unwired import LARGEST, SIDES, Wire, protocol_of, socket_of

SIZES: Final = (0, 1, 2, 125, 126, 127, 640, 65_535, 65_536, LARGEST)
SIGN: Final = b"filo" + bytes(8)
"""What a pong holds that answers the relay's own question."""


class Outcome(NamedTuple):
    """What came of the bytes.

    Args:
        messages: In order, and whether each is text.
        said: Frames that were written: their kinds, and what they hold.
        ended: Whether the writing side was shut.
        state: Of the connection, before the peer's end.
        close: Code and reason, after it.
    """

    messages: list[tuple[bytes, bool]]
    said: list[tuple[Opcode, bytes]]
    ended: bool
    state: State
    close: tuple[int | None, str | None]


def frames(written: bytes, *, mask: bool) -> list[tuple[Opcode, bytes]]:
    """All that was written."""
    reader = StreamReader()
    reader.feed_data(written)
    found: list[tuple[Opcode, bytes]] = []
    while reader.buffer:
        with pytest.raises(StopIteration) as done:
            next(Frame.parse(reader.read_exact, mask=mask, max_size=None))
        found.append((done.value.value.opcode, bytes(done.value.value.data)))
    return found


def of_the_library(side: str, pieces: Iterable[bytes]) -> Outcome:
    """The library's parser alone."""
    protocol, messages, parts, written = protocol_of(side), [], [], bytearray()
    ended = text = False
    for piece in pieces:
        protocol.receive_data(piece)
        for event in protocol.events_received():
            assert isinstance(event, Frame)
            if event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                text = text if event.opcode is Opcode.CONT else event.opcode is Opcode.TEXT
                parts.append(bytes(event.data))
                if event.fin:
                    messages.append((b"".join(parts), text))
                    parts.clear()
        writes = protocol.data_to_send()
        ended = ended or b"" in writes
        written += b"".join(writes)
    state = protocol.state
    protocol.receive_eof()
    return Outcome(
        messages,
        frames(bytes(written), mask=side == "client"),
        ended,
        state,
        (protocol.close_code, protocol.close_reason),
    )


async def of_ours(side: str, pieces: Iterable[bytes]) -> Outcome:
    """The same bytes on a socket of the relay's."""
    wire, messages = Wire(), []
    socket = socket_of(side, wire)

    def take(data: bytes, text: bool) -> bool:  # noqa: FBT001 - as a socket gives it
        assert type(data) is bytes
        messages.append((data, text))
        return False

    delivering = asyncio.create_task(socket.deliver(take))
    await asyncio.sleep(0)
    for piece in pieces:
        socket.data_received(piece)
    ended, state = wire.ended, socket.protocol.state
    socket.eof_received()
    socket.connection_lost(None)
    await delivering
    return Outcome(
        messages,
        frames(bytes(wire.written), mask=side == "client"),
        ended,
        state,
        (socket.close_code, socket.close_reason),
    )


def cut(stream: bytes, cuts: Iterable[int]) -> list[bytes]:
    """The stream, cut in these places."""
    places = sorted({0, len(stream), *cuts})
    return [stream[begin:end] for begin, end in pairwise(places)]


def payload(size: int) -> bytes:
    """Bytes that differ from their neighbours."""
    return (bytes(range(251)) * (size // 251 + 1))[:size]


def whole(opcode: int, size: int, *, masks: bool, fin: bool = True, rsv: int = 0) -> bytes:
    """One frame."""
    return encoded(opcode, payload(size), fin=fin, rsv=rsv, masks=masks)


def stretched(opcode: int, size: int, *, masks: bool, width: int) -> bytes:
    """A frame whose length takes so many bytes, needed or not; of one that is endless, what will do."""
    head = bytes([0x80 | opcode, masks << 7 | (126 if width == 2 else 127)]) + size.to_bytes(width)
    return head + bytes(4 if masks else 0) + payload(min(size, LARGEST))


def in_pieces(opcode: int, sizes: Sequence[int], between: bytes, *, masks: bool) -> bytes:
    """A message of several frames, with something between the first two."""
    first = whole(opcode, 5, masks=masks, fin=False)
    middle = b"".join(whole(CONT, size, masks=masks, fin=False) for size in sizes)
    return first + between + middle + whole(CONT, 3, masks=masks)


def streams(side: str) -> st.SearchStrategy[list[bytes]]:
    """What a peer may send, and what it may not, frame by frame."""
    masks = st.just(side == "server")
    sizes, data = st.sampled_from(SIZES), st.sampled_from((TEXT, BINARY))
    said = st.builds(
        encoded,
        st.sampled_from((PING, PONG)),
        st.sampled_from((b"", b"there?", SIGN, bytes(125))),
        fin=st.just(value=True),
        rsv=st.just(0),
        masks=masks,
    )
    reasons = st.sampled_from((b"", b"\x03\xe8bye", b"\x0b\xb8", b"\x03\xed", b"!"))
    parts = [
        *[st.builds(whole, data, sizes, masks=masks)] * 4,
        said,
        st.builds(in_pieces, data, st.lists(sizes, max_size=3), said | st.just(b""), masks=masks),
        st.builds(encoded, st.just(CLOSE), reasons, fin=st.just(value=True), rsv=st.just(0), masks=masks),
        st.builds(whole, data, sizes, masks=masks, rsv=st.integers(1, 7)),
        st.builds(whole, data, sizes, masks=st.just(side == "client")),
        st.builds(whole, data, sizes, masks=masks, fin=st.just(value=False)),
        st.builds(whole, st.sampled_from((CONT, 0x3, 0xB, PING)), sizes, masks=masks),
        st.builds(stretched, data, st.sampled_from((0, 125, 126)), masks=masks, width=st.sampled_from((2, 8))),
        st.builds(stretched, data, st.sampled_from((65_535, LARGEST + 1, 1 << 63)), masks=masks, width=st.just(8)),
        st.binary(max_size=20),
    ]
    return st.lists(st.one_of(parts), max_size=7)


@pytest.mark.parametrize("side", SIDES)
def test_what_comes_is_what_the_library_reads(side: str) -> None:
    """Whatever a peer sends, in whatever pieces: messages, what is answered and how it ends are the library's."""

    @given(st.data())
    def check(data: st.DataObject) -> None:
        sent = data.draw(streams(side))
        stream, ends = b"".join(sent), list(accumulate(map(len, sent), initial=0))
        places = st.sampled_from(ends) | st.integers(0, len(stream))
        pieces = cut(stream, data.draw(st.lists(places, max_size=10)))
        assert asyncio.run(of_ours(side, pieces)) == of_the_library(side, pieces)

    check()


def good(side: str) -> bytes:
    """Fourteen messages, of every kind."""
    masks = side == "server"
    return b"".join(
        (
            *(whole(opcode, size, masks=masks) for opcode in (TEXT, BINARY) for size in (0, 1, 125, 126, 200)),
            whole(PING, 5, masks=masks),
            in_pieces(TEXT, (0, 130), whole(PONG, 3, masks=masks), masks=masks),
            stretched(BINARY, 7, masks=masks, width=2),
            stretched(TEXT, 130, masks=masks, width=8),
            whole(BINARY, 3, masks=masks),
        )
    )


def bad(side: str) -> dict[int, list[bytes]]:
    """What ends a connection, by the code with which it ends."""
    masks = side == "server"
    return {
        1002: [
            whole(TEXT, 9, masks=masks, rsv=4),
            whole(TEXT, 9, masks=not masks),
            whole(BINARY, 9, masks=masks, fin=False) + whole(BINARY, 130, masks=masks),
            whole(CONT, 9, masks=masks),
        ],
        1009: [stretched(TEXT, LARGEST + 1, masks=masks, width=8)[:20]],
        1000: [encoded(CLOSE, (1000).to_bytes(2), fin=True, rsv=0, masks=masks)],
    }


@pytest.mark.parametrize("side", SIDES)
async def test_every_cut(side: str) -> None:
    """All kinds of frames, cut in two in each place, and into single bytes."""
    stream = good(side)
    expected = of_the_library(side, [stream])
    assert len(expected.messages) == 14
    for place in range(len(stream)):
        assert await of_ours(side, cut(stream, [place])) == expected, place
    assert await of_ours(side, cut(stream, range(len(stream)))) == expected


@pytest.mark.parametrize("side", SIDES)
async def test_every_cut_before_the_end(side: str) -> None:
    """The same, where a connection ends for what was sent; what comes after that is nothing."""
    around = whole(BINARY, 3, masks=side == "server")
    for code, endings in bad(side).items():
        for ending in endings:
            stream = around + ending + around
            expected = of_the_library(side, [stream])
            assert (expected.messages, expected.said[-1][1][:2]) == ([(payload(3), False)], code.to_bytes(2))
            for place in range(len(stream)):
                assert await of_ours(side, cut(stream, [len(around), place])) == expected, (code, place)
                assert await of_ours(side, cut(stream, [place])) == expected, (code, place)


@pytest.mark.parametrize("side", SIDES)
async def test_what_is_never_whole(side: str) -> None:
    """A connection that ends within a frame ends as it would with the library: cut, 1006."""
    for size in (100, 1_000, LARGEST):
        pieces = cut(whole(BINARY, size, masks=side == "server")[:-1], [1, 3, 7, 50])
        found = await of_ours(side, pieces)
        assert found == of_the_library(side, pieces)
        assert (found.messages, found.close) == ([], (1006, ""))

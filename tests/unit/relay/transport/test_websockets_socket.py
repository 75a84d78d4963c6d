"""A socket on `websockets` that takes messages past the library: what is read at once with what ends or holds it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Never

import pytest
from websockets.protocol import State

from tests.support.peer import BINARY, CLOSE, PING, TEXT, encoded
from tests.unit.relay.transport.unwired import SIDES, Wire, socket_of

NORMAL = (1000).to_bytes(2)


class Fed:
    """A socket, and what is delivered of what it is fed.

    Args:
        side: Which one.

    Attributes:
        then: Told each message; says whether it was the last that is wanted.
    """

    def __init__(self, side: str) -> None:
        self.wire = Wire()
        self.socket = socket_of(side, self.wire)
        self.got: list[bytes] = []
        self.then: Callable[[], object] = bool
        self._masks = side == "server"

    def frame(self, data: bytes, opcode: int = BINARY) -> bytes:
        """As the peer sends it."""
        return encoded(opcode, data, fin=True, rsv=0, masks=self._masks)

    def take(self, data: bytes, _text: bool) -> bool:  # noqa: FBT001 - as a socket gives it
        """Remember it."""
        self.got.append(data)
        return self.then() is True

    def cut_off(self) -> None:
        """From here on the library must not be asked."""

        def asked(data: bytes) -> Never:
            raise AssertionError(data)

        self.socket.protocol.receive_data = asked  # type: ignore[method-assign, assignment]  # this one only


@pytest.fixture(params=SIDES)
async def fed(request: pytest.FixtureRequest) -> AsyncIterator[Fed]:
    """Each side; somebody takes what comes."""
    made = Fed(request.param)
    task = asyncio.create_task(made.socket.deliver(made.take))
    await asyncio.sleep(0)
    yield made
    if made.socket.protocol.state is not State.CLOSED:
        made.socket.connection_lost(None)
    await task


async def test_the_library_is_not_asked_for_whole_messages(fed: Fed) -> None:
    """One in a read, several in one, one in several."""
    fed.cut_off()
    frames = [fed.frame(bytes(size), opcode) for size, opcode in ((640, BINARY), (1_400, TEXT), (70_000, TEXT))]
    for frame in frames:
        fed.socket.data_received(frame)
    fed.socket.data_received(b"".join(frames))
    for begin in range(0, len(frames[-1]), 1_400):
        fed.socket.data_received(frames[-1][begin : begin + 1_400])
    assert [len(data) for data in fed.got] == [640, 1_400, 70_000] * 2 + [70_000]


@pytest.mark.parametrize("size", [1, 3, 640])
async def test_it_is_asked_for_what_is_none_and_not_after_that(fed: Fed, size: int) -> None:
    """A ping, and a message that came with it, cut within its head or after it."""
    frame = fed.frame(bytes(640))
    fed.socket.data_received(fed.frame(b"there?", PING) + frame[:size])
    fed.socket.data_received(frame[size:])
    fed.cut_off()
    fed.socket.data_received(frame)
    assert [len(data) for data in fed.got] == [640, 640]


async def test_what_was_read_is_delivered_though_it_is_held(fed: Fed) -> None:
    """Holding keeps the next read away, not this one."""
    fed.then = fed.socket.hold
    fed.socket.data_received(fed.frame(b"1") + fed.frame(b"2") + fed.frame(b"3", PING) + fed.frame(b"4"))
    assert fed.got == [b"1", b"2", b"4"]
    assert not fed.wire.reading


async def test_a_peer_that_is_held_and_has_closed_is_read_on(fed: Fed) -> None:
    """Else the end of its stream would not be seen."""
    fed.then = fed.socket.hold
    fed.socket.data_received(fed.frame(b"1") + fed.frame(NORMAL, CLOSE))
    assert fed.got == [b"1"]
    assert fed.wire.reading


async def test_what_was_read_is_delivered_though_it_is_dropped(fed: Fed) -> None:
    """As if each message had come by itself."""
    fed.then = fed.socket.abort
    fed.socket.data_received(fed.frame(b"1") + fed.frame(b"2"))
    assert fed.got == [b"1", b"2"]
    assert fed.wire.aborted


async def test_what_comes_with_the_last_that_is_wanted_waits(fed: Fed) -> None:
    """For whoever delivers next."""
    fed.then = lambda: True
    fed.socket.data_received(fed.frame(b"1") + fed.frame(b"2") + fed.frame(b"3"))
    assert fed.got == [b"1"]
    await fed.socket.deliver(fed.take)
    await fed.socket.deliver(fed.take)
    assert fed.got == [b"1", b"2", b"3"]


async def test_a_message_that_was_begun_before_a_close(fed: Fed) -> None:
    """Its rest comes after ours: it is delivered all the same."""
    message, answer = fed.frame(bytes(640)), fed.frame(NORMAL, CLOSE)
    fed.socket.data_received(message[:100])
    closing = asyncio.create_task(fed.socket.close())
    await asyncio.sleep(0)
    assert not fed.socket.is_open
    fed.socket.data_received(message[100:200])
    fed.socket.data_received(message[200:] + answer)
    fed.socket.connection_lost(None)
    await closing
    assert (fed.got, fed.socket.close_code) == ([bytes(640)], 1000)


async def test_a_message_that_was_begun_before_it_failed(fed: Fed) -> None:
    """Nothing that comes after that is delivered (RFC 6455, section 7.1.7)."""
    message = fed.frame(bytes(640))
    fed.socket.data_received(message[:100])
    fed.socket.protocol.fail(1011)
    fed.socket.data_received(message[100:] + message)
    assert fed.got == []

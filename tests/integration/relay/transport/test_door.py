"""How clients are let in, or not: the same answers with every library."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus

import pytest

from services.relay.sockets import ClientSocket, Listener, Transport
from tests.support.peer import CLOSE_TIMEOUT, PATIENCE, PING, PONG, TEXT, Frame, Peer, accept, door, knock

FIREFOX = "Connection: keep-alive, Upgrade"


@asynccontextmanager
async def listening(
    transport: Transport, **changes: object
) -> AsyncIterator[tuple[Listener, "asyncio.Queue[ClientSocket]"]]:
    """A door that lets everybody in who asks properly, and the sockets that came."""
    came: asyncio.Queue[ClientSocket] = asyncio.Queue()

    async def serve(socket: ClientSocket) -> None:
        came.put_nowait(socket)
        await socket.deliver(lambda _data, _text: False)

    listener = await transport.listen("127.0.0.1", 0, door(serve, **changes))
    try:
        yield listener, came
    finally:
        await listener.close(1001, "over")


def status(answer: bytes) -> int:
    """Of a response."""
    return int(answer.split(b" ", 2)[1])


async def test_a_client_is_let_in(transport: Transport) -> None:
    """With what it asked for, and no word about compression."""
    async with listening(transport) as (listener, came):
        lines = ("Sec-WebSocket-Extensions: permessage-deflate", "Sec-WebSocket-Protocol: a, filo.v1", "X-Other: x")
        peer, answer = await knock(listener.port, *lines, target="/ws?a=b%20c&d=%C3%A9")
        heads = answer.decode().lower()
        assert status(answer) == 101
        assert "sec-websocket-protocol: filo.v1\r\n" in heads
        assert "extensions" not in heads
        assert accept(base64.b64encode(bytes(range(16))).decode()).lower() in heads
        socket = await came.get()
        assert socket.target == "/ws?a=b%20c&d=%C3%A9"
        assert socket.offered == ("a", "filo.v1")
        assert socket.is_open
        peer.cut()


@pytest.mark.parametrize(
    ("lines", "offered"),
    [((), ("",)), (("Sec-WebSocket-Protocol: other",), ("other",)), ((FIREFOX,), ("",))],
)
async def test_what_else_a_client_may_say(
    transport: Transport, lines: tuple[str, ...], offered: tuple[str, ...]
) -> None:
    """No subprotocol, one that is not spoken here, and more than one word in `Connection`."""
    async with listening(transport) as (listener, came):
        peer, answer = await knock(listener.port, *lines)
        assert status(answer) == 101
        assert b"protocol:" not in answer.lower()
        assert (await came.get()).offered == offered
        peer.cut()


@pytest.mark.parametrize(
    ("lines", "refused"),
    [
        (("Upgrade: h2c",), 426),
        (("Connection: close",), 426),
        (("Upgrade",), 426),
        (("Sec-WebSocket-Key",), 400),
        (("Sec-WebSocket-Key: short",), 400),
        (("Sec-WebSocket-Key: " + "!" * 24,), 400),
        (("Sec-WebSocket-Version: 12",), 400),
        (("Sec-WebSocket-Version: 8",), 400),
        (("Origin: https://evil.example",), 403),
    ],
)
async def test_who_asks_badly_is_refused(transport: Transport, lines: tuple[str, ...], refused: int) -> None:
    """With a status that says what is wrong; the connection ends."""
    async with listening(transport, origins=("https://good.example",)) as (listener, came):
        peer, answer = await knock(listener.port, *lines)
        assert status(answer) == refused
        await peer.ended()
        assert came.empty()
        peer.cut()


@pytest.mark.parametrize("lines", [(), ("Origin: https://good.example",)])
async def test_origins(transport: Transport, lines: tuple[str, ...]) -> None:
    """The one that is allowed, and who is no browser."""
    async with listening(transport, origins=("https://good.example",)) as (listener, _):
        peer, answer = await knock(listener.port, *lines)
        assert status(answer) == 101
        peer.cut()


async def test_answers_without_an_upgrade(transport: Transport) -> None:
    """Health has the same port; whoever asks need not be a WebSocket."""
    said: list[str] = []

    def answer(target: str) -> tuple[HTTPStatus, str] | None:
        said.append(target)
        return HTTPStatus.SERVICE_UNAVAILABLE, "not réady\n"

    async with listening(transport, answer=answer) as (listener, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(b"GET /ready?x HTTP/1.1\r\nHost: any\r\n\r\n")
        async with asyncio.timeout(PATIENCE):
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        assert status(head) == 503
        assert b"Content-Length: 11\r\n" in head + b"\r\n"
        assert body.decode() == "not réady\n"
        assert said == ["/ready?x"]
        writer.close()


@pytest.mark.parametrize("said", [b"", b"GET /ws HTTP/1.1\r\nHost: any\r\n"])
async def test_who_does_not_finish_asking_is_dropped(transport: Transport, said: bytes) -> None:
    """In time."""
    async with listening(transport, open_timeout=0.2) as (listener, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(said)
        await Peer(reader, writer, masks=True).ended()
        writer.close()


@pytest.mark.parametrize(
    "said", [b"what?\r\n\r\n", b"POST /ws HTTP/1.1\r\n\r\n", b"GET /ws HTTP/1.1\r\nno colon\r\n\r\n"]
)
async def test_who_asks_nothing_is_dropped(transport: Transport, said: bytes) -> None:
    """With an answer or without one."""
    async with listening(transport) as (listener, came):
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(said)
        async with asyncio.timeout(PATIENCE):
            assert (await reader.read())[:12] in (b"", b"HTTP/1.1 400", b"HTTP/1.1 405")
        assert came.empty()
        writer.close()


async def test_who_asks_at_length_is_dropped(transport: Transport) -> None:
    """Without being heard out."""
    async with listening(transport) as (listener, came):
        peer, _ = await knock(listener.port, "X-Long: " + "x" * 200_000, wait=False)
        await peer.ended()
        assert came.empty()
        peer.cut()


async def _returns(_socket: ClientSocket) -> None:
    """Served."""


async def _fails(_socket: ClientSocket) -> None:
    raise ValueError("a defect")


@pytest.mark.parametrize(("serve", "code"), [(_returns, 1000), (_fails, 1011)])
async def test_the_socket_is_closed_after_it_was_served(
    transport: Transport, serve: Callable[[ClientSocket], object], code: int
) -> None:
    """Whatever came of it."""
    listener = await transport.listen("127.0.0.1", 0, door(serve))
    peer, _ = await knock(listener.port)
    assert (await peer.closed())[0] == code
    peer.close(code)
    await peer.ended()
    await listener.close(1001, "over")
    peer.cut()


async def test_keepalive(transport: Transport) -> None:
    """Who answers stays, who does not is closed, and dropped."""
    async with listening(transport, ping_interval=0.1) as (listener, came):
        peer, _ = await knock(listener.port)
        socket = await came.get()
        for _ in range(4):
            ping = await peer.read()
            assert ping.opcode == PING
            peer.write(PONG, ping.data)
        assert socket.is_open
        assert await peer.closed() == (1011, b"keepalive ping timeout")
        await peer.ended()
        peer.cut()


async def test_the_door_is_closed(transport: Transport) -> None:
    """Everybody is told, those who do not answer are dropped, and whoever serves has ended when it is closed."""
    served: list[ClientSocket] = []

    async def serve(socket: ClientSocket) -> None:
        await socket.deliver(lambda _data, _text: False)
        served.append(socket)

    listener = await transport.listen("127.0.0.1", 0, door(serve))
    peers = [(await knock(listener.port))[0] for _ in range(3)]
    for peer in peers:  # so that each is known to be served
        peer.write(PING)
        assert await peer.read() == Frame(PONG, b"")
    port = listener.port
    closing = asyncio.create_task(listener.close(1001, "this relay is going away"))
    for peer in peers:
        assert await peer.closed() == (1001, b"this relay is going away")
    peers[0].close(1001)
    async with asyncio.timeout(10 * CLOSE_TIMEOUT):
        await closing
    assert len(served) == 3
    with pytest.raises(OSError, match=r"."):
        await knock(port)
    for peer in peers:
        peer.cut()


async def test_a_port_that_is_taken(transport: Transport) -> None:
    """Is told."""
    async with listening(transport) as (listener, _):
        with pytest.raises(OSError, match="address"):
            await transport.listen("127.0.0.1", listener.port, door(_returns))


async def test_what_comes_with_the_request_is_not_lost(transport: Transport) -> None:
    """A client that is sure of being let in."""
    got: asyncio.Queue[bytes] = asyncio.Queue()

    async def serve(socket: ClientSocket) -> None:
        def take(data: bytes, _text: bool) -> bool:  # noqa: FBT001 - as a socket gives it
            got.put_nowait(data)
            return True

        await socket.deliver(take)

    listener = await transport.listen("127.0.0.1", 0, door(serve))
    peer, _ = await knock(listener.port, wait=False)
    peer.write(TEXT, b"early")
    async with asyncio.timeout(PATIENCE):
        assert await got.get() == b"early"
    peer.cut()
    await listener.close(1001, "over")

"""A relay that is late, or was paused: it throws nothing away that is well, and says that it has too much to do."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any, cast

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as server

from services.common.clock import SystemClock
from services.common.lateness import Late
from services.relay.client.server import READY_PATH, ClientServer
from services.relay.core.model import Policy
from services.relay.sockets import ClientSocket, Door
from services.relay.transport import named
from services.relay.upstream.backend import developer
from services.relay.upstream.breaker import Breaker, BreakerPolicy, BreakerState
from services.relay.upstream.connection import Dialler, UpstreamLostError
from services.relay.upstream.gate import Gate, Purpose, Ticket
from tests.support.client import Client
from tests.support.relay import LIBRARY, running_relay

_ON_TIME: Late = lambda _: 0.0  # noqa: E731
_WAS_LATE: Late = lambda seconds: seconds  # noqa: E731


@asynccontextmanager
async def deaf() -> AsyncIterator[str]:
    """A server that takes connections and says nothing; gives its URL."""
    served: list[asyncio.Task[Any]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(cast("asyncio.Task[Any]", asyncio.current_task()))
        with suppress(ConnectionError):
            await reader.read()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        yield f"ws://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    await asyncio.gather(*served)


def dialler(url: str, gate: Gate, late: Late, told: list[tuple[int | None, bool]]) -> Dialler:
    """What dials; it gives up after a tenth of a second, but for what it was late."""

    def counted(code: int | None, _seconds: float, /, *, late: bool) -> None:
        told.append((code, late))

    return Dialler(
        url,
        developer("any"),
        None,
        connect_timeout=0.1,
        close_timeout=0.1,
        gate=gate,
        transport=named(LIBRARY),
        counted=counted,
        late=late,
    )


@pytest.mark.parametrize("late", [False, True])
async def test_a_dial_that_ran_out_of_time_is_judged_by_whose_time_it_was(late: bool) -> None:  # noqa: FBT001
    """Of a relay that was on time it is Gemini's failure; of one that was late it counts against nobody."""
    breaker = Breaker(BreakerPolicy(failures=1))
    told: list[tuple[int | None, bool]] = []
    lateness = iter([1.0, 0.0, 1.5])  # more time is given for what it was late, then no more; and so it is judged
    async with deaf() as url:
        gate = Gate(breaker, SystemClock())
        dials = dialler(url, gate, (lambda _: next(lateness)) if late else _ON_TIME, told)
        began = time.monotonic()
        with pytest.raises(UpstreamLostError) as lost:
            await dials.dial(b"{}")
    assert (lost.value.code, lost.value.late) == (1006, late)
    assert told == [(1006, late)]
    assert breaker.state is (BreakerState.CLOSED if late else BreakerState.OPEN)
    assert time.monotonic() - began >= (1.0 if late else 0.1)
    assert (gate.active, gate.waiting) == (0, 0)


async def test_the_setup_is_no_handshake() -> None:
    """While Gemini takes its time for a setup, the next conversation may dial."""
    asked = asyncio.Event()

    async def serve(connection: ServerConnection) -> None:
        await connection.recv()
        asked.set()
        await connection.wait_closed()

    async with server(serve, "127.0.0.1", 0) as listening, asyncio.timeout(10):
        port = next(iter(listening.sockets)).getsockname()[1]
        gate = Gate(Breaker(BreakerPolicy()), SystemClock(), most=1)
        dials = dialler(f"ws://127.0.0.1:{port}", gate, lambda _: 60.0, [])
        waiting = asyncio.create_task(dials.dial(b'{"setup":{}}'))
        await asked.wait()
        async with gate.passage(Ticket(0.0, Purpose.OPEN)):
            assert gate.active == 1
        waiting.cancel()
        await asyncio.wait([waiting])


@asynccontextmanager
async def a_client_that_answers_no_ping(late: Late) -> AsyncIterator[tuple[asyncio.StreamReader, ClientSocket]]:
    """Pinged ten times a second."""
    met: asyncio.Future[ClientSocket] = asyncio.get_running_loop().create_future()

    async def serve(socket: ClientSocket) -> None:
        met.set_result(socket)
        await socket.deliver(lambda _data, _text: False)

    door = Door(serve, lambda _target: None, "filo.v1", (), 1024, 0.1, 0.1, late=late)
    listener = await named(LIBRARY).listen("127.0.0.1", 0, door)
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    key = "dGhlIHNhbXBsZSBub25jZQ=="
    head = f"Host: any\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
    writer.write(f"GET / HTTP/1.1\r\n{head}Sec-WebSocket-Version: 13\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    yield reader, await met
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()
    await listener.close(1001, "")


async def test_a_client_that_answers_no_ping_is_closed() -> None:
    """With 1011, and its connection is dropped where it does not go."""
    async with a_client_that_answers_no_ping(_ON_TIME) as (reader, socket), asyncio.timeout(10):
        said = await reader.read()
        assert b"\x03\xf3keepalive ping timeout" in said
        assert not socket.is_open


async def test_a_client_is_not_closed_for_the_time_that_the_relay_was_late() -> None:
    """Its answer lies in the socket; nor while it is not read."""
    late = [True]
    async with a_client_that_answers_no_ping(lambda seconds: seconds if late[0] else 0.0) as (reader, socket):
        async with asyncio.timeout(10):
            assert await reader.readexactly(2)  # the first ping
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):  # five times what it has to answer
                await reader.read()
        assert socket.is_open
        socket.hold()
        late[0] = False
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await reader.read()
        socket.release()
        async with asyncio.timeout(10):
            assert b"keepalive ping timeout" in await reader.read()


@pytest.mark.parametrize(
    ("ready", "full", "overloaded", "told"),
    [
        (True, False, False, (HTTPStatus.OK, "ready\n")),
        (True, False, True, (HTTPStatus.SERVICE_UNAVAILABLE, "overloaded\n")),
        (True, True, True, (HTTPStatus.SERVICE_UNAVAILABLE, "full\n")),
        (False, False, False, (HTTPStatus.SERVICE_UNAVAILABLE, "not ready\n")),
    ],
)
def test_a_load_balancer_is_told_why(ready: bool, full: bool, overloaded: bool, told: tuple[HTTPStatus, str]) -> None:  # noqa: FBT001
    """So that newcomers go elsewhere; who is here stays."""
    says: Callable[..., Any] = lambda **facts: type("Says", (), facts)()  # noqa: E731
    server = ClientServer(says(), says(), says(full=full), says(), says(ready=ready), None, lambda: overloaded)
    assert server.answer(READY_PATH) == told


async def test_a_pause_is_no_stall_and_shows(tmp_path: Path) -> None:
    """The process stands still for longer than Gemini may be silent: its answer is in the socket, nothing is lost."""
    policy = Policy(stall_after=0.6, stable_after=0.1)
    async with running_relay(tmp_path, emulator={"speed": 1.0}, policy=policy, overloaded_lag=0.005) as relay:
        session = await relay.create()
        async with Client(relay.socket(session)) as client:
            await client.wait("session:started")
            await client.send(type="text", text="Hello there.")
            await client.wait("transcript", role="agent")
            time.sleep(1.2)  # noqa: ASYNC251 - a process that is paused
            await client.wait("turn:complete")
            assert client.all("session:rotating") == []
            host = cast("Any", relay.where.client_address)
            reader, writer = await asyncio.open_connection(host.host, host.port)
            writer.write(b"GET /ready HTTP/1.1\r\nHost: any\r\n\r\n")
            assert b"503" in await reader.readline()
            writer.close()
            await writer.wait_closed()

"""A guard on the price of a frame: it counts work, not time, so it says the same on every machine.

The real sockets, inputs and outbox, with a transport that only remembers. A frame that needs a task, a queue, a second
write, or notably more calls than today fails here long before anybody measures it.
"""

import asyncio
import base64
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from types import FrameType, SimpleNamespace
from typing import Any, Final, cast

import pytest
from picows import WSFrame, WSMsgType
from picows.picows import _make_test_ws_frame
from websockets.asyncio.connection import Connection
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from services.relay.client.intake import Intake
from services.relay.client.link import ClientLink
from services.relay.client.outbox import Outbox
from services.relay.client.speech import SpeechDetector
from services.relay.core import events as on
from services.relay.core.model import START
from services.relay.sockets import Socket
from services.relay.transport.picows_socket import Limits, PicowsSocket
from services.relay.transport.websockets_socket import ClientSocket, UpstreamSocket
from services.relay.upstream.connection import Upstream
from services.relay.upstream.inputs import Inputs, cancelled
from services.relay.upstream.link import UpstreamLink

VOICE: Final = bytes(range(1, 161)) * 4
REPLY: Final = bytes(range(240)) * 4
WARM, COUNTED = 20, 100
PING: Final = 0x89
"""How a ping's frame begins."""
MOST_UP, MOST_DOWN = 50, 36
"""Calls, of Python and of C, for one frame on its way to Gemini, and for one on its way to the client: a tenth more
than they were when this was written; whole frames do not go through websockets."""
MOST_UP_PICOWS, MOST_DOWN_PICOWS = 40, 29
"""The same on picows; what is compiled counts as one call."""


class Wire:
    """A transport that takes everything."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Remember it."""
        self.written.append(data)

    def is_closing(self) -> bool:
        """Never."""
        return False

    def set_write_buffer_limits(self, *_: int, **__: int) -> None:
        """There is no buffer."""

    def pause_reading(self) -> None:
        """Nothing is read."""

    def resume_reading(self) -> None:
        """Nothing is read."""


def client_socket(wire: Wire) -> ClientSocket:
    """A client's socket, open."""
    socket = ClientSocket(ServerProtocol(state=State.OPEN), cast("Any", None), ping_interval=None, late=lambda _: 0.0)
    socket.request = cast("Any", object())
    Connection.connection_made(socket, cast("Any", wire))
    return socket


def upstream_socket(wire: Wire) -> UpstreamSocket:
    """Gemini's socket, open."""
    socket = UpstreamSocket(ClientProtocol(parse_uri("ws://gemini"), state=State.OPEN), ping_interval=None)
    socket.response = cast("Any", object())
    Connection.connection_made(socket, cast("Any", wire))
    return socket


class Relayed:
    """One conversation's audio path between two sockets.

    Attributes:
        posted: What the core was told.
    """

    def __init__(self) -> None:
        self.posted: list[on.Event] = []
        self.client_wire, self.upstream_wire = Wire(), Wire()
        self.client = client_socket(self.client_wire)
        self.gemini = upstream_socket(self.upstream_wire)
        self.inputs, self.outbox = Inputs(0, 120.0), Outbox(1, 4 << 20)
        self.lease = SimpleNamespace(name="conversations/c", in_doubt=False)
        self.metrics = SimpleNamespace()

    def spoken(self) -> bytes:
        """A frame of the client's, as its socket brings it."""
        return Frame(Opcode.BINARY, VOICE).serialize(mask=True)

    def answered(self) -> bytes:
        """A frame of the agent's, as Gemini sends it."""
        data = base64.b64encode(REPLY).decode()
        part = {"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": data}}
        message = {"serverContent": {"modelTurn": {"parts": [part]}}}
        return Frame(Opcode.TEXT, json.dumps(message).encode()).serialize(mask=False)

    @asynccontextmanager
    async def running(self, ours: Socket | None = None, gemini: Socket | None = None) -> AsyncIterator[None]:
        """All its tasks, each at the point where it waits for what comes; sockets of another kind may be given."""
        client_side, upstream = ours or self.client, Upstream(gemini or self.gemini)
        intake = Intake(self.inputs, self.outbox, SpeechDetector(), self.posted.append, cast("Any", self.metrics))
        client = ClientLink(client_side, self.outbox, None, first_here=True, lease=cast("Any", self.lease))
        link = UpstreamLink(
            cast("Any", None),
            dialler=cast("Any", None),
            history=cast("Any", None),
            inputs=self.inputs,
            outbox=self.outbox,
            post=self.posted.append,
            clock=cast("Any", SimpleNamespace(monotonic=lambda: 0.0)),
            lease=cast("Any", self.lease),
        )
        self.inputs.start(START)
        client.welcome({"type": "session:started"})
        work = [
            intake.read(client_side),
            client.write(),
            self.inputs.feed(upstream, cast("Any", self.lease)),
            link._read(upstream),
        ]
        tasks: list[asyncio.Task[Any]] = [asyncio.create_task(one) for one in work]
        try:
            for _ in range(50):
                await asyncio.sleep(0)
            yield
            assert not any(task.done() for task in tasks)
        finally:
            for task in tasks:
                await cancelled(task)


@pytest.fixture
async def relayed() -> AsyncIterator[Relayed]:
    """A conversation under way."""
    conversation = Relayed()
    async with conversation.running():
        yield conversation


def calls(work: Callable[[], None]) -> int:
    """How many functions are called."""
    count = 0

    def see(_frame: FrameType, event: str, _arg: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(see)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def price(socket: ClientSocket | UpstreamSocket, data: bytes) -> float:
    """Calls for one frame that a socket brings."""
    for _ in range(WARM):
        socket.data_received(data)

    def counted() -> None:
        for _ in range(COUNTED):
            socket.data_received(data)

    return calls(counted) / COUNTED


async def test_a_frame_to_gemini(relayed: Relayed) -> None:
    """It leaves before the read that brought it returns: one write, no task woken, a bounded number of calls."""
    spent = price(relayed.client, relayed.spoken())
    assert len(relayed.upstream_wire.written) == WARM + COUNTED, "one write a frame, at once"
    assert relayed.inputs.sent == relayed.inputs.newest
    assert [type(event) for event in relayed.posted] == [on.SpeechBegan], (
        "the core hears of an utterance, not of frames"
    )
    assert spent <= MOST_UP, f"{spent:.1f} calls a frame"


async def test_a_frame_to_the_client(relayed: Relayed) -> None:
    """The same downwards; it is the agent's bytes as they are, and now and then it is asked what it has got."""
    said = len(relayed.client_wire.written)
    spent = price(relayed.gemini, relayed.answered())
    written = relayed.client_wire.written[said:]
    asked = [frame for frame in written if frame[0] == PING]
    assert 1 <= len(asked) <= (WARM + COUNTED) * len(REPLY) // (32 * 1024)
    written = [frame for frame in written if frame[0] != PING]
    assert len(written) == WARM + COUNTED, "one write a frame, at once"
    assert all(frame.endswith(REPLY) for frame in written)
    assert [type(event) for event in relayed.posted] == [on.AnswerBegan], "once an answer, not once a frame"
    assert spent <= MOST_DOWN, f"{spent:.1f} calls a frame"


class PicowsWire:
    """What picows would send with: it remembers."""

    is_client_side = is_close_frame_sent = False

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.pings = 0
        self.underlying_transport = Wire()

    def send(self, _kind: WSMsgType, message: bytes) -> None:
        """Remember a message."""
        self.sent.append(message)

    def send_reuse_external_bytearray(self, _kind: WSMsgType, framed: bytearray, offset: int) -> None:
        """Remember a message of any size."""
        self.sent.append(bytes(framed[offset:]))

    def send_ping(self, _message: bytes) -> None:
        """Count it."""
        self.pings += 1


def bring(socket: PicowsSocket, frame: WSFrame, count: int) -> None:
    """A frame has come, several times."""
    for _ in range(count):
        socket.on_ws_frame(cast("Any", None), frame)


async def test_the_same_on_picows() -> None:
    """Both ways, without what is compiled."""
    sockets, wires = [PicowsSocket(Limits(1 << 20, 1.0)) for _ in range(2)], [PicowsWire() for _ in range(2)]
    for socket, wire in zip(sockets, wires, strict=True):
        socket.on_ws_connected(cast("Any", wire))
    conversation = Relayed()
    spoken = _make_test_ws_frame(WSMsgType.BINARY, VOICE, fin=True, rsv1=False)
    answered = _make_test_ws_frame(WSMsgType.TEXT, conversation.answered()[4:], fin=True, rsv1=False)
    async with conversation.running(*sockets):
        for socket, out, frame, most in (
            (sockets[0], wires[1], spoken, MOST_UP_PICOWS),
            (sockets[1], wires[0], answered, MOST_DOWN_PICOWS),
        ):
            brought = partial(bring, socket, frame)
            brought(WARM)
            said = len(out.sent)
            spent = calls(partial(brought, COUNTED)) / COUNTED
            assert len(out.sent) - said == COUNTED, "one write a frame, at once"
            assert spent <= most, f"{spent:.1f} calls a frame"
    assert 1 <= wires[0].pings <= (WARM + COUNTED) * len(REPLY) // (32 * 1024)


async def test_what_is_kept_of_a_frame(relayed: Relayed) -> None:
    """Each frame of the client's is kept once, for a replay; of the agent's, no more than may still be on its way."""
    for _ in range(800):
        relayed.client.data_received(relayed.spoken())
        relayed.gemini.data_received(relayed.answered())
    assert relayed.inputs.weight <= 800 * (len(VOICE) + 64)
    assert 400 * 1024 < relayed.outbox.weight <= 545 * 1024, "a client that gives no sign"


async def test_what_the_client_has_got_is_kept_no_longer(relayed: Relayed) -> None:
    """A client that answers pings, as every WebSocket does, costs a second of the agent's voice, not ten."""
    heaviest = 0
    for _ in range(800):
        relayed.gemini.data_received(relayed.answered())
        heaviest = max(heaviest, relayed.outbox.weight)
        newest = relayed.client_wire.written[-1]
        if newest[0] == PING:
            relayed.client.data_received(Frame(Opcode.PONG, newest[2:]).serialize(mask=True))
    assert 16 * 1024 <= heaviest <= 50 * 1024
    assert relayed.outbox.after(relayed.outbox.last - 10) is not None, "the newest is there, for one who comes back"


async def test_a_forged_sign_takes_nothing_that_was_not_sent(relayed: Relayed) -> None:
    """A pong for what was never sent lets go of what was, at most; one without a number is none."""
    relayed.gemini.data_received(relayed.answered())
    for sign in (b"filo", b"filo" + bytes(8), b"filo" + b"\xff" * 100, b"other"):
        relayed.client.data_received(Frame(Opcode.PONG, sign).serialize(mask=True))
    relayed.gemini.data_received(relayed.answered())
    assert relayed.outbox.last >= 2
    assert relayed.outbox.after(relayed.outbox.last - 2) is not None

"""One conversation's audio path as it is, sockets, inputs and outbox, between transports that only remember."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, Final, cast

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


def picows_socket(wire: PicowsWire) -> PicowsSocket:
    """A socket of picows, open."""
    socket = PicowsSocket(Limits(1 << 20, 1.0))
    socket.on_ws_connected(cast("Any", wire))
    return socket


def picows_frame(kind: WSMsgType, message: bytes) -> WSFrame:
    """A whole message, as picows brings it."""
    return _make_test_ws_frame(kind, message, fin=True, rsv1=False)


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


def answer() -> bytes:
    """A message with the agent's voice, as Gemini writes it."""
    part = {"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": base64.b64encode(REPLY).decode()}}
    return json.dumps({"serverContent": {"modelTurn": {"parts": [part]}}}).encode()


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
        return Frame(Opcode.TEXT, answer()).serialize(mask=False)

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

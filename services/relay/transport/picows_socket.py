"""One WebSocket on picows, which parses and writes frames; what frames mean is here (RFC 6455, sections 5 to 7).

picows calls `on_ws_frame` inside the read that brought the frame. It has unmasked the payload, and refused what no
frame may be: masks that are missing or too many, unknown opcodes, control frames in pieces, lengths that lie.
"""

import asyncio
from dataclasses import dataclass
from typing import Final, cast

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from services.common.lateness import Late
from services.relay.sockets import NO_CLOSE_FRAME, NO_CODE, ClosedError
from services.relay.transport.delivery import Delivery, is_sign, sign

_TEXT: Final = WSMsgType.TEXT
_BINARY: Final = WSMsgType.BINARY
_MOST_PARTS: Final = 1024
"""Fragments of one message; a bound for messages that are cut into nothing."""
_SCRATCH: Final = 8 * 1024
"""Bytes of a message that picows copies together with its head, before it gives both to the loop."""
_HEAD: Final = 14
"""Bytes of a frame's head at most."""
_WRITE_LIMIT: Final = 32 * 1024
"""Bytes that wait for the kernel, before nothing more is taken to send."""
_PROTOCOL_ERROR, _TOO_BIG, _INTERNAL = 1002, 1009, 1011
_CODES: Final = frozenset({*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)})
"""That may be in a close frame, sections 7.4.1 and 7.4.2, and IANA's registry."""
_PULSE: Final = b"pulse"
"""The keepalive's ping."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a peer is held to.

    Args:
        largest: Bytes of a message.
        close_timeout: Seconds in which it must close after a close.
        ping_interval: Seconds between pings, each of which must be answered within as many; None for no pings.
        late: How late this process is; this much longer is waited.
    """

    largest: int
    close_timeout: float
    ping_interval: float | None = None
    late: Late = lambda _: 0.0


class PicowsSocket(Delivery, WSListener):
    """A socket of either side; see `services.relay.sockets.Socket`.

    Args:
        limits: What the peer is held to.
    """

    def __init__(self, limits: Limits) -> None:
        super().__init__()
        self.is_open = False
        self._limits = limits
        self._largest = limits.largest
        self._loop = asyncio.get_running_loop()
        self._lost: asyncio.Future[None] = self._loop.create_future()
        self._drained: asyncio.Future[None] | None = None  # while the connection takes no more
        self._deaf = False  # nothing that comes is wanted any more
        self._held = False
        self._parts: list[bytes] | None = None
        self._size = 0  # of the parts
        self._text = False
        self._left: tuple[int, str] | None = None
        self._pong: bytes | None = None
        self._pulse: asyncio.TimerHandle | None = None
        self._asked: float | None = None  # when the ping was sent that is not answered yet
        self._drop: asyncio.TimerHandle | None = None

    # What picows calls.

    def on_ws_connected(self, transport: WSTransport) -> None:
        """The handshake is over."""
        self._wire = transport
        self.is_open = True
        transport.underlying_transport.set_write_buffer_limits(high=_WRITE_LIMIT)
        if self._limits.ping_interval is not None:
            self._pulse = self._loop.call_later(self._limits.ping_interval, self._beat)

    def on_ws_frame(self, _transport: WSTransport, frame: WSFrame) -> None:
        """A frame has come; its payload is valid in this call only, so it is copied, once."""
        kind = frame.msg_type
        if self._deaf:
            return
        if frame.rsv1 or frame.rsv2 or frame.rsv3:
            self._fail(_PROTOCOL_ERROR, "reserved bits must be 0")
        elif (kind is _BINARY or kind is _TEXT) and frame.fin and self._parts is None:
            data = frame.get_payload_as_bytes()
            if len(data) <= self._largest:
                self._arrived(data, kind is _TEXT)
            else:
                self._fail(_TOO_BIG, f"{len(data)} bytes, of {self._largest} at most")
        elif kind is WSMsgType.PING:
            self._answer(frame.get_payload_as_bytes())
        elif kind is WSMsgType.PONG:
            self._ponged(frame.get_payload_as_bytes())
        elif kind is WSMsgType.CLOSE:
            self._closed(frame.get_payload_as_bytes())
        else:
            self._part(kind, frame)

    def pause_writing(self) -> None:
        """The connection takes no more for the moment."""
        if self._drained is None:
            self._drained = self._loop.create_future()

    def resume_writing(self) -> None:
        """It takes more."""
        if self._drained is not None:
            self._drained.set_result(None)
            self._drained = None
        if self._pong is not None and self.is_open:
            self._wire.send_pong(self._pong)
        self._pong = None

    def on_ws_disconnected(self, _transport: WSTransport) -> None:
        """Nothing more will come."""
        self.is_open = False
        for timer in (self._pulse, self._drop):
            if timer is not None:
                timer.cancel()
        self._lost.set_result(None)
        self.resume_writing()
        self._end()

    # What the relay calls.

    @property
    def close_code(self) -> int | None:
        """Of the peer's close frame; None before the end."""
        if not self._lost.done():
            return None
        return NO_CLOSE_FRAME if self._left is None else self._left[0]

    @property
    def close_reason(self) -> str | None:
        """Of the peer's close frame; None before the end."""
        if not self._lost.done():
            return None
        return "" if self._left is None else self._left[1]

    def send_now(self, message: bytes, *, text: bool) -> bool:
        """Send one message without waiting; tells whether it was sent."""
        if self._drained is not None or not self.is_open:
            return False
        if len(message) > _SCRATCH:
            self._write_large(_TEXT if text else _BINARY, message)
        else:
            self._wire.send(_TEXT if text else _BINARY, message)
        return True

    async def send(self, message: bytes | str, *, text: bool | None = None) -> None:
        """Send one message, then wait while the connection takes no more.

        Raises:
            ClosedError: The socket is not open, or was closed during the wait.
        """
        if not self.is_open:
            raise ClosedError
        kind = _TEXT if text or isinstance(message, str) else _BINARY
        self._write_large(kind, message.encode() if isinstance(message, str) else message)
        while self._drained is not None:
            await asyncio.shield(self._drained)
            if not self.is_open:
                raise ClosedError

    def _write_large(self, kind: WSMsgType, message: bytes) -> None:
        """Write a message of any size: for a large one picows's `send` would lend the loop its scratch buffer."""
        framed = bytearray(_HEAD)
        framed += message
        self._wire.send_reuse_external_bytearray(kind, framed, _HEAD)

    def ask(self, mark: int) -> None:
        """Ask the peer for a sign that it has got all that was sent so far."""
        if self.is_open:
            self._wire.send_ping(sign(mark))

    def hold(self) -> None:
        """Read no more for the moment: the peer has to wait."""
        if not self._held and self.is_open:
            self._held = True
            self._wire.underlying_transport.pause_reading()

    def release(self) -> None:
        """Read on."""
        if self._held:
            self._held = False
            if not self._wire.underlying_transport.is_closing():
                self._wire.underlying_transport.resume_reading()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close, and wait until the peer has closed too, in a bounded time; then it is dropped."""
        self._leaving = True
        if self.is_open:
            self._say_close(code, reason)
        await asyncio.shield(self._lost)

    def abort(self) -> None:
        """Drop the connection without a word."""
        self._wire.disconnect(graceful=False)

    # Closing.

    def _say_close(self, code: int, reason: str) -> None:
        self.is_open = False
        self._wire.send_close(cast("WSCloseCode", code), reason.encode())  # any number will do
        self.release()  # else the peer's close would not be seen
        self._drop_later()

    def _drop_later(self) -> None:
        if self._drop is None:
            self._drop = self._loop.call_later(self._limits.close_timeout, self.abort)

    def _closed(self, payload: bytes) -> None:
        """The peer has sent a close frame; picows has made sure that its reason is UTF-8."""
        code = int.from_bytes(payload[:2]) if payload else NO_CODE
        if payload and code not in _CODES:
            self._fail(_PROTOCOL_ERROR, "invalid close code")
            return
        self._left = code, payload[2:].decode()
        if self._parts is not None:
            self._fail(_PROTOCOL_ERROR, "incomplete fragmented message")
            return
        if self.is_open and payload:
            self._say_close(code, self._left[1])
        elif self.is_open:  # picows would send a code 0 here
            self.is_open = False
            self._wire.send(WSMsgType.CLOSE, b"")
        self._deaf = True
        self._drop_later()
        if not self._wire.is_client_side:  # a client waits for the server to go first, section 7.1.1
            self._wire.disconnect()

    def _fail(self, code: int, reason: str) -> None:
        """Say why, and listen no more; what the peer still sends is read, else it would not get to see the reason."""
        if self.is_open:
            self._say_close(code, reason)
        self._deaf = True
        self._parts = None
        self._drop_later()
        below = self._wire.underlying_transport
        if not self._wire.is_client_side and below.can_write_eof():
            below.write_eof()

    # Fragments and control frames.

    def _part(self, kind: WSMsgType, frame: WSFrame) -> None:
        if (kind is WSMsgType.CONTINUATION) is (self._parts is None):
            expected = "no continuation" if self._parts is None else "a continuation"
            self._fail(_PROTOCOL_ERROR, f"expected {expected} frame")
            return
        if self._parts is None:
            self._parts, self._size, self._text = [], 0, kind is _TEXT
        self._parts.append(frame.get_payload_as_bytes())
        self._size += len(self._parts[-1])
        if self._size > self._largest:
            self._fail(_TOO_BIG, f"more than {self._largest} bytes")
        elif len(self._parts) > _MOST_PARTS:
            self._fail(_TOO_BIG, "too many fragments")
        elif frame.fin:
            data = b"".join(self._parts)
            self._parts = None
            self._arrived(data, self._text)

    def _answer(self, payload: bytes) -> None:
        """A ping; one who reads nothing gets a pong for the newest only (section 5.5.3)."""
        if self._drained is not None:
            self._pong = payload
        elif self.is_open:
            self._wire.send_pong(payload)

    def _ponged(self, payload: bytes) -> None:
        if is_sign(payload):
            self._answered(payload)
        elif payload == _PULSE:
            self._asked = None

    def _beat(self) -> None:
        """The keepalive: what was asked must be answered in an interval, by a peer that is read, of a relay on time."""
        interval, now = self._limits.ping_interval or 0.0, self._loop.time()
        if self._wire.is_close_frame_sent:  # by picows, for a frame that it refused: whoever does not go is dropped
            self._drop_later()
            return
        if self._asked is None or self._held:
            self._asked = now
            self._wire.send_ping(_PULSE)
        left = interval - (now - self._asked) + self._limits.late(now - self._asked)
        if left > 0:
            self._pulse = self._loop.call_later(left, self._beat)
        else:
            self._fail(_INTERNAL, "keepalive ping timeout")

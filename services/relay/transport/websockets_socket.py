"""A connection of `websockets`, met below its queue.

The library queues what comes, wakes a task for it, and sends in a coroutine. Here messages are taken from the bytes as
they come, and written where it would write; handshakes, limits, pings, closes and fragments stay its own.
"""

import asyncio
import os
import sys
from contextlib import suppress
from typing import Any, Final

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.connection import Connection
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import Side, State

from services.common.lateness import Late, patience
from services.relay import sockets
from services.relay.transport.delivery import Delivery, is_sign, sign
from services.relay.transport.framing import Masking, frame
from services.relay.transport.reader import FrameReader, between

_DATA: Final = frozenset({Opcode.TEXT, Opcode.BINARY, Opcode.CONT})
_MASKING: Final = Masking()
"""Of all connections to Gemini, so that none keeps masks of its own."""
_MOST_PARTS: Final = 1024
"""Fragments of one message; a bound for messages that are cut into nothing."""
_MOST_PINGS: Final = 1024
"""Of a peer that reads nothing: the library writes a pong for each, whether it is taken or not."""


class Straight(Delivery, Connection):
    """A connection that gives its messages away as they come; `recv` is not used with it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - whatever websockets gives
        super().__init__(*args, **kwargs)
        self._parts: list[bytes] = []
        self._text = False
        self._held = False
        self._framed = _MASKING.frame if self.protocol.side is Side.CLIENT else frame
        largest = self.protocol.max_message_size
        self._reader = FrameReader(
            masked=self.protocol.side is Side.SERVER, largest=sys.maxsize if largest is None else largest
        )
        self._between = between(self.protocol)
        self._drop: asyncio.TimerHandle | None = None
        self._pings = 0  # that came while the peer read nothing

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent."""
        return self.protocol.state is State.OPEN

    def process_event(self, event: Frame | Request | Response) -> None:
        """Take data here, leave everything else to the library."""
        if isinstance(event, Frame) and event.opcode in _DATA:
            self._frame(event)
        elif isinstance(event, Frame) and event.opcode is Opcode.PONG and is_sign(bytes(event.data)):
            self._answered(bytes(event.data))
        elif isinstance(event, Frame) and event.opcode is Opcode.PING:
            self._bound_pings()
        else:
            super().process_event(event)

    def data_received(self, data: bytes) -> None:
        """Take what comes; a peer that has closed, or that is closed for what it sent, and does not go is dropped."""
        if self._between:
            if self.protocol.state is State.OPEN:
                data = self._reader.read(data, self._arrived)
                if not data:
                    return
            else:
                data = self._reader.let_go() + data
        super().data_received(data)
        self._between = between(self.protocol)
        if self.protocol.state is State.CLOSING and self._drop is None:
            self.release()  # a message before the close may have had it held; the peer's end has to be seen
            self._drop = self.loop.call_later(self.close_timeout or 0, self.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more will come."""
        super().connection_lost(exc)
        if self._drop is not None:
            self._drop.cancel()
        self.protocol.parser.close()  # it and the protocol hold each other, for the garbage collector to find
        self._end()

    def send_now(self, message: bytes, *, text: bool) -> bool:
        """Send one message without waiting; tells whether it was sent."""
        if self.paused or self.protocol.state is not State.OPEN:
            return False
        self.transport.write(self._framed(message, text=text))
        return True

    async def send(self, message: Any, *, text: bool | None = None) -> None:  # noqa: ANN401 - as in the library
        """Send one message, then wait while the connection takes no more.

        Raises:
            ClosedError: The socket is not open, or was closed during the wait.
        """
        try:
            await super().send(message, text=text)
        except ConnectionClosed as error:
            raise sockets.ClosedError from error
        if self.protocol.state is State.CLOSED:
            raise sockets.ClosedError

    async def close(self, code: CloseCode | int = CloseCode.NORMAL_CLOSURE, reason: str = "") -> None:
        """Close, in a bounded time; a peer whose socket takes nothing more, not even the close frame, is dropped.

        The library bounds how long it waits for the peer's close, not how long it takes to send its own.
        """
        self._leaving = True
        self.release()  # else the peer's close would not be seen
        with suppress(TimeoutError):
            async with asyncio.timeout(self.close_timeout):
                return await super().close(code, reason)
        self.transport.abort()
        return await self.wait_closed()

    def abort(self) -> None:
        """Drop the connection without a word."""
        self.transport.abort()

    def ask(self, mark: int) -> None:
        """Ask the peer for a sign that it has got all that was sent so far."""
        if self.protocol.state is State.OPEN:
            self.protocol.send_ping(sign(mark))
            self.send_data()

    def hold(self) -> None:
        """Read no more for the moment: the peer has to wait."""
        if not self._held and self.state is State.OPEN:
            self._held = True
            self.transport.pause_reading()

    def release(self) -> None:
        """Read on."""
        if self._held:
            self._held = False
            if not self.transport.is_closing():
                self.transport.resume_reading()

    def _frame(self, frame: Frame) -> None:
        data = frame.data if type(frame.data) is bytes else bytes(frame.data)
        if frame.opcode is not Opcode.CONT:
            self._text = frame.opcode is Opcode.TEXT
        if self._parts or not frame.fin:
            self._parts.append(data)
            if not frame.fin:
                self._bound_parts()
                return
            data = b"".join(self._parts)
            self._parts.clear()
        self._arrived(data, self._text)

    def _bound_pings(self) -> None:
        self._pings = self._pings + 1 if self.paused else 0
        if self._pings > _MOST_PINGS:
            self.transport.abort()

    def _bound_parts(self) -> None:
        if len(self._parts) > _MOST_PARTS:
            self._parts.clear()
            self.protocol.fail(CloseCode.MESSAGE_TOO_BIG, "too many fragments")
            self.send_data()


class ClientSocket(Straight, ServerConnection):
    """A socket that a client has opened.

    Args:
        late: How late this process is.
    """

    def __init__(self, *args: Any, late: Late, **kwargs: Any) -> None:  # noqa: ANN401 - whatever websockets gives
        super().__init__(*args, **kwargs)
        self._late = late

    async def keepalive(self) -> None:
        """Ping for ever; a client that does not answer is closed. Safe to cancel.

        The library's own would drop every client of a process that was paused: it looks at the time before it looks at
        the socket. And it would wait for ever until a client that reads nothing takes the ping.
        """
        while True:
            await asyncio.sleep(self.ping_interval or 0)
            if self.protocol.state is not State.OPEN:
                return
            pong = self._pinged()
            while not pong.done():
                with suppress(TimeoutError):
                    async with patience(self.ping_timeout or 0, self._late):
                        await asyncio.shield(pong)
                if not (pong.done() or self._held):
                    self.protocol.fail(CloseCode.INTERNAL_ERROR, "keepalive ping timeout")
                    self.send_data()
                    self.loop.call_later(self.close_timeout or 0, self.abort)
                    return

    def _pinged(self) -> asyncio.Future[float]:
        """Ask for a pong; gives what waits for it."""
        mark, pong = os.urandom(4), self.loop.create_future()
        self.pending_pings[mark] = pong, self.loop.time()
        self.protocol.send_ping(mark)
        self.send_data()
        return pong

    @property
    def target(self) -> str:
        """Path and query that it asked for."""
        return self.request.path if self.request else ""

    @property
    def offered(self) -> tuple[str, ...]:
        """The subprotocols that it offered."""
        offers = self.request.headers.get_all("Sec-WebSocket-Protocol") if self.request else []
        return tuple(part.strip() for part in ",".join(offers).split(","))


class UpstreamSocket(Straight, ClientConnection):
    """A socket that the relay has opened."""

"""The relay's WebSockets: a message goes to whoever takes it in the moment it comes, and leaves the moment it is sent.

`websockets` queues what comes, wakes a task for it, and sends in a coroutine. A conversation is a hundred messages of
audio a second, and each of these steps costs more than the message. So these two classes, one for each side, give every
message to a function, and can send without waiting; what has no such hurry uses the connection as it always is.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.connection import Connection
from websockets.asyncio.server import ServerConnection
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State

Take = Callable[[bytes, bool], bool]
"""Takes one message and whether it is text; returns whether it was the last that is wanted."""

_DATA: Final = frozenset({Opcode.TEXT, Opcode.BINARY, Opcode.CONT})
_MOST_EARLY: Final = 16
"""Messages that wait for somebody to take them, before no more are read."""
_MOST_PARTS: Final = 1024
"""Fragments of one message; a bound for messages that are cut into nothing."""
_SIGN: Final = b"filo"
"""How the pings begin that ask for a sign, so that their pongs are told from those of the library's own."""


class Straight(Connection):
    """A connection that gives its messages away as they come; `recv` is not used with it.

    Attributes:
        got: Told the mark of an `ask` that the peer has answered, whatever the peer says the mark was.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - whatever websockets gives
        super().__init__(*args, **kwargs)
        self.got: Callable[[int], None] | None = None
        self._take: Take | None = None
        self._over: asyncio.Future[None] | None = None
        self._early: deque[tuple[bytes, bool]] = deque()
        self._parts: list[bytes] = []
        self._text = False
        self._held = False

    def process_event(self, event: Frame | Request | Response) -> None:
        """Take data here, leave everything else to the library."""
        if isinstance(event, Frame) and event.opcode in _DATA:
            self._frame(event)
        elif isinstance(event, Frame) and event.opcode is Opcode.PONG and bytes(event.data).startswith(_SIGN):
            self._answered(bytes(event.data))
        else:
            super().process_event(event)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more will come."""
        super().connection_lost(exc)
        if self._over is not None and not self._over.done():
            self._over.set_result(None)

    async def deliver(self, take: Take) -> None:
        """Give every message to `take`, in order, until it has had the last it wants, or the connection has ended.

        What comes after the last waits for the next `deliver`. Cancelling is safe.

        Raises:
            Exception: Whatever `take` raised; nothing is given to it afterwards.
        """
        self._over = asyncio.get_running_loop().create_future()
        self._take = take
        try:
            while self._early and not self._over.done():
                self._give(*self._early.popleft())
            if len(self._early) < _MOST_EARLY:
                self.release()
            if self.state is not State.CLOSED:
                await self._over
            elif self._over.done():
                self._over.result()
        finally:
            self._take = self._over = None

    def send_now(self, message: bytes, *, text: bool) -> bool:
        """Send one message without waiting.

        Returns:
            Whether it was sent; false when the connection takes no more for the moment, or is not open.
        """
        if self.paused or self.protocol.state is not State.OPEN:
            return False
        if text:
            self.protocol.send_text(message)
        else:
            self.protocol.send_binary(message)
        self.send_data()
        return True

    async def close(self, code: CloseCode | int = CloseCode.NORMAL_CLOSURE, reason: str = "") -> None:
        """Close, in a bounded time; a peer whose socket takes nothing more, not even the close frame, is dropped.

        The library bounds how long it waits for the peer's close, not how long it takes to send its own.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(self.close_timeout):
                return await super().close(code, reason)
        self.transport.abort()
        return await self.wait_closed()

    def ask(self, mark: int) -> None:
        """Ask the peer for a sign that it has got all that was sent so far; `got` is told the mark when it comes.

        It is a ping: its pong comes after everything before it was taken in (RFC 6455, section 5.5.2).
        """
        if self.protocol.state is State.OPEN:
            self.protocol.send_ping(_SIGN + mark.to_bytes(8))
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

    def _answered(self, pong: bytes) -> None:
        if self.got is not None:
            self.got(int.from_bytes(pong[len(_SIGN) :]))

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
        if self._take is not None:
            self._give(data, self._text)
            return
        self._early.append((data, self._text))
        if len(self._early) >= _MOST_EARLY:
            self.hold()

    def _give(self, data: bytes, text: bool) -> None:  # noqa: FBT001 - as in the frame
        if self._take is None or self._over is None or self._over.done():
            return
        try:
            last = self._take(data, text)
        except Exception as error:  # noqa: BLE001 - handed on to whoever waits in `deliver`
            self._over.set_exception(error)
        else:
            if last:
                self._take = None
                self._over.set_result(None)

    def _bound_parts(self) -> None:
        if len(self._parts) > _MOST_PARTS:
            self._parts.clear()
            self.protocol.fail(CloseCode.MESSAGE_TOO_BIG, "too many fragments")
            self.send_data()


class ClientSocket(ServerConnection, Straight):
    """A socket that a client has opened."""


class UpstreamSocket(ClientConnection, Straight):
    """A socket that the relay has opened."""

"""One WebSocket connection: reads, sends on time, closes. It decides nothing; `session` does.

The reader hands frames to the session as they come; the writer sends what the session wants said, and waits for the
session's next due time or for the reader, whichever comes first.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final

import structlog
from aiohttp import WebSocketError, WSCloseCode, WSMsgType, web

from services.common import logs
from services.common.clock import Clock
from services.emulator import closes, replies
from services.emulator.account import Account
from services.emulator.closes import Close
from services.emulator.config import Settings
from services.emulator.effects import Action, Cut, End, Send, SlowPongs, Stall
from services.emulator.session import Session

SEND_TIMEOUT: Final = 30.0
"""How long a client may let a message wait in its socket before the connection is dropped, in seconds."""
PINGS: Final = 64
"""How many pings of a connection may wait for their pongs; what comes beyond is not answered."""
STOP_PATIENCE: Final = 0.1
"""How long a close may take when the server stops, in seconds."""
TICK: Final = 0.001
"""The shortest wait, in seconds: uvloop's timers count milliseconds, and one that is too early would spin."""
_NO_STATUS: Final = 1005  # RFC 6455, section 7.1.5: a close frame without a code

_log = logs.get("emulator")


class Socket(web.WebSocketResponse):
    """A WebSocket that gives a reason even where aiohttp itself finds that a frame is broken."""

    async def close(self, *, code: int = WSCloseCode.OK, message: bytes = b"", drain: bool = True) -> bool:
        """Close, and wait for the client's half; whether it was open."""
        if not message and code in closes.BROKEN:
            message = closes.BROKEN[code].wire_reason
        return await super().close(code=code, message=message, drain=drain)


class Connection:
    """Drives one session.

    Attributes:
        done: Set when it is over and accounted for.

    Args:
        name: Its id.
        request: The upgrade.
        socket: The WebSocket, prepared.
        session: What decides.
        account: Told of every fact.
        clock: The time.
        settings: How late pings and the client's close are answered.
    """

    def __init__(
        self,
        name: str,
        request: web.Request,
        socket: Socket,
        session: Session,
        account: Account,
        clock: Clock,
        settings: Settings,
    ) -> None:
        self.done = asyncio.Event()
        self._name = name
        self._request = request
        self._socket = socket
        self._session = session
        self._account = account
        self._clock = clock
        self._wake = asyncio.Event()
        self._todo: deque[Action] = deque()
        self._pings: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(PINGS)
        self._settings = settings
        self._pong_delay = settings.pong_delay
        self._close: Close | None = None
        self._patience: float | None = None
        self._log: structlog.stdlib.BoundLogger = _log.bind(connection=name)

    def stop(self, close: Close) -> None:
        """Close the connection because the server stops: aiohttp does not read the client's half any more."""
        self._patience = STOP_PATIENCE
        self._decide(lambda _: self._session.end(close))
        self._wake.set()

    async def run(self) -> None:
        """Serve until the socket is closed. Cancelling closes the account of it, not the socket."""
        self._account.opened(self._name, self._clock.now().timestamp())
        self._log.info("opened")
        try:
            await self._serve()
            if self._close is not None:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._patience):
                        await self._socket.close(code=self._close.code, message=self._close.wire_reason)
        finally:
            self._session.disconnected(self._clock.monotonic())
            close = self._close or Close(_code(self._socket.close_code), "")
            self._account.closed(self._name, close)
            self._log.info("closed", code=close.code, reason=close.reason)
            self.done.set()

    async def _serve(self) -> None:
        """Read and write until one side ends it. Nobody reads afterwards, so that the close can wait for its answer."""
        async with asyncio.TaskGroup() as tasks:
            reader, writer, ponger = (tasks.create_task(work) for work in (self._read(), self._write(), self._pong()))
            await asyncio.wait((reader, writer), return_when=asyncio.FIRST_COMPLETED)
            if reader.done():
                await self._acknowledge(self._settings.close_delay)
            for task in (reader, writer, ponger):
                task.cancel()

    async def _read(self) -> None:
        async for message in self._socket:
            if message.type in {WSMsgType.TEXT, WSMsgType.BINARY}:
                self._decide(partial(self._session.receive, message.data))
                self._wake.set()
            elif isinstance(message.data, WebSocketError):
                self._close = closes.BROKEN.get(message.data.code, closes.INTERNAL)
            elif message.type is WSMsgType.PING:
                with suppress(asyncio.QueueFull):
                    self._pings.put_nowait((self._clock.monotonic() + self._pong_delay, message.data))

    async def _pong(self) -> None:
        """Answer pings, in order; a stall holds up no pong, and slow pongs hold up nothing else."""
        with suppress(ConnectionError):  # the reader sees it as well
            while True:
                due, data = await self._pings.get()
                await self._clock.sleep(due - self._clock.monotonic())
                await self._socket.pong(data)

    async def _acknowledge(self, delay: float) -> None:
        """Answer the client's close, if it was the client that closed."""
        if not self._socket.closed:
            await self._clock.sleep(delay)
            self._session.disconnected(self._clock.monotonic())  # a client that is told may resume in the same moment
            await self._socket.close(drain=False)

    async def _write(self) -> None:
        try:
            while self._close is None:
                self._wake.clear()
                self._decide(self._session.advance)
                await self._perform()
                await self._pause()
        except ConnectionError:
            pass  # the reader sees it as well, and ends the connection
        except TimeoutError:
            self._log.warning("the client does not read")
            self._abort()

    def _decide(self, decide: Callable[[float], None]) -> None:
        """Let the session decide. Facts are noted at once, the rest waits for the writer."""
        try:
            decide(self._clock.monotonic())
        except Exception:  # noqa: BLE001 - a client gets a close with a code and a reason, whatever it sends
            self._log.exception("the session failed")
            self._session.end(closes.INTERNAL)
        for effect in self._session.effects():
            if isinstance(effect, Action):
                self._todo.append(effect)
            else:
                self._account.note(self._name, effect)

    async def _perform(self) -> None:
        """Do what is to be done, in order; each message may wait for the client to read."""
        while self._todo and self._close is None:
            match self._todo.popleft():
                case Send(message):
                    async with asyncio.timeout(SEND_TIMEOUT):
                        await self._socket.send_bytes(replies.encode(message))
                case End(close):
                    self._close = close
                case Cut():
                    self._abort()
                case SlowPongs(seconds):
                    self._pong_delay = seconds
                case Stall(seconds):
                    self._log.info("stalled", seconds=seconds)
                    await (asyncio.Event().wait() if seconds is None else self._clock.sleep(seconds))

    def _abort(self) -> None:
        """Cut the TCP connection, without a close frame."""
        if self._request.transport is not None:
            self._request.transport.abort()

    async def _pause(self) -> None:
        """Wait until the session is due or something arrived."""
        due = self._session.due
        if due is None:
            if not self._wake.is_set() and self._close is None:
                await self._wake.wait()
            return
        sleeper = asyncio.ensure_future(self._clock.sleep(max(TICK, due - self._clock.monotonic())))
        sleeper.add_done_callback(self._rested)
        try:
            await self._wake.wait()
        finally:
            sleeper.cancel()

    def _rested(self, sleeper: asyncio.Future[None]) -> None:
        if not sleeper.cancelled():  # one that was cancelled must not wake the next
            self._wake.set()


def _code(told: int | None) -> int:
    """The code with which a client has closed: 1005 where its frame held none, 1006 where there was no frame."""
    return WSCloseCode.ABNORMAL_CLOSURE if told is None else told or _NO_STATUS

"""The WebSocket side: upgrades, reads, sends on time, closes. It decides nothing; `session` does.

Each connection has one reader and one writer. The reader hands frames to the session as they come; the writer sends
what the session wants said, and waits for the session's next due time or for the reader, whichever comes first.
"""

import asyncio
import random
import secrets
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Final

import structlog
from aiohttp import WSCloseCode, WSMsgType, web

from services.common import logs
from services.common.clock import Clock
from services.emulator import closes, credentials, replies, rest
from services.emulator.account import Account
from services.emulator.admission import Caller
from services.emulator.brain import Brain
from services.emulator.closes import Close
from services.emulator.config import Settings
from services.emulator.effects import Action, Cut, End, Send, SlowPongs, Stall
from services.emulator.faults import Plan
from services.emulator.handles import HandleStore
from services.emulator.profiles import Backend
from services.emulator.session import Session, Shared

_DEVELOPER: Final = r"/{_:/*}ws/google.ai.generativelanguage.{version:v1|v1beta|v1alpha}.GenerativeService."
PATHS: Final[Mapping[str, Backend]] = {
    _DEVELOPER + "BidiGenerateContent": Backend.DEVELOPER,
    _DEVELOPER + "BidiGenerateContentConstrained": Backend.DEVELOPER,  # ephemeral tokens
    r"/{_:/*}ws/google.cloud.aiplatform.{version:v1|v1beta1}.LlmBidiService/BidiGenerateContent": Backend.VERTEX,
}
"""Where clients connect. A slash at the end of a client's base URL doubles the first one: both are the same place."""
_NO_STATUS: Final = 1005  # RFC 6455, section 7.1.5: a close frame without a code
MAX_MESSAGE: Final = 16 * 2**20
CLOSE_TIMEOUT: Final = 5.0
"""How long the server waits for the client's half of the closing handshake, in seconds."""
SEND_TIMEOUT: Final = 30.0
"""How long a client may let a message wait in its socket before the connection is dropped, in seconds."""
PINGS: Final = 64
"""How many pings of a connection may wait for their pongs; what comes beyond is not answered."""
TICK: Final = 0.001
"""The shortest wait, in seconds: uvloop's timers count milliseconds, and one that is too early would spin."""
SHUTDOWN_TIMEOUT: Final = 1.0
"""The same when the server stops: whoever stops it does not want to wait."""

_log = logs.get("emulator")


class Emulator:
    """All connections of one emulator, and what they share.

    Args:
        settings: How it behaves.
        clock: The time.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.account = Account()
        self.faults = Plan(settings.faults, settings.seed)
        self._clock = clock
        self._seed = settings.seed
        handles = HandleStore(
            settings.handle_lifetime,
            lambda: secrets.token_urlsafe(32),
            refuse_while_open=settings.refuse_resume_while_open,
        )
        self._shared = Shared(settings, Brain(settings.seed), handles, self.faults)
        self._connections = 0
        self._open: set[_Connection] = set()

    def application(self) -> web.Application:
        """The web application; when it shuts down, every connection is closed with 1001."""
        application = web.Application(client_max_size=rest.MAX_BODY)
        for path, backend in PATHS.items():
            application.router.add_get(path, partial(self._connect, backend))
        rest.add_routes(application, self._shared.settings, self._shared.brain)
        application.on_shutdown.append(self._shut_down)
        return application

    async def _connect(self, backend: Backend, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(
            max_msg_size=MAX_MESSAGE, timeout=CLOSE_TIMEOUT, compress=False, autoping=False, autoclose=False
        )
        await socket.prepare(request)
        self._connections += 1
        caller = Caller(
            f"c{self._connections}",
            credentials.key(request),
            request.match_info["version"],
            backend,
        )
        chance = random.Random(f"{self._seed}/{caller.connection}")  # noqa: S311 - jitter that can be repeated
        session = Session(self._shared, caller, chance, self._clock.monotonic())
        connection = _Connection(
            caller.connection, request, socket, session, self.account, self._clock, self._shared.settings.pong_delay
        )
        self._open.add(connection)
        try:
            await connection.run(self._shared.settings.close_delay)
        finally:
            self._open.discard(connection)
        return socket

    async def _shut_down(self, _: web.Application) -> None:
        connections = tuple(self._open)
        for connection in connections:
            connection.end(closes.SHUTDOWN)
        with suppress(TimeoutError):
            async with asyncio.timeout(SHUTDOWN_TIMEOUT):
                for connection in connections:
                    await connection.done.wait()


class _Connection:
    """Drives one session."""

    def __init__(
        self,
        name: str,
        request: web.Request,
        socket: web.WebSocketResponse,
        session: Session,
        account: Account,
        clock: Clock,
        pong_delay: float,
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
        self._pong_delay = pong_delay
        self._close: Close | None = None
        self._log: structlog.stdlib.BoundLogger = _log.bind(connection=name)

    def end(self, close: Close) -> None:
        """Close the connection from the server's side."""
        self._decide(lambda _: self._session.end(close))
        self._wake.set()

    async def run(self, close_delay: float) -> None:
        """Serve until the socket is closed. Cancelling closes the account of it, not the socket.

        Args:
            close_delay: Seconds from the client's close to its acknowledgement; what is to be said is said meanwhile.
        """
        self._account.opened(self._name, self._clock.now().timestamp())
        self._log.info("opened")
        try:
            async with asyncio.TaskGroup() as tasks:
                writer = tasks.create_task(self._write())
                ponger = tasks.create_task(self._pong())
                await self._read()
                await self._acknowledge(close_delay)
                ponger.cancel()
                if self._close is None:
                    writer.cancel()
        finally:
            self._session.disconnected(self._clock.monotonic())
            close = self._close or Close(_code(self._socket.close_code), "")
            self._account.closed(self._name, close)
            self._log.info("closed", code=close.code, reason=close.reason)
            self.done.set()

    async def _read(self) -> None:
        async for message in self._socket:
            if message.type in {WSMsgType.TEXT, WSMsgType.BINARY}:
                self._decide(partial(self._session.receive, message.data))
                self._wake.set()
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
            await self._socket.close(drain=False)

    async def _write(self) -> None:
        try:
            while self._close is None:
                self._wake.clear()
                self._decide(self._session.advance)
                await self._perform()
                await self._pause()
            await self._socket.close(code=self._close.code, message=self._close.wire_reason)
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

"""One WebSocket to Gemini: dialled, set up, read to its end, closed in a bounded time."""

import asyncio
import ssl
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Protocol

from services.common.lateness import Late, forgivable, patience
from services.relay.core.model import START
from services.relay.sockets import NO_CLOSE_FRAME, ClosedError, DialError, Dialling, Socket, Take, Transport
from services.relay.upstream import wire
from services.relay.upstream.backend import Backend, CredentialsError
from services.relay.upstream.gate import Gate, Purpose, Ticket

_LARGEST_MESSAGE: Final = 16 * 1024 * 1024
_SEND_BUFFER: Final = 64 * 1024
"""Bytes that the kernel takes for an upstream that does not read: a second of audio or two. Left to itself it takes
megabytes, minutes that nobody can call back and that a tool's result would have to wait behind."""
_RECEIVE_BUFFER: Final = 64 * 1024
"""Bytes that the kernel takes of Gemini before they are read: a second of its voice, and what Linux begins with. It
would let that grow with every burst, and what one read brings is what a TLS connection keeps room for to its end."""
_POLICY_VIOLATION: Final = 1008
_UNAUTHORIZED: Final = (401, 403)
_SHARED_TROUBLE: Final = frozenset({NO_CLOSE_FRAME, 1011, 1012, 1013})
_WORDLESS: Final = (TimeoutError, ConnectionResetError, ConnectionAbortedError)
"""How a dial fails on which the other side gave up, or this one: without a word about the reason."""


@dataclass(eq=False)  # not frozen: whoever passes an exception on sets its traceback
class UpstreamLostError(Exception):
    """The connection could not be made, or ended before its setup was complete.

    Args:
        code: The close code.
        reason: Why.
        wordless: Time ran out, or it was cut: it may be either side's fault.
        late: It was this process's, which was late.
    """

    code: int
    reason: str
    wordless: bool = False
    late: bool = False


class Dialled(Protocol):
    """Told of each dial."""

    def __call__(self, code: int | None, seconds: float, /, *, late: bool) -> None:
        """Note it.

        Args:
            code: The close code; None when the setup was completed.
            seconds: What it took, without the wait for its turn.
            late: It failed because this process was late.
        """


def _nobody(_code: int | None, _seconds: float, *, late: bool) -> None:
    """Nobody wants to know."""


class Dialler:
    """Makes upstream connections; one TLS context for all of them.

    Args:
        url: The base URL, ``wss://host``.
        backend: Whose API it is.
        ca: A PEM file to trust besides the system's.
        connect_timeout: Seconds for one dial, setup and content included; with a standby, for each of the two. What
            this process is late is not counted.
        close_timeout: Seconds in which a close must be acknowledged.
        gate: Every dial of the relay passes it.
        transport: Carries the connections.
        counted: Told of each dial.
        late: How late this process is.
    """

    def __init__(  # noqa: PLR0913 - what it works with
        self,
        url: str,
        backend: Backend,
        ca: Path | None,
        *,
        connect_timeout: float,
        close_timeout: float,
        gate: Gate,
        transport: Transport,
        counted: Dialled = _nobody,
        late: Late = lambda _: 0.0,
    ) -> None:
        self._gate = gate
        self._late = late
        self._transport = transport
        self._counted = counted
        self._url = url + backend.path
        self._backend = backend
        self._connect_timeout = connect_timeout
        self._close_timeout = close_timeout
        self._tls = ssl.create_default_context() if url.startswith("wss://") else None
        if self._tls is not None and ca is not None:
            self._tls.load_verify_locations(ca)

    @property
    def transparent(self) -> bool:
        """Whether handles tell what they hold of the client's messages."""
        return self._backend.transparent

    @property
    def compression(self) -> bool:
        """Whether sessions let Gemini compress their context."""
        return self._backend.compression

    async def connect(self, ticket: Ticket) -> "Upstream":
        """Wait at the gate and connect; no setup is sent, so the connection holds no session yet.

        Cancelling is safe: the connection is dropped.

        Args:
            ticket: Its place in the queue.

        Raises:
            UpstreamLostError: It could not be made.
        """
        async with self._gate.passage(ticket):
            return await self._attempt(self._connect())

    async def dial(
        self, setup: bytes, standby: "Upstream | None" = None, content: bytes = b"", wanted_by: float = 0.0
    ) -> "Upstream":
        """Wait at the gate, connect, send the setup, wait until it is complete, send what the session has to know.

        Cancelling is safe: the connection is dropped.

        Args:
            setup: The first message.
            standby: From `connect`: takes the place of a connection of its own.
            content: The second message; none if it is empty.
            wanted_by: Its place in the queue, monotonic seconds.

        Raises:
            UpstreamLostError: It could not be made, or Gemini closed it.
        """
        if standby is not None:
            return await self._whole(_set_up(standby, setup, content))
        async with self._gate.passage(Ticket(wanted_by, Purpose.OPEN)) as made:
            return await self._whole(self._connect_and_set_up(setup, content, made))

    async def _whole(self, work: Coroutine[Any, Any, "Upstream"]) -> "Upstream":
        """Bound it in time, and count it."""
        began = asyncio.get_running_loop().time()
        try:
            upstream = await self._attempt(work)
        except UpstreamLostError as error:
            self._counted(error.code, asyncio.get_running_loop().time() - began, late=error.late)
            raise
        self._counted(None, asyncio.get_running_loop().time() - began, late=False)
        self._gate.dialled(reached=True)
        return upstream

    async def _attempt(self, work: Coroutine[Any, Any, "Upstream"]) -> "Upstream":
        """Bound it in time, tell every way to fail in the same words, and let the gate know of Gemini's failures."""
        began = asyncio.get_running_loop().time()
        try:
            return await self._bounded(work)
        except UpstreamLostError as error:
            lasted = asyncio.get_running_loop().time() - began
            if error.wordless and forgivable(lasted, self._late(lasted)):
                raise replace(error, late=True) from error
            self._gate.dialled(reached=not overloaded(error.code, error.reason))
            raise

    async def _bounded(self, work: Coroutine[Any, Any, "Upstream"]) -> "Upstream":
        try:
            async with patience(self._connect_timeout, self._late):
                return await work
        except DialError as error:
            raise _refused(error) from error
        except CredentialsError as error:
            raise UpstreamLostError(_POLICY_VIOLATION, f"unregistered callers: {error}") from error
        except (OSError, TimeoutError) as error:
            why = f"cannot connect: {str(error) or type(error).__name__}"
            raise UpstreamLostError(NO_CLOSE_FRAME, why, wordless=isinstance(error, _WORDLESS)) from error

    async def _connect_and_set_up(self, setup: bytes, content: bytes, made: Callable[[], None]) -> "Upstream":
        upstream = await self._connect()
        made()
        return await _set_up(upstream, setup, content)

    async def _connect(self) -> "Upstream":
        headers = await self._backend.headers()
        how = Dialling(
            headers,
            self._tls,
            largest=_LARGEST_MESSAGE,
            send_buffer=_SEND_BUFFER,
            receive_buffer=_RECEIVE_BUFFER,
            close_timeout=self._close_timeout,
        )
        return Upstream(await self._transport.dial(self._url, how))


def overloaded(code: int, reason: str) -> bool:
    """Whether a dial failed for a reason that all conversations share: Gemini is not there, or has too much to do."""
    return code in _SHARED_TROUBLE or "quota" in reason.lower() or "resource_exhausted" in reason.lower()


def _refused(error: DialError) -> UpstreamLostError:
    if error.status in _UNAUTHORIZED:
        return UpstreamLostError(_POLICY_VIOLATION, f"unregistered callers (HTTP {error.status})")
    why = str(error) if error.status is None else f"HTTP {error.status}"
    return UpstreamLostError(NO_CLOSE_FRAME, f"cannot connect: {why}")


async def _set_up(upstream: "Upstream", setup: bytes, content: bytes) -> "Upstream":
    complete = False

    def take(frame: bytes, _text: bool) -> bool:  # noqa: FBT001 - as a socket gives it
        nonlocal complete
        complete = any(isinstance(item, wire.SetupComplete) for item in wire.Reader().read(frame, START))
        return complete

    try:
        await upstream.send(setup)
        await upstream.deliver(take)
        if complete and content:
            await upstream.send(content)
    except BaseException:
        upstream.abort()
        raise
    if not complete:
        code, reason = upstream.closed
        raise UpstreamLostError(code, reason, wordless=code == NO_CLOSE_FRAME)
    return upstream


class Upstream:
    """One connection; its setup is complete, unless it is a standby.

    Args:
        socket: The WebSocket.
    """

    def __init__(self, socket: Socket) -> None:
        self._socket = socket

    async def send(self, message: bytes) -> None:
        """Send one message as a text frame; what is sent into a closed connection is gone, `deliver` tells of the end.

        Waits while the connection takes no more.
        """
        try:
            await self._socket.send(message, text=True)
        except ClosedError:
            return

    def send_now(self, message: bytes) -> bool:
        """Send one message at once; false where that would have to wait, or is of no use any more."""
        return self._socket.send_now(message, text=True)

    async def deliver(self, take: Take) -> None:
        """Give every message to `take` until it has had the last it wants, or the connection ends, however it ends.

        Raises:
            Exception: Whatever `take` raised.
        """
        await self._socket.deliver(take)

    @property
    def is_open(self) -> bool:
        """Whether it can still be used, as far as is known here."""
        return self._socket.is_open

    @property
    def closed(self) -> tuple[int, str]:
        """Code and reason of the end; 1006 while it is open or after a cut."""
        return self._socket.close_code or NO_CLOSE_FRAME, self._socket.close_reason or ""

    async def close(self) -> None:
        """Close and wait, bounded, until Gemini has closed too; what comes meanwhile is delivered. Safe to cancel."""
        await self._socket.close()

    def abort(self) -> None:
        """Drop the connection without a word."""
        self._socket.abort()

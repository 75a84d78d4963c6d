"""One WebSocket to Gemini: dialled, set up, read to its end, closed in a bounded time."""

import asyncio
import ssl
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from services.relay.core.model import START
from services.relay.sockets import NO_CLOSE_FRAME, ClosedError, DialError, Dialling, Socket, Transport
from services.relay.upstream import wire
from services.relay.upstream.backend import Backend, CredentialsError
from services.relay.upstream.breaker import Gate

_LARGEST_MESSAGE: Final = 16 * 1024 * 1024
_SEND_BUFFER: Final = 64 * 1024
"""Bytes that the kernel takes for an upstream that does not read: a second of audio or two. Left to itself it takes
megabytes, minutes that nobody can call back and that a tool's result would have to wait behind."""
_POLICY_VIOLATION: Final = 1008
_UNAUTHORIZED: Final = (401, 403)
_SHARED_TROUBLE: Final = frozenset({NO_CLOSE_FRAME, 1011, 1012, 1013})


@dataclass(frozen=True, slots=True)
class UpstreamLostError(Exception):
    """The connection could not be made, or ended before its setup was complete."""

    code: int
    reason: str


class Dialler:
    """Makes upstream connections; one TLS context for all of them.

    Args:
        url: The base URL, ``wss://host``.
        backend: Whose API it is.
        ca: A PEM file to trust besides the system's.
        connect_timeout: Seconds for one dial, setup and content included; with a standby, for each of the two.
        close_timeout: Seconds in which a close must be acknowledged.
        gate: Every dial of the relay passes it.
        transport: Carries the connections.
        counted: Told of each dial: its close code, None when it was completed, and the seconds that it took.
    """

    def __init__(
        self,
        url: str,
        backend: Backend,
        ca: Path | None,
        *,
        connect_timeout: float,
        close_timeout: float,
        gate: Gate,
        transport: Transport,
        counted: Callable[[int | None, float], None] = lambda _code, _seconds: None,
    ) -> None:
        self._gate = gate
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

    async def connect(self) -> "Upstream":
        """Wait for the gate and connect; no setup is sent, so the connection holds no session yet.

        Cancelling is safe: the connection is dropped.

        Raises:
            UpstreamLostError: It could not be made.
        """
        await self._gate.passage()
        return await self._attempt(self._connect())

    async def dial(self, setup: bytes, standby: "Upstream | None" = None, content: bytes = b"") -> "Upstream":
        """Wait for the gate, connect, send the setup, wait until it is complete, send what the session has to know.

        Cancelling is safe: the connection is dropped.

        Args:
            setup: The first message.
            standby: From `connect`: takes the place of a connection of its own.
            content: The second message; none if it is empty.

        Raises:
            UpstreamLostError: It could not be made, or Gemini closed it.
        """
        if standby is None:
            await self._gate.passage()
        began = asyncio.get_running_loop().time()
        work = self._connect_and_set_up(setup, content) if standby is None else _set_up(standby, setup, content)
        try:
            upstream = await self._attempt(work)
        except UpstreamLostError as error:
            self._counted(error.code, asyncio.get_running_loop().time() - began)
            raise
        self._counted(None, asyncio.get_running_loop().time() - began)
        self._gate.dialled(reached=True)
        return upstream

    async def _attempt(self, work: Coroutine[Any, Any, "Upstream"]) -> "Upstream":
        """Bound it in time, tell every way to fail in the same words, and let the gate know of it."""
        try:
            return await self._bounded(work)
        except UpstreamLostError as error:
            self._gate.dialled(reached=not overloaded(error.code, error.reason))
            raise

    async def _bounded(self, work: Coroutine[Any, Any, "Upstream"]) -> "Upstream":
        try:
            async with asyncio.timeout(self._connect_timeout):
                return await work
        except DialError as error:
            raise _refused(error) from error
        except CredentialsError as error:
            raise UpstreamLostError(_POLICY_VIOLATION, f"unregistered callers: {error}") from error
        except (OSError, TimeoutError) as error:
            raise UpstreamLostError(NO_CLOSE_FRAME, f"cannot connect: {str(error) or type(error).__name__}") from error

    async def _connect_and_set_up(self, setup: bytes, content: bytes) -> "Upstream":
        return await _set_up(await self._connect(), setup, content)

    async def _connect(self) -> "Upstream":
        headers = await self._backend.headers()
        how = Dialling(headers, self._tls, _LARGEST_MESSAGE, _SEND_BUFFER, self._close_timeout)
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

    def take(frame: bytes) -> bool:
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
        raise UpstreamLostError(*upstream.closed)
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

    async def deliver(self, take: Callable[[bytes], bool]) -> None:
        """Give every message to `take` until it has had the last it wants, or the connection ends, however it ends.

        Raises:
            Exception: Whatever `take` raised.
        """
        await self._socket.deliver(lambda message, _text: take(message))

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

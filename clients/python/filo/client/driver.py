"""A `Session` on a WebSocket: one task that reads, one that writes, and the loop that opens the next socket.

Nothing is decided here. The reader never stops before the socket is closed, not even while this side closes it: a peer
whose frames nobody reads cannot answer the close (seen in two well-known integrations as gaps of 10 s).
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from filo.client.clock import Clock
from filo.client.comeback import CUT
from filo.client.events import AttemptFailed, Event, Over, Reconnecting
from filo.client.log import Log
from filo.client.session import AWAY, Session
from filo.client.states import Phase

QUEUE_MARK: Final = 1024
"""Events that may wait for the owner; beyond it the socket is read no further, and TCP holds the relay back."""

MAX_FRAME_BYTES: Final = 4 * 1024 * 1024

Renew = Callable[[], Awaitable[str]]
"""Gives a new session token for the conversation."""


class Client:
    """A client of the relay. `run` it in a task of yours, and read `events` until `Over`.

    Args:
        session: The decisions; new.
        clock: The time.
        log: Where every attempt is logged, with the conversation bound.
        renew: Asked for a session token where the session has none that is good.

    Attributes:
        events: What the owner is told.
        moved: Set whenever the session may have changed; whoever waits for something clears it first.
    """

    def __init__(self, session: Session, clock: Clock, log: Log, renew: Renew | None = None) -> None:
        self.session = session
        self.events: asyncio.Queue[Event] = asyncio.Queue(QUEUE_MARK)
        self.moved = asyncio.Event()
        self._clock = clock
        self._log = log
        self._renew = renew
        self._socket: ClientConnection | None = None
        self._wake = asyncio.Event()

    def audio(self, pcm: bytes) -> int:
        """Send a piece of the client's voice, now or when the session is back; return its number."""
        self._wake.set()
        return self.session.audio(pcm)

    def text(self, text: str) -> int:
        """Send a typed turn, now or when the session is back; return its number."""
        self._wake.set()
        return self.session.text(text)

    def activity(self, *, start: bool) -> int:
        """Say that the client begins or ends to speak, where automatic detection is off; return the number of that."""
        self._wake.set()
        return self.session.activity(start=start)

    def audio_stream_end(self) -> int:
        """Say that the microphone is off for a while; return the number of that."""
        self._wake.set()
        return self.session.audio_stream_end()

    def tool_result(self, call: str, name: str, result: object) -> int:
        """Answer a tool call, now or when the session is back; return the answer's number."""
        self._wake.set()
        return self.session.tool_result(call, name, result)

    def end(self, reason: str) -> None:
        """End the conversation once everything has been sent."""
        self._wake.set()
        self.session.end(reason)

    def quit(self) -> None:
        """Leave an open socket for good, without ending the conversation; without one, cancel `run`."""
        self._wake.set()
        self.session.quit(self._clock.monotonic())

    async def network(self, *, online: bool) -> None:
        """Tell that the machine has lost its network, or has one again; nobody needs to."""
        await self._tell(self.session.network(online=online, now=self._clock.monotonic()))
        self._wake.set()

    def abort(self) -> None:
        """Cut the socket without a close frame, as a network does. For tests and fault plans."""
        if self._socket is not None:
            self._socket.transport.abort()

    async def run(self) -> None:
        """Connect, and come back by the session's rules, until it is over. Safe to cancel: the socket is closed."""
        while True:
            url = self.session.connect(self._clock.monotonic())
            code, reason = await self._live_on(url)
            await self._tell(self.session.closed(code, reason, self._clock.monotonic()))
            if self.session.phase is Phase.OVER:
                return
            await self._rest()

    async def _rest(self) -> None:
        """Wait for the next attempt, which may be put off or brought forward meanwhile."""
        while (remaining := self._remaining()) is None or remaining > 0:
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(remaining):
                    await self._wake.wait()

    async def _live_on(self, url: str) -> tuple[int, str]:
        """Open one socket and stay on it until it is closed; return the close code and its reason."""
        policy = self.session.policy
        try:
            await self._renew_token()
            async with connect(
                url,
                open_timeout=policy.open_timeout,
                close_timeout=policy.close_timeout,
                ping_interval=None,
                compression=None,
                max_size=MAX_FRAME_BYTES,
                proxy=None,
            ) as socket:
                try:
                    return await self._converse(socket)
                except asyncio.CancelledError:
                    socket.transport.abort()  # whoever cancels does not want to wait for the relay's answer
                    raise
        except (OSError, EOFError, TimeoutError, InvalidHandshake, InvalidURI) as error:
            return CUT, f"{type(error).__name__}: {error}"

    async def _renew_token(self) -> None:
        """Raises OSError when the owner has no token to give: an attempt that failed like any other."""
        if not self.session.wants_token or self._renew is None:
            return
        try:
            async with asyncio.timeout(self.session.policy.open_timeout):
                self.session.renewed(await self._renew())
        except Exception as error:
            raise ConnectionError(f"no new session token: {error!r}") from error

    async def _converse(self, socket: ClientConnection) -> tuple[int, str]:
        self._socket = socket
        await self._tell(self.session.opened(self._clock.monotonic()))
        try:
            async with asyncio.TaskGroup() as group:
                writer = group.create_task(self._write(socket))
                await self._read(socket)
                writer.cancel()
        finally:
            self._socket = None
        return socket.close_code or CUT, socket.close_reason or ""

    async def _read(self, socket: ClientConnection) -> None:
        while True:
            try:
                async with asyncio.timeout(None if self.session.leaving else self._remaining()):
                    frame = await socket.recv()
            except TimeoutError:
                await self._tell(self.session.timeout(self._clock.monotonic()))
            except ConnectionClosed:
                return
            else:
                await self._tell(self.session.received(frame, self._clock.monotonic()))
                if isinstance(frame, bytes):
                    continue  # the agent's voice gives the writer nothing to do
            self._wake.set()

    async def _write(self, socket: ClientConnection) -> None:
        try:
            while not self.session.leaving:
                self._wake.clear()
                while (message := self.session.take()) is not None:
                    await socket.send(message)
                if not self.session.leaving:
                    await self._wake.wait()
            await socket.close(AWAY)
        except ConnectionClosed:
            return  # the reader sees it too, and has the code

    def _remaining(self) -> float | None:
        deadline = self.session.deadline
        return None if deadline is None else max(0.0, deadline - self._clock.monotonic())

    async def _tell(self, events: Sequence[Event]) -> None:
        self.moved.set()
        for event in events:
            self._note(event)
            await self.events.put(event)

    def _note(self, event: Event) -> None:
        match event:
            case Reconnecting():
                self._log.info("reconnecting", attempt=event.attempt, wait=round(event.wait, 3), cause=event.cause)
            case AttemptFailed():
                self._log.warning("attempt failed", attempt=event.attempt, reason=event.reason)
            case Over():
                self._log.info("session over", ended=event.ended, code=event.code, reason=event.reason)
            case _:
                pass

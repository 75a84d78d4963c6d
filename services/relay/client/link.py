"""One client's socket in a conversation: a writer that follows the outbox, and a close when all is said."""

from typing import Any, Final

from services.relay.client import told
from services.relay.client.outbox import Outbox
from services.relay.client.protocol import Seen
from services.relay.lease import Lease
from services.relay.sockets import ClosedError, Socket

_LONGEST_REASON: Final = 123
"""Bytes of a close frame's reason, RFC 6455 section 5.5."""


def close_reason(text: str) -> str:
    """A reason that fits into a close frame."""
    return text.encode()[:_LONGEST_REASON].decode(errors="ignore")


class ClientLink:
    """The socket of the client that is in the conversation now.

    Args:
        socket: The WebSocket.
        outbox: What it is told.
        seen: The newest message it says it has got.
        first_here: No client came before in this epoch.
        lease: Nothing is sent while it is in doubt, and nothing but the farewell after it is lost.

    Attributes:
        stranger: It begins with what is told from now on, since it has not said what it knows.
    """

    def __init__(self, socket: Socket, outbox: Outbox, seen: Seen | None, *, first_here: bool, lease: Lease) -> None:
        self._lease = lease
        self.stranger = seen is None and not first_here
        self._socket = socket
        self._outbox = outbox
        self._place = outbox.place_of(seen, first_here=first_here)
        self._greeting: dict[str, Any] | None = None
        self._farewell: tuple[int, str] | None = None

    def welcome(self, greeting: dict[str, Any]) -> None:
        """Let the client in: the greeting first, then what it missed, then what comes."""
        self._greeting = greeting
        self._outbox.wake()

    def say_farewell(self, code: int, reason: str) -> None:
        """Close the socket once everything is sent; only the first farewell counts."""
        self._farewell = self._farewell or (code, close_reason(reason))
        self._outbox.wake()

    async def replace(self, code: int, reason: str) -> None:
        """Close the socket at once: another one has taken its place."""
        await self._socket.close(code, close_reason(reason))

    async def write(self) -> None:
        """Send until the farewell is said or the socket is gone. Safe to cancel."""
        self._socket.got = self._got
        try:
            await self._write()
        except ClosedError:
            return
        finally:
            self._socket.got = None  # what the next client has got, its own socket says

    async def _write(self) -> None:
        while True:
            if self._greeting is not None and await self._may_send():
                greeting, self._greeting = self._greeting, None
                await self._socket.send(told.encode(greeting, self._outbox.epoch, self._place))
                await self._follow()
            if self._farewell is not None:
                await self._socket.close(*self._farewell)
                return
            await self._outbox.wait()

    async def _follow(self) -> None:
        while True:
            found = self._outbox.after(self._place)
            if found is not None and self._lease.in_doubt and not await self._lease.sure():
                return
            if found is not None:
                self._place, messages = found
                for message in messages:
                    text = isinstance(message, str)
                    if not self._socket.send_now(message.encode() if isinstance(message, str) else message, text=text):
                        await self._socket.send(message)
                if self._outbox.sent(self._place):
                    self._socket.ask(self._place)
            elif self._farewell is not None:
                return
            else:
                await self._listen()

    async def _listen(self) -> None:
        """The client has got all there is: audio that comes next may go straight to its socket."""
        self._outbox.listener = self._pass_on
        try:
            await self._outbox.wait()
        finally:
            if self._outbox.listener == self._pass_on:
                self._outbox.listener = None

    def _pass_on(self, n: int, pcm: bytes) -> bool:
        if n != self._place + 1 or self._lease.in_doubt or not self._socket.send_now(pcm, text=False):
            return False
        self._place = n
        if self._outbox.sent(n):
            self._socket.ask(n)
        return True

    def _got(self, mark: int) -> None:
        self._outbox.got(min(mark, self._place))

    async def _may_send(self) -> bool:
        return not self._lease.in_doubt or await self._lease.sure()

"""What a client is told, numbered within an epoch, kept for one that is away or comes back."""

import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

from services.relay.client import told
from services.relay.client.protocol import Seen
from services.relay.log import Log

_KEPT_AFTER_SENDING: Final = 512 * 1024
"""Bytes that a socket may have swallowed without the client having got them: about ten seconds of speech."""
_KEPT_FOR_SURE: Final = 16 * 1024
"""Bytes that are kept although the client's socket has got them: its program may not have read them yet."""
_ASKED_EVERY: Final = 32 * 1024
"""Bytes after which a client is asked what it has got: two thirds of a second of speech."""


class Outbox:
    """The messages of one epoch.

    Args:
        epoch: The holder's.
        most: Bytes of memory that are kept for a client that is away or slow: the oldest audio goes first, then the
            oldest notices; the newest notice is kept in any case.
        lost: Is told how many messages went because there was no more room.

    Attributes:
        listener: Takes audio with its number at once, if it can; set by a link whose client has got all there is.
    """

    def __init__(self, epoch: int, most: int, lost: Callable[[int], None] = lambda _: None) -> None:
        self.epoch = epoch
        self._most = most
        self._lost = lost
        self.listener: Callable[[int, bytes], bool] | None = None
        self._log: Log[bytes | str] = Log(expendable=bytes)
        self._asks_at = _ASKED_EVERY

    @property
    def last(self) -> int:
        """The number of the newest message."""
        return self._log.last

    @property
    def weight(self) -> int:
        """Bytes that are kept."""
        return self._log.weight

    def tell(self, message: Mapping[str, Any]) -> int:
        """Add a message; gives its number."""
        text = told.encode(message, self.epoch, self._log.last + 1)
        n = self._log.append(text, sys.getsizeof(text))
        if self._log.weight > self._most:
            self._make_room()
        self._log.wake()
        return n

    def play(self, pcm: bytes) -> None:
        """Add a frame of the agent's voice, PCM16 of 24 kHz."""
        n = self._log.append(pcm, len(pcm))
        if self.listener is None or not self.listener(n, pcm):
            if self._log.weight > self._most:
                self._make_room()
            self._log.wake()

    def place_of(self, seen: Seen | None, *, first_here: bool) -> int:
        """After which number a client that comes is to be told.

        Args:
            seen: The newest message it says it has got.
            first_here: No client came before in this epoch: all that is here is news.
        """
        if seen is not None and seen.epoch == self.epoch:
            return min(seen.n, self.last)
        return 0 if first_here or seen is not None else self.last

    def after(self, place: int) -> tuple[int, list[str | bytes]] | None:
        """What to send next, ready for the socket.

        Returns:
            The new place and one or two messages (the first says what was dropped in between, if anything was), or
            None when there is nothing.
        """
        entry = self._log.after(place)
        if entry is None:
            return None
        n, ready = entry
        if n == place + 1:
            return n, [ready]
        return n, [told.encode({"type": "skipped", "messages": n - 1 - place}, self.epoch, n - 1), ready]

    def sent(self, place: int) -> bool:
        """Everything up to this number was given to a socket: keep only as much as may still be on its way.

        Returns:
            Whether the client is to be asked now what it has got.
        """
        weight = self._log.weight
        if weight < self._asks_at:
            return False
        self._log.trim(_KEPT_AFTER_SENDING, through=place)
        self._asks_at = min(weight, _KEPT_AFTER_SENDING) + _ASKED_EVERY
        return True

    def got(self, place: int) -> None:
        """The client's socket has got everything up to this number: it need not be kept, but for the newest of it."""
        self._log.trim(_KEPT_FOR_SURE, through=place)
        self._asks_at = self._log.weight + _ASKED_EVERY

    def _make_room(self) -> None:
        """Audio that nobody has heard in time is worth less than a notice: a tool call, the end of a turn."""
        dropped = self._log.thin(self._most)
        dropped += self._log.trim(self._most, through=self._log.last - 1)
        if dropped:
            self._lost(dropped)

    def wake(self) -> None:
        """Make `wait` return although nothing was added."""
        self._log.wake()

    async def wait(self) -> None:
        """Wait for a message, or `wake`. Safe to cancel."""
        await self._log.wait()

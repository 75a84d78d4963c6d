"""Handing messages on: to whoever takes them, or kept, a few, until somebody does."""

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from services.relay.sockets import Take

_MOST_EARLY: Final = 16
"""Messages that wait for somebody to take them, before no more are read."""
_SIGN: Final = b"filo"
"""How the pings begin that ask for a sign, so that their pongs are told from those of any other."""


class Delivery(ABC):
    """What the sockets of all transports have in common; they tell it what arrives, and when nothing more will.

    Attributes:
        got: Told the mark of an `ask` that the peer has answered, whatever the peer says the mark was.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - whatever the library's class wants
        super().__init__(*args, **kwargs)
        self.got: Callable[[int], None] | None = None
        self._take: Take | None = None
        self._over: asyncio.Future[None] | None = None
        self._early: deque[tuple[bytes, bool]] = deque()
        self._ended = False
        self._leaving = False  # closed here

    async def deliver(self, take: Take) -> None:
        """Give every message to `take`, in order, until it has had the last it wants, or the connection has ended.

        Raises:
            Exception: Whatever `take` raised; nothing is given to it afterwards.
        """
        self._over = asyncio.get_running_loop().create_future()
        self._take = take
        try:
            while self._early and not self._over.done():
                self._arrived(*self._early.popleft())
            if len(self._early) < _MOST_EARLY:
                self.release()
            if not self._ended:
                await self._over
            elif self._over.done():
                self._over.result()
        finally:
            self._take = self._over = None

    @abstractmethod
    def hold(self) -> None:
        """Read no more for the moment."""

    @abstractmethod
    def release(self) -> None:
        """Read on."""

    def _arrived(self, data: bytes, text: bool) -> None:  # noqa: FBT001 - as in the frame
        if self._take is None or self._over is None:
            self._wait(data, text)
        elif not self._over.done():
            try:
                last = self._take(data, text)
            except Exception as error:  # noqa: BLE001 - handed on to whoever waits in `deliver`
                self._over.set_exception(error)
            else:
                if last:
                    self._take = None
                    self._over.set_result(None)

    def _wait(self, data: bytes, text: bool) -> None:  # noqa: FBT001 - as in the frame
        if self._leaving:  # nobody will take it, and it must not pile up
            return
        self._early.append((data, text))
        if len(self._early) >= _MOST_EARLY:
            self.hold()

    def _end(self) -> None:
        """Nothing more will arrive."""
        self._ended = True
        if self._over is not None and not self._over.done():
            self._over.set_result(None)

    def _answered(self, pong: bytes) -> None:
        """A pong that `is_sign`."""
        if self.got is not None:
            self.got(int.from_bytes(pong[len(_SIGN) :]))


def sign(mark: int) -> bytes:
    """The ping that asks for a sign."""
    return _SIGN + mark.to_bytes(8)


def is_sign(pong: bytes) -> bool:
    """Whether a pong answers such a ping."""
    return pong.startswith(_SIGN)

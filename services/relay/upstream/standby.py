"""The connection that will take over: TCP, TLS and the upgrade are done, the setup is not sent.

A connection without a setup holds no session, so it may exist beside the one in use. When that one is closed, only the
setup is left to wait for. Nobody documents how long Gemini keeps such a connection: it is renewed before it is old, and
one that has ended by the time it is wanted costs no more than a dial.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from services.relay.upstream.connection import Dialler, Upstream, UpstreamLostError
from services.relay.upstream.gate import Purpose, Ticket

FRESH: Final = 15.0
"""Seconds after which it is replaced: how long Gemini keeps it is not known, so it is not kept long."""
RENEWALS: Final = 8
"""How often; goAway comes a minute before the end, so more would be for nothing."""


class Standby:
    """Holds one connection in readiness, for one rotation.

    Args:
        dialler: Makes it.
        wanted_by: Its place in the queue of dials, monotonic seconds.
        fresh: Seconds after which it is replaced.
    """

    def __init__(self, dialler: Dialler, wanted_by: float, fresh: float = FRESH) -> None:
        self._ticket = Ticket(wanted_by, Purpose.STANDBY)
        self._dialler = dialler
        self._fresh = fresh
        self._held: Upstream | None = None
        self._wanted = asyncio.Event()
        self._tried = asyncio.Event()

    async def hold(self, tried: Callable[[bool], None]) -> None:
        """Hold a connection until it is wanted. Safe to cancel; what was not taken then is dropped.

        Args:
            tried: Told whether one stands: true once the first does, false when one could not be made.
        """
        try:
            for _ in range(1 + RENEWALS):
                self._held = await self._dialler.connect(self._ticket)
                if not self._tried.is_set():
                    self._tried.set()
                    tried(True)  # noqa: FBT003 - the only thing there is to tell
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._fresh):
                        await self._wanted.wait()
                    return
                self._drop()
        except UpstreamLostError:
            tried(False)  # noqa: FBT003
        finally:
            self._tried.set()
            self._drop()

    async def take(self, wanted_by: float) -> Upstream | None:
        """The connection, once it stands; None where there is none any more. Safe to cancel.

        Args:
            wanted_by: Its place in the queue from now on, if it still waits there.
        """
        self._ticket.hurry(wanted_by)
        await self._tried.wait()
        self._wanted.set()
        taken, self._held = self._held, None
        return taken if taken is not None and taken.is_open else None

    def _drop(self) -> None:
        if self._held is not None:
            self._held.abort()
            self._held = None

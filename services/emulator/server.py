"""The server: where clients connect, who they are, and all their connections."""

import asyncio
import random
import secrets
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Final

from aiohttp import web

from services.common.clock import Clock
from services.emulator import closes, credentials, rest
from services.emulator.account import Account
from services.emulator.admission import Caller
from services.emulator.brain import Brain
from services.emulator.config import Settings
from services.emulator.connection import Connection, Socket
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
LINEAGES: Final = 10
"""For how many more conversations than the account remembers the handles are kept."""
MAX_MESSAGE: Final = 16 * 2**20
CLOSE_TIMEOUT: Final = 5.0
"""How long the server waits for the client's half of the closing handshake, in seconds."""
SHUTDOWN_TIMEOUT: Final = 1.0
"""The same when the server stops: whoever stops it does not want to wait."""


class Emulator:
    """All connections of one emulator, and what they share.

    Args:
        settings: How it behaves.
        clock: The time.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.account = Account(settings.remembered, settings.remembered_connections)
        self.faults = Plan(settings.faults, settings.seed)
        self._clock = clock
        self._seed = settings.seed
        handles = HandleStore(
            lambda: secrets.token_urlsafe(32),
            refuse_while_open=settings.refuse_resume_while_open,
            lineages=LINEAGES * settings.remembered,
        )
        self._shared = Shared(settings, Brain(settings.seed), handles, self.faults)
        self._connections = 0
        self._open: set[Connection] = set()

    def application(self) -> web.Application:
        """The web application; when it shuts down, every connection is closed with 1001."""
        application = web.Application(client_max_size=rest.MAX_BODY)
        for path, backend in PATHS.items():
            application.router.add_get(path, partial(self._connect, backend))
        rest.add_routes(application, self._shared.settings, self._shared.brain)
        application.on_shutdown.append(self._shut_down)
        return application

    async def _connect(self, backend: Backend, request: web.Request) -> Socket:
        socket = Socket(
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
        connection = Connection(
            caller.connection, request, socket, session, self.account, self._clock, self._shared.settings
        )
        self._open.add(connection)
        try:
            await connection.run()
        finally:
            self._open.discard(connection)
        return socket

    async def _shut_down(self, _: web.Application) -> None:
        connections = tuple(self._open)
        for connection in connections:
            connection.stop(closes.SHUTDOWN)
        with suppress(TimeoutError):
            async with asyncio.timeout(SHUTDOWN_TIMEOUT):
                for connection in connections:
                    await connection.done.wait()

"""The clients' door: the WebSocket server at /ws/ai-voice."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from services.common import logs, tracing
from services.common.config import Address
from services.common.errors import Reason, ServiceError
from services.common.grpc_errors import internal
from services.common.lateness import Late
from services.common.lifecycle import port_error
from services.common.readiness import Readiness
from services.relay.client import protocol, told
from services.relay.client.link import close_reason
from services.relay.client.session_tokens import SessionTokens
from services.relay.config import Settings
from services.relay.metrics import Metrics
from services.relay.registry import Registry
from services.relay.sockets import ClientSocket, ClosedError, Door, Transport
from services.relay.takeover import LeftError

_PING_INTERVAL: Final = 20.0
_CLOSE_TIMEOUT: Final = 1.0
GOING_AWAY: Final = 1001
READY_PATH: Final = "/ready"
"""Where a load balancer asks whether to send clients here."""


class ClientServer:
    """Lets clients in, and tells those that may not come why.

    Args:
        settings: Of the relay.
        tokens: Verifies session tokens.
        registry: Where the conversations are.
        metrics: Counts.
        readiness: What a load balancer is told.
        tracer: What takes traces of how clients are let in, if anything does.
        overloaded: Whether this relay has more to do than it can.
    """

    def __init__(
        self,
        settings: Settings,
        tokens: SessionTokens,
        registry: Registry,
        metrics: Metrics,
        readiness: Readiness,
        tracer: tracing.Tracer | None = None,
        overloaded: Callable[[], bool] = lambda: False,
    ) -> None:
        self._overloaded = overloaded
        self._tracer = tracer
        self._readiness = readiness
        self._settings = settings
        self._tokens = tokens
        self._registry = registry
        self._metrics = metrics
        self._log = logs.get("relay")

    async def handle(self, socket: ClientSocket) -> None:
        """Serve one socket to its end; a refusal is a close frame with a code and a sentence."""
        self._metrics.clients.inc()
        try:
            await self._serve(socket)
        except (ClosedError, LeftError):
            return
        except ServiceError as error:
            await self._refuse(socket, error)
        except Exception:  # noqa: BLE001 - the boundary: one client's trouble must not be another's
            self._log.exception("a client's socket failed")
            await self._refuse(socket, internal())
        finally:
            self._metrics.clients.dec()

    async def _serve(self, socket: ClientSocket) -> None:
        request = protocol.parse_query(urlsplit(socket.target).query, socket.offered)
        if request.session_token is None:
            request = await self._first_message(socket, request)
        claims = self._tokens.verify(request.session_token)
        logs.conversation(claims.conversation)
        try:
            with tracing.during(self._tracer, "client.join", {"filo.conversation": claims.conversation}):
                live, missed = await self._registry.join(claims, request, lambda: socket.is_open)
        except ServiceError as error:
            if not (self._registry.draining and error.meaning.retryable):
                raise
            await self._close(socket, GOING_AWAY, "this relay is going away")
            return
        await live.attend(socket, request, missed)

    async def _first_message(self, socket: ClientSocket, request: protocol.Request) -> protocol.Request:
        message: protocol.Message | None = None

        def take(data: bytes, text: bool) -> bool:  # noqa: FBT001 - as a socket gives it
            nonlocal message
            message = protocol.parse(data)[0] if text else None
            return True

        try:
            async with asyncio.timeout(self._settings.auth_timeout):
                await socket.deliver(take)
        except TimeoutError:
            raise ServiceError(Reason.TOKEN_INVALID, "no session token came in time") from None
        if not isinstance(message, protocol.Auth):
            raise ServiceError(Reason.TOKEN_INVALID, "the first message must be auth, with a session token")
        share_token = message.share_token or request.share_token
        return replace(request, session_token=message.session_token, share_token=share_token)

    async def _refuse(self, socket: ClientSocket, error: ServiceError) -> None:
        self._log.info("client refused", code=error.meaning.close, reason=error.reason.value)
        if error.retry_after is not None:
            with suppress(ClosedError):
                await socket.send(told.refusal(error))
        await self._close(socket, error.meaning.close, close_reason(error.detail))

    async def _close(self, socket: ClientSocket, code: int, reason: str) -> None:
        self._metrics.refusals.labels(str(code)).inc()
        await socket.close(code, reason)

    def answer(self, target: str) -> tuple[HTTPStatus, str] | None:
        """What a request for this path and query gets before any upgrade; None for one that goes on to the socket."""
        try:
            path = urlsplit(target).path
        except ValueError:  # such as "//["
            path = ""
        if path == protocol.PATH:
            return None
        if path == READY_PATH:
            why = self._not_ready()
            return (HTTPStatus.SERVICE_UNAVAILABLE, f"{why}\n") if why else (HTTPStatus.OK, "ready\n")
        return HTTPStatus.NOT_FOUND, f"There is nothing here; the socket is at {protocol.PATH}.\n"

    def _not_ready(self) -> str:
        """Why no further client should be sent here; empty where it may."""
        if not self._readiness.ready:
            return "not ready"
        if self._registry.full:
            return "full"
        return "overloaded" if self._overloaded() else ""


@asynccontextmanager
async def listening(
    server: ClientServer,
    address: Address,
    origins: tuple[str, ...],
    transport: Transport,
    late: Late = lambda _: 0.0,
) -> AsyncIterator[Address]:
    """Take clients' sockets while the context is open.

    Args:
        server: Serves them.
        address: Where.
        origins: Allowed values of ``Origin``; empty for all.
        transport: Carries them.
        late: How late this process is.

    Yields:
        The address, with the port that was really taken.

    Raises:
        StartupError: The address cannot be listened on.
    """
    door = Door(
        serve=server.handle,
        answer=server.answer,
        subprotocol=protocol.SUBPROTOCOL,
        origins=origins,
        largest=protocol.LARGEST_MESSAGE,
        close_timeout=_CLOSE_TIMEOUT,
        ping_interval=_PING_INTERVAL,
        late=late,
    )
    try:
        listener = await transport.listen(address.host, address.port, door)
    except OSError as error:
        raise port_error(address, error) from error
    try:
        yield Address(address.host, listener.port)
    finally:
        await listener.close(GOING_AWAY, "this relay is going away")

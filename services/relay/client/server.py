"""The clients' door: the WebSocket server at /ws/ai-voice."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from http import HTTPStatus
from typing import Final, cast
from urllib.parse import urlsplit

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request as HttpRequest
from websockets.http11 import Response
from websockets.protocol import State
from websockets.typing import Subprotocol

from services.common import logs, tracing
from services.common.config import Address
from services.common.errors import Reason, ServiceError
from services.common.grpc_errors import internal
from services.common.lifecycle import port_error
from services.common.readiness import Readiness
from services.relay.client import protocol, told
from services.relay.client.link import close_reason
from services.relay.client.session_tokens import SessionTokens
from services.relay.config import Settings
from services.relay.metrics import Metrics
from services.relay.registry import Registry
from services.relay.sockets import ClientSocket
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
    """

    def __init__(
        self,
        settings: Settings,
        tokens: SessionTokens,
        registry: Registry,
        metrics: Metrics,
        readiness: Readiness,
        tracer: tracing.Tracer | None = None,
    ) -> None:
        self._tracer = tracer
        self._readiness = readiness
        self._settings = settings
        self._tokens = tokens
        self._registry = registry
        self._metrics = metrics
        self._log = logs.get("relay")

    async def handle(self, socket: ServerConnection) -> None:
        """Serve one socket to its end; a refusal is a close frame with a code and a sentence."""
        self._metrics.clients.inc()
        try:
            await self._serve(cast("ClientSocket", socket))
        except (ConnectionClosed, LeftError):
            return
        except ServiceError as error:
            await self._refuse(socket, error)
        except Exception:  # noqa: BLE001 - the boundary: one client's trouble must not be another's
            self._log.exception("a client's socket failed")
            await self._refuse(socket, internal())
        finally:
            self._metrics.clients.dec()

    async def _serve(self, socket: ClientSocket) -> None:
        url = urlsplit(socket.request.path if socket.request else "")
        offered = socket.request.headers.get("Sec-WebSocket-Protocol", "") if socket.request else ""
        request = protocol.parse_query(url.query, tuple(part.strip() for part in offered.split(",")))
        if request.session_token is None:
            request = await self._first_message(socket, request)
        claims = self._tokens.verify(request.session_token)
        logs.conversation(claims.conversation)
        try:
            with tracing.during(self._tracer, "client.join", {"filo.conversation": claims.conversation}):
                live, missed = await self._registry.join(claims, request, lambda: socket.state is State.OPEN)
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

    async def _refuse(self, socket: ServerConnection, error: ServiceError) -> None:
        self._log.info("client refused", code=error.meaning.close, reason=error.reason.value)
        if error.retry_after is not None:
            with suppress(ConnectionClosed):
                await socket.send(told.refusal(error))
        await self._close(socket, error.meaning.close, close_reason(error.detail))

    async def _close(self, socket: ServerConnection, code: int, reason: str) -> None:
        self._metrics.refusals.labels(str(code)).inc()
        await socket.close(code, reason)

    def answer(self, socket: ServerConnection, request: HttpRequest) -> Response | None:
        """What a request gets before any upgrade; None for one that goes on to the socket."""
        path = urlsplit(request.path).path
        if path == protocol.PATH:
            return None
        if path == READY_PATH:
            ready = self._readiness.ready and not self._registry.full
            status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
            return socket.respond(status, "ready\n" if ready else "not ready\n")
        return socket.respond(HTTPStatus.NOT_FOUND, f"There is nothing here; the socket is at {protocol.PATH}.\n")


def _choose(_socket: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    return Subprotocol(protocol.SUBPROTOCOL) if protocol.SUBPROTOCOL in offered else None


@asynccontextmanager
async def listening(server: ClientServer, address: Address, origins: tuple[str, ...]) -> AsyncIterator[Address]:
    """Take clients' sockets while the context is open.

    Yields:
        The address, with the port that was really taken.

    Raises:
        StartupError: The address cannot be listened on.
    """
    try:
        listener = await serve(
            server.handle,
            address.host,
            address.port,
            process_request=server.answer,
            select_subprotocol=_choose,
            origins=[*origins, None] if origins else None,  # type: ignore[list-item]  # NewType of str
            compression=None,
            max_size=protocol.LARGEST_MESSAGE,
            ping_interval=_PING_INTERVAL,
            ping_timeout=_PING_INTERVAL,
            close_timeout=_CLOSE_TIMEOUT,
            server_header=None,
            create_connection=ClientSocket,
        )
    except OSError as error:
        raise port_error(address, error) from error
    try:
        yield Address(address.host, listener.sockets[0].getsockname()[1])
    finally:
        listener.close(close_connections=True, code=GOING_AWAY, reason="this relay is going away")
        await listener.wait_closed()

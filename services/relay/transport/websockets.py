"""The `websockets` library as a transport: its handshakes and its server, with the sockets of `websockets_socket`."""

from collections.abc import Sequence
from functools import partial
from http import HTTPStatus
from socket import SO_RCVBUF, SO_SNDBUF, SOL_SOCKET
from typing import cast

from websockets.asyncio.client import connect
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import InvalidHandshake, InvalidMessage, InvalidStatus
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from services.relay import sockets
from services.relay.transport.websockets_socket import ClientSocket, UpstreamSocket


class _Dial(connect):
    """Follows no redirect: the key would go wherever it points."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        """An answer like any other refusal."""
        return exc


async def dial(url: str, how: sockets.Dialling) -> sockets.Socket:
    """Connect. Cancelling is safe: the connection is dropped.

    Raises:
        OSError: The network, or TLS.
        DialError: The handshake was refused, or was none.
    """
    try:
        socket = await _Dial(
            url,
            additional_headers=how.headers,
            ssl=how.tls,
            compression=None,
            max_size=how.largest,
            ping_interval=None,  # see `Dialling`
            close_timeout=how.close_timeout,
            open_timeout=None,
            proxy=None,
            create_connection=UpstreamSocket,
        )
    except InvalidStatus as error:
        raise sockets.DialError(str(error), error.response.status_code) from error
    except InvalidMessage as error:
        if isinstance(error.__cause__, EOFError):
            raise ConnectionAbortedError(str(error)) from error
        raise sockets.DialError(str(error)) from error
    except InvalidHandshake as error:
        raise sockets.DialError(str(error) or type(error).__name__) from error
    below = socket.transport.get_extra_info("socket")
    below.setsockopt(SOL_SOCKET, SO_SNDBUF, how.send_buffer)
    below.setsockopt(SOL_SOCKET, SO_RCVBUF, how.receive_buffer)
    return cast("UpstreamSocket", socket)


class _Listener:
    def __init__(self, server: Server) -> None:
        self._server = server

    @property
    def port(self) -> int:
        port: int = next(iter(self._server.sockets)).getsockname()[1]
        return port

    async def close(self, code: int, reason: str) -> None:
        self._server.close(close_connections=True, code=code, reason=reason)
        await self._server.wait_closed()


async def listen(host: str, port: int, door: sockets.Door) -> sockets.Listener:
    """Take sockets.

    Raises:
        OSError: The port cannot be listened on.
    """

    async def serve_one(socket: ServerConnection) -> None:
        await door.serve(cast("ClientSocket", socket))

    def answer(socket: ServerConnection, request: Request) -> Response | None:
        instead: tuple[HTTPStatus, str] | None = door.answer(request.path)
        return None if instead is None else socket.respond(*instead)

    def choose(_socket: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
        return Subprotocol(door.subprotocol) if door.subprotocol in offered else None

    server = await serve(
        serve_one,
        host,
        port,
        process_request=answer,
        select_subprotocol=choose,
        origins=[*door.origins, None] if door.origins else None,  # type: ignore[list-item]  # NewType of str
        compression=None,
        max_size=door.largest,
        open_timeout=door.open_timeout,
        ping_interval=door.ping_interval,
        ping_timeout=door.ping_interval,
        close_timeout=door.close_timeout,
        server_header=None,
        create_connection=partial(ClientSocket, late=door.late),  # type: ignore[arg-type]  # makes one all the same
    )
    return _Listener(server)

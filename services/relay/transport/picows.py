"""picows as a transport: a compiled parser and writer of frames, with the handshakes of both sides."""

import asyncio
import logging
import socket as kernel
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final

from multidict import CIMultiDict
from picows import (
    WSError,
    WSInvalidStatusError,
    WSParsedURL,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
    ws_connect,
    ws_create_server,
)
from websockets.datastructures import Headers
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from services.relay import sockets
from services.relay.transport.picows_socket import Limits, PicowsSocket

_READ_BUFFER: Final = 4 * 1024
"""Bytes for each socket to begin with; it grows with what comes."""
_SEEN_WHOLE: Final = 2
"""Times the largest message: what is longer is cut off by picows unread, and who sends it may not get to see why."""
_TLS_BUFFER: Final = 32 * 1024
"""Bytes for each direction of a TLS connection; left to itself it takes 257 KiB for each."""
_UNASKED: Final = ("Sec-WebSocket-Extensions", "Sec-WebSocket-Protocol")
"""What a server may not answer, where it was not offered."""


class _Quiet(logging.LoggerAdapter[logging.Logger]):
    """An adapter, since of a plain logger picows makes one for each connection; what a peer does wrong is no error."""

    def error(self, msg: object, *args: object, **kwargs: Any) -> None:  # noqa: ANN401 - as in the library
        """Tell it to who debugs."""
        self.debug(msg, *args, **kwargs)


_LOG: Final = _Quiet(logging.getLogger("picows"), {})


class _ClientSocket(PicowsSocket):
    """A socket that a client has opened."""

    def __init__(self, limits: Limits, target: str, offered: tuple[str, ...], listener: "_Listener") -> None:
        super().__init__(limits)
        self.target = target
        self.offered = offered
        self._listener = listener

    def on_ws_connected(self, transport: WSTransport) -> None:
        """The handshake is over: serve it."""
        super().on_ws_connected(transport)
        self._listener.begin(self)


class _Listener:
    def __init__(self, door: sockets.Door) -> None:
        self._door = door
        self._limits = Limits(door.largest, door.close_timeout, door.ping_interval, door.late)
        self._tasks: dict[asyncio.Task[None], _ClientSocket] = {}
        self._closing = False
        self.server: Any = None

    @property
    def port(self) -> int:
        port: int = self.server.sockets[0].getsockname()[1]
        return port

    async def close(self, code: int, reason: str) -> None:
        self._closing = True
        self.server.close()
        closes = [socket.close(code, reason) for socket in self._tasks.values()]
        await asyncio.gather(*closes, *self._tasks)

    def meet(self, request: WSUpgradeRequest) -> WSUpgradeResponseWithListener:
        """Decide about a request with the rules that the other transport has: they are `websockets`'s, without I/O."""
        target, headers = request.path.decode("ascii", "surrogateescape"), Headers(request.headers.items())
        ours = Subprotocol(self._door.subprotocol)
        protocol = ServerProtocol(
            origins=[*self._door.origins, None] if self._door.origins else None,  # type: ignore[list-item]  # NewType
            select_subprotocol=lambda _protocol, offered: ours if ours in offered else None,
        )
        instead = self._door.answer(target)
        answer = protocol.accept(Request(target, headers)) if instead is None else protocol.reject(*instead)
        if answer.status_code == HTTPStatus.SWITCHING_PROTOCOLS and self._closing:
            answer = protocol.reject(HTTPStatus.SERVICE_UNAVAILABLE, "Server is shutting down.\n")
        if answer.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            return WSUpgradeResponseWithListener(_response(answer), None)
        request.headers["Connection"] = "upgrade"  # Firefox says "keep-alive, Upgrade", which picows would refuse
        offered = ",".join(headers.get_all("Sec-WebSocket-Protocol")).split(",")
        socket = _ClientSocket(self._limits, target, tuple(part.strip() for part in offered), self)
        return WSUpgradeResponseWithListener(_response(answer), socket)

    def begin(self, socket: _ClientSocket) -> None:
        """Serve a socket."""
        task = asyncio.create_task(self._serve(socket))
        self._tasks[task] = socket
        task.add_done_callback(self._tasks.pop)

    async def _serve(self, socket: _ClientSocket) -> None:
        try:
            await self._door.serve(socket)
        except Exception:  # noqa: BLE001 - the boundary: one client's trouble must not be another's
            _LOG.exception("a socket was not served")
            await socket.close(1011)
        else:
            await socket.close()


def _response(answer: Response) -> WSUpgradeResponse:
    """The same answer for picows, which counts the body and signs the key itself."""
    own = ("content-length", "sec-websocket-accept")
    response = WSUpgradeResponse()
    response.version = b"HTTP/1.1"
    response.status = HTTPStatus(answer.status_code)
    response.headers = CIMultiDict(item for item in answer.headers.raw_items() if item[0].lower() not in own)
    response.body = bytes(answer.body) or None
    return response


async def listen(host: str, port: int, door: sockets.Door) -> sockets.Listener:
    """Take sockets.

    Raises:
        OSError: The port cannot be listened on.
    """
    listener = _Listener(door)
    listener.server = await ws_create_server(
        listener.meet,
        host,
        port,
        websocket_handshake_timeout=door.open_timeout,
        enable_auto_pong=False,
        max_frame_size=_SEEN_WHOLE * door.largest,
        read_buffer_init_size=_READ_BUFFER,
        logger_name=_LOG,
        use_aiofastnet=False,  # whose own accept fails where files run out, and brings nothing without TLS
    )
    return listener


async def dial(url: str, how: sockets.Dialling) -> sockets.Socket:
    """Connect. Cancelling is safe: the connection is dropped.

    Raises:
        OSError: The network, or TLS; ConnectionAbortedError where it was cut before the handshake was over.
        DialError: The handshake was refused, or was none.
    """
    limits = Limits(how.largest, how.close_timeout)
    made: list[kernel.socket] = []

    async def connected(to: WSParsedURL) -> kernel.socket:
        made.append(await _connected(to.host, to.port, how))
        return made[0]

    def accepted(_request: WSUpgradeRequest, response: WSUpgradeResponse) -> PicowsSocket:
        unasked = [name for name in _UNASKED if name in response.headers]
        if unasked:
            raise sockets.DialError(f"the server answered with {unasked[0]}, which was not offered")
        return PicowsSocket(limits)

    secure: dict[str, Any] = {
        "ssl_shutdown_timeout": how.close_timeout,
        "ssl_incoming_bio_size": _TLS_BUFFER,
        "ssl_outgoing_bio_size": _TLS_BUFFER,
    }
    try:
        _, socket = await ws_connect(
            accepted,
            url,
            ssl_context=how.tls,
            websocket_handshake_timeout=None,
            enable_auto_pong=False,
            max_frame_size=_SEEN_WHOLE * how.largest,
            extra_headers=how.headers,
            max_redirects=0,
            read_buffer_init_size=_READ_BUFFER,
            socket_factory=connected,
            logger_name=_LOG,
            use_aiofastnet=how.tls is not None,
            **(secure if how.tls else {}),
        )
    except BaseException as error:
        _let_go(made)
        if isinstance(error, WSError):
            answer = error.response if isinstance(error, WSInvalidStatusError) else None
            raise sockets.DialError(str(error), answer.status if answer else None) from error
        raise
    if not isinstance(socket, PicowsSocket):
        raise ConnectionAbortedError("the connection was closed before the handshake was over")
    return socket


async def _connected(host: str, port: int, how: sockets.Dialling) -> kernel.socket:
    """A socket that is connected to the first address that can be reached."""
    loop = asyncio.get_running_loop()
    failures: list[OSError] = []
    for family, kind, protocol, _, address in await loop.getaddrinfo(host, port, type=kernel.SOCK_STREAM):
        made = kernel.socket(family, kind, protocol)
        try:
            made.setblocking(False)  # noqa: FBT003 - its only argument
            made.setsockopt(kernel.SOL_SOCKET, kernel.SO_SNDBUF, how.send_buffer)
            made.setsockopt(kernel.SOL_SOCKET, kernel.SO_RCVBUF, how.receive_buffer)
            await loop.sock_connect(made, address)
        except OSError as error:
            made.close()
            failures.append(error)
        except BaseException:
            made.close()
            raise
        else:
            return made
    raise failures[0]


def _let_go(made: list[kernel.socket]) -> None:
    """End a connection that nobody waits for any more; picows and the loop find it at its end, and clean up."""
    for each in made:
        with suppress(OSError):
            each.shutdown(kernel.SHUT_RDWR)

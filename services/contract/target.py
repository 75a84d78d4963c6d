"""The server that is held against the contract: how to reach it, and raw calls that restore nothing."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

import grpc
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from grpc_status import rpc_status
from websockets.asyncio.client import connect

from services.common import tls
from services.common.config import Address
from services.common.tls import Transport
from services.contract.cases import Answer, Asking
from services.contract.methods import METHODS, answer_class

DEADLINE: Final = 10.0
"""Seconds that a call may take."""


@dataclass(frozen=True, slots=True)
class Target:
    """A running server.

    Args:
        address: Where its gRPC listens.
        clients: The base URL of the relay's client sockets, ``ws://host:7400``; empty when there is none to try.
        key: An API key for each call; empty for none.
        transport: Certificates for mutual TLS.
        name: The DNS name that its certificate must have.
    """

    address: Address
    clients: str = ""
    key: str = field(default="", repr=False)
    transport: Transport = Transport()  # noqa: RUF009 - frozen
    name: str = ""

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What goes with every call."""
        return (("authorization", f"Bearer {self.key}"),) if self.key else ()


class Server:
    """An open channel to a target.

    Args:
        target: The server.
        channel: A channel to it.
    """

    def __init__(self, target: Target, channel: grpc.aio.Channel) -> None:
        self.target = target
        self.channel = channel

    async def call(self, path: str, request: Message) -> Answer:
        """Call an RPC; of a stream the first message is waited for, and the rest is not wanted."""
        try:
            return Answer(grpc.StatusCode.OK, tuple([message async for message in self._messages(path, request)]))
        except grpc.aio.AioRpcError as error:
            return refusal(error)

    async def _messages(self, path: str, request: Message) -> AsyncIterator[Message]:
        call: Any = self.opened(path, request)
        if not METHODS[path].server_streaming:
            yield await call
            return
        try:
            async for message in call:
                yield message
                return
        finally:
            call.cancel()

    def opened(self, path: str, request: Message) -> Any:  # noqa: ANN401 - one of two kinds of call
        """Begin a call."""
        kind = self.channel.unary_stream if METHODS[path].server_streaming else self.channel.unary_unary
        method: Any = kind(path, request_serializer=_serialized, response_deserializer=answer_class(path).FromString)
        return method(request, timeout=DEADLINE, metadata=self.target.metadata)

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[Asking]:
        """What a case prepares itself with; sockets that it opens are closed after it."""
        async with AsyncExitStack() as sockets:

            async def join(path: str, query: Mapping[str, str]) -> None:
                url = f"{self.target.clients}{path}{'&' if '?' in path else '?'}{urlencode(query)}"
                socket = await sockets.enter_async_context(connect(url, compression=None, proxy=None))
                await socket.recv()  # the first message: it is let in

            yield Asking(self.call, join if self.target.clients else None)


@asynccontextmanager
async def reached(target: Target) -> AsyncIterator[Server]:
    """A channel to a target, while the context is open.

    Raises:
        UnusableError: The certificates cannot be used.
    """
    address = str(target.address)
    if not target.transport.encrypted:
        async with grpc.aio.insecure_channel(address, _OPTIONS) as channel:
            yield Server(target, channel)
        return
    credentials = tls.client_credentials(tls.load(target.transport))
    options = (*_OPTIONS, ("grpc.ssl_target_name_override", target.name))
    async with grpc.aio.secure_channel(address, credentials, options) as channel:
        yield Server(target, channel)


_OPTIONS: Final = (("grpc.enable_http_proxy", 0),)


def refusal(error: grpc.aio.AioRpcError) -> Answer:
    """A status with its details."""
    info, retry = ErrorInfo(), RetryInfo()
    try:
        status = rpc_status.from_call(error)  # type: ignore[arg-type]  # AioRpcError has what it reads
    except ValueError:  # the details say another status
        status = None
    details = status.details if status else ()
    informed = any(detail.Unpack(info) for detail in details)
    patient = any(detail.Unpack(retry) for detail in details)
    return Answer(error.code(), (), info if informed else None, retry if patient else None, error.details() or "")


def _serialized(message: Message) -> bytes:
    return message.SerializeToString()

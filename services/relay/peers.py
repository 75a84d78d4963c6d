"""The other replicas of the relay, by the control address in a lease."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import grpc

from filo.handles.v1 import resources_pb2 as resources
from filo.relay.v1 import relay_pb2 as pb
from filo.relay.v1 import relay_pb2_grpc as rpc
from services.common import grpc_client
from services.common.config import parse_address
from services.common.errors import Reason, ServiceError
from services.common.grpc_metrics import GrpcMetrics
from services.common.tls import Transport
from services.common.tracing import Tracer

FORWARDED: Final = "x-filo-forwarded"
"""Metadata of a call that another replica passes on: it is not passed on again."""
MARK: Final = ((FORWARDED, "1"),)
_CONNECT: Final = 1.0
"""Seconds in which a replica that is alive has taken the connection."""


class Peers:
    """Calls them.

    Args:
        transport: What encrypts the calls.
        patience: Seconds in which a conversation must be given back.
        calls: Where they are counted, if they are.
        tracer: What takes their traces, if anything does.
    """

    def __init__(
        self, transport: Transport, patience: float, calls: GrpcMetrics | None = None, tracer: Tracer | None = None
    ) -> None:
        self._transport = transport
        self._patience = patience
        self._calls = calls
        self._tracer = tracer

    async def release(self, holder: str, name: str, mode: resources.Mode.ValueType, owner: resources.Owner) -> bool:
        """Ask for a conversation; returns when it is given back.

        Returns:
            Whether it was held there.

        Raises:
            ServiceError: It cannot be reached, does not answer in time, or refuses.
        """
        async with self._channel(holder) as channel:
            stub: rpc.ReplicaServiceAsyncStub = rpc.ReplicaServiceStub(channel)
            request = pb.ReleaseConversationRequest(conversation=name, mode=mode, owner=owner)
            return (await stub.ReleaseConversation(request, timeout=self._patience)).held

    @asynccontextmanager
    async def calling(self, holder: str) -> "AsyncIterator[rpc.RelayServiceAsyncStub]":
        """The control API of a replica, for calls with `MARK`.

        Raises:
            ServiceError: SERVICE_UNAVAILABLE: it cannot be reached, or is gone before it has answered.
        """
        try:
            async with self._channel(holder) as channel:
                yield rpc.RelayServiceStub(channel)
        except ServiceError as error:
            if error.meaning.retryable:
                raise gone() from error
            raise

    @asynccontextmanager
    async def _channel(self, holder: str) -> AsyncIterator[grpc.aio.Channel]:
        """A channel to a replica that is there.

        Raises:
            ServiceError: SERVICE_UNAVAILABLE: it cannot be reached.
        """
        address = parse_address(holder)
        async with grpc_client.channel(address, "relay", self._transport, self._calls, self._tracer) as channel:
            try:
                async with asyncio.timeout(_CONNECT):
                    await channel.channel_ready()
            except TimeoutError:
                raise gone() from None
            yield channel


def gone() -> ServiceError:
    """The replica that held the conversation is not there, or holds it no longer."""
    return ServiceError(
        Reason.SERVICE_UNAVAILABLE,
        "The replica that held the conversation has just gone; repeat the call.",
        retry_after=1.0,
    )

"""A gRPC channel as every service opens it: errors restored by the table, a deadline on every unary call."""

from collections.abc import AsyncIterator, Callable
from contextlib import nullcontext
from typing import Any, Final

import grpc

from services.common import grpc_keepalive, grpc_tracing
from services.common.api_keys import AUTHORIZATION
from services.common.config import Address
from services.common.grpc_direct import Around, Call, DirectChannel
from services.common.grpc_errors import from_rpc_error
from services.common.grpc_metrics import CallMade, GrpcMetrics, client_interceptors
from services.common.grpc_reload import ReloadingChannel
from services.common.grpc_server import MAX_MESSAGE_BYTES
from services.common.tls import Material, Pem, Transport, client_credentials
from services.common.tracing import Tracer

DEFAULT_DEADLINE: Final = 5.0
"""Seconds a unary call may take when its caller names no deadline."""

OPTIONS: Final = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.enable_http_proxy", 0),  # services speak to each other directly
    ("grpc.lb_policy_name", "round_robin"),  # over all addresses that a name has, as a headless Service gives them
    ("grpc.dns_min_time_between_resolutions_ms", 5_000),
    *grpc_keepalive.both(),
)
"""Options of every channel."""


def _around(key: str, metrics: GrpcMetrics | None) -> Around:
    """A deadline, the key, a count, and errors restored."""
    shown = grpc.aio.Metadata((AUTHORIZATION, f"Bearer {key}")) if key else None

    def around(path: str, call: Call) -> Call:
        method = None if metrics is None else metrics.method(path)

        async def made(request: object, *, timeout: float | None = None, **how: Any) -> Any:  # noqa: ANN401, ASYNC109
            if shown is not None:
                how["metadata"] = grpc.aio.Metadata(*(how.get("metadata") or ()), *shown)
            try:
                with nullcontext() if method is None else CallMade(method):
                    return await call(request, timeout=DEFAULT_DEADLINE if timeout is None else timeout, **how)
            except grpc.aio.AioRpcError as error:
                raise from_rpc_error(error) from error

        return made

    return around


class _Streaming(grpc.aio.UnaryStreamClientInterceptor):
    def __init__(self, key: str) -> None:
        self._key = key

    async def intercept_unary_stream(
        self, continuation: Callable[..., Any], client_call_details: grpc.aio.ClientCallDetails, request: object
    ) -> AsyncIterator[Any]:
        given = client_call_details
        details = grpc.aio.ClientCallDetails(
            given.method, given.timeout, _shown(self._key, given), given.credentials, given.wait_for_ready
        )
        call = await continuation(details, request)

        async def responses() -> AsyncIterator[Any]:
            try:
                async for response in call:
                    yield response
            except grpc.aio.AioRpcError as error:
                raise from_rpc_error(error) from error

        return responses()


def _shown(key: str, given: grpc.aio.ClientCallDetails) -> grpc.aio.Metadata | None:
    """The metadata of a call, with the key."""
    if not key:
        return given.metadata
    return grpc.aio.Metadata(*(given.metadata or ()), (AUTHORIZATION, f"Bearer {key}"))


def channel(
    address: Address,
    service: str = "",
    transport: Transport = Transport(),  # noqa: B008 - frozen
    metrics: GrpcMetrics | None = None,
    tracer: Tracer | None = None,
) -> grpc.aio.Channel:
    """Open a channel; calls on it raise `ServiceError`. Use it as an asynchronous context manager, or close it.

    Args:
        address: Where the service is.
        service: The name that its certificate must have.
        transport: What encrypts the calls, and the API key that goes with each.
        metrics: Where calls are counted, if they are.
        tracer: What takes their traces, if anything does.

    Raises:
        UnusableError: The certificates cannot be used.
    """
    around = _around(transport.api_key, metrics)
    interceptors = [
        _Streaming(transport.api_key),
        *grpc_tracing.client_interceptors(tracer),
        *client_interceptors(metrics),
    ]
    if not transport.encrypted:
        plain = grpc.aio.insecure_channel(str(address), options=OPTIONS, interceptors=interceptors)
        return DirectChannel(plain, around)

    def secure(pem: Pem) -> grpc.aio.Channel:
        options = (*OPTIONS, ("grpc.ssl_target_name_override", service))
        return grpc.aio.secure_channel(str(address), client_credentials(pem), options, interceptors=interceptors)

    return DirectChannel(ReloadingChannel(Material(transport), secure), around)

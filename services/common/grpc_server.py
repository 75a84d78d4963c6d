"""A gRPC server as every service runs it: errors by the table, health, reflection, a bounded stop."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from grpc_status import rpc_status

from services.common import grpc_errors, logs
from services.common.config import Address
from services.common.errors import ServiceError
from services.common.lifecycle import port_error

MAX_MESSAGE_BYTES: Final = 16 * 1024 * 1024
"""A checkpoint or a script is far smaller; a transcript is streamed."""

_OPTIONS: Final = (
    ("grpc.so_reuseport", 0),  # two servers on one port would share its calls in silence
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
)

Context = grpc.aio.ServicerContext[Any, Any]


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Renders `ServiceError`, and hides what nobody foresaw behind INTERNAL; the details go to the log."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:  # noqa: ANN401 - grpc's handlers have no public type
        """Wrap the handler that answers this call."""
        handler = await continuation(handler_call_details)
        name = getattr(handler_call_details, "method", "?")
        if handler is None:
            return None
        if handler.response_streaming:
            return handler._replace(unary_stream=_streaming(handler.unary_stream, name))
        return handler._replace(unary_unary=_unary(handler.unary_unary, name))


def _unary(behaviour: Callable[[Any, Context], Awaitable[Any]], name: str) -> Callable[[Any, Context], Awaitable[Any]]:
    async def call(request: Any, context: Context) -> Any:  # noqa: ANN401 - any message
        try:
            return await behaviour(request, context)
        except Exception as error:  # noqa: BLE001 - the boundary
            await _abort(context, error, name)

    return call


def _streaming(
    behaviour: Callable[[Any, Context], AsyncIterator[Any] | Awaitable[None]], name: str
) -> Callable[[Any, Context], AsyncIterator[Any]]:
    async def call(request: Any, context: Context) -> AsyncIterator[Any]:  # noqa: ANN401 - any message
        try:
            responses = behaviour(request, context)
            if isinstance(responses, Awaitable):  # gRPC's other style, of health's Watch: it writes to the context
                await responses
                return
            async for response in responses:
                yield response
        except Exception as error:  # noqa: BLE001 - the boundary
            await _abort(context, error, name)

    return call


async def _abort(context: Context, error: Exception, name: str) -> None:
    if isinstance(error, grpc.aio.AbortError):
        raise error
    if not isinstance(error, ServiceError):
        logs.get("grpc").error("call failed", method=name, exc_info=error)
        error = grpc_errors.internal()
    await context.abort_with_status(rpc_status.to_status(grpc_errors.to_status(error)))


@asynccontextmanager
async def serving(
    address: Address,
    services: Sequence[str],
    register: Callable[[grpc.aio.Server], None],
    *,
    grace: float = 2.0,
) -> AsyncIterator[Address]:
    """Serve gRPC while the context is open.

    Args:
        address: Where to listen; port 0 takes any free one.
        services: Full names, for health and reflection, for example ``filo.relay.v1.RelayService``.
        register: Adds the servicers to the server.
        grace: Seconds that running calls get when the context closes.

    Yields:
        The address, with the port that was really taken.

    Raises:
        StartupError: The address cannot be listened on.
    """
    server = grpc.aio.server(interceptors=[ErrorInterceptor()], options=_OPTIONS)
    checker = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checker, server)
    reflection.enable_server_reflection([*services, health.SERVICE_NAME, reflection.SERVICE_NAME], server)
    register(server)
    try:
        port = server.add_insecure_port(str(address))
    except RuntimeError as error:
        raise port_error(address, error) from error
    await server.start()
    for name in ("", *services):
        await checker.set(name, health_pb2.HealthCheckResponse.SERVING)
    try:
        yield Address(address.host, port)
    finally:
        await checker.enter_graceful_shutdown()
        await server.stop(grace)

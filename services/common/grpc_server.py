"""A gRPC server as every service runs it: errors by the table, health, reflection, a bounded stop."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from grpc_status import rpc_status
from prometheus_client import CollectorRegistry

from services.common import grpc_errors, grpc_keepalive, grpc_tracing, logs, tls
from services.common.config import Address
from services.common.errors import ServiceError
from services.common.grpc_metrics import GrpcMetrics, counted
from services.common.grpc_wrapping import Handler, Wrap, Wrapping
from services.common.lifecycle import StartupError, port_error
from services.common.readiness import Readiness
from services.common.tls import Transport
from services.common.tracing import Tracer

MAX_MESSAGE_BYTES: Final = 16 * 1024 * 1024
"""A checkpoint or a script is far smaller; a transcript is streamed."""

_OPTIONS: Final = (
    ("grpc.so_reuseport", 0),  # two servers on one port would share its calls in silence
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_connection_age_ms", 300_000),  # a caller then asks anew who is there; its streams go on where they are
    *grpc_keepalive.server(),
)

LIVE: Final = "live"
"""The health of the process itself, by the name that a probe asks for: it serves although it may not be ready."""

Context = grpc.aio.ServicerContext[Any, Any]

Guard = Callable[[str, Context], None]
"""Raises `ServiceError` when whoever calls may not: given the method, ``/package.Service/Call``, and the call."""


def errors(guard: Guard | None = None) -> Wrap:
    """What renders `ServiceError`, and hides what nobody foresaw behind INTERNAL; the details go to the log.

    Args:
        guard: Asked before each call is answered, if there is one.
    """

    def wrap(name: str, handler: Handler) -> Handler:
        if handler.response_streaming:
            return handler._replace(unary_stream=_streaming(handler.unary_stream, name, guard))
        return handler._replace(unary_unary=_unary(handler.unary_unary, name, guard))

    return wrap


def _unary(
    behaviour: Callable[[Any, Context], Awaitable[Any]], name: str, guard: Guard | None
) -> Callable[[Any, Context], Awaitable[Any]]:
    async def call(request: Any, context: Context) -> Any:  # noqa: ANN401 - any message
        try:
            if guard is not None:
                guard(name, context)
            return await behaviour(request, context)
        except Exception as error:  # noqa: BLE001 - the boundary
            await _abort(context, error, name, request)

    return call


def _streaming(
    behaviour: Callable[[Any, Context], AsyncIterator[Any] | Awaitable[None]], name: str, guard: Guard | None
) -> Callable[[Any, Context], AsyncIterator[Any]]:
    async def call(request: Any, context: Context) -> AsyncIterator[Any]:  # noqa: ANN401 - any message
        try:
            if guard is not None:
                guard(name, context)
            responses = behaviour(request, context)
            if isinstance(responses, Awaitable):  # gRPC's other style, of health's Watch: it writes to the context
                await responses
                return
            async for response in responses:
                yield response
        except Exception as error:  # noqa: BLE001 - the boundary
            await _abort(context, error, name, request)

    return call


async def _abort(context: Context, error: Exception, name: str, request: object) -> None:
    if isinstance(error, grpc.aio.AbortError):
        raise error
    if not isinstance(error, ServiceError):
        logs.get("grpc").error("call failed", method=name, **_conversation(request), exc_info=error)
        error = grpc_errors.internal()
    await context.abort_with_status(rpc_status.to_status(grpc_errors.to_status(error)))


def _conversation(request: object) -> dict[str, str]:
    """The conversation that a request is about, by its name: so is it called in requests about one."""
    named = getattr(request, "conversation", None) or getattr(request, "name", None)
    return {"conversation": named} if isinstance(named, str) and named.startswith("conversations/") else {}


@asynccontextmanager
async def serving(  # noqa: PLR0913 - what there is to say about a server
    address: Address,
    services: Sequence[str],
    register: Callable[[grpc.aio.Server], None],
    *,
    transport: Transport = Transport(),  # noqa: B008 - frozen
    guard: Guard | None = None,
    grace: float = 0.5,
    registry: CollectorRegistry | None = None,
    probes: Address | None = None,
    readiness: Readiness | None = None,
    wraps: Sequence[Wrap] = (),
    tracer: Tracer | None = None,
) -> AsyncIterator[Address]:
    """Serve gRPC while the context is open.

    Args:
        address: Where to listen; port 0 takes any free one.
        services: Full names, for health and reflection, for example ``filo.relay.v1.RelayService``.
        register: Adds the servicers to the server.
        transport: What encrypts it; with certificates, only callers that have one of the same authority are served.
        guard: Asked before each call is answered, if there is one.
        grace: Seconds that running calls get when the context closes.
        registry: Where calls are counted, if they are.
        probes: Where health alone is served besides, in the clear: whoever probes has no certificate.
        readiness: What health shows; always serving if not given.
        wraps: What else is put around calls that may be answered, the outermost first.
        tracer: What takes traces of the calls, if anything does.

    Yields:
        The address, with the port that was really taken.

    Raises:
        StartupError: An address cannot be listened on, or the certificates cannot be used.
    """
    watching = [] if tracer is None else [grpc_tracing.traced(tracer)]
    watching += [] if registry is None else [counted(GrpcMetrics(registry, "server", services))]
    server = grpc.aio.server(options=_OPTIONS)
    registrar = Wrapping(server, [*watching, errors(guard), *wraps]).as_server()
    checker = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checker, registrar)
    reflection.enable_server_reflection([*services, health.SERVICE_NAME, reflection.SERVICE_NAME], registrar)
    register(registrar)
    port = _listen(server, address, transport)
    await server.start()
    try:
        async with _shown(readiness or Readiness(), checker, services), _probed(checker, probes):
            yield Address(address.host, port)
    finally:
        await checker.enter_graceful_shutdown()
        await server.stop(grace)


@asynccontextmanager
async def _shown(
    readiness: Readiness, checker: health.aio.HealthServicer, services: Sequence[str]
) -> AsyncIterator[None]:
    """Keep health what readiness is."""
    changed = asyncio.Event()

    async def show() -> None:
        changed.clear()
        word = health_pb2.HealthCheckResponse.SERVING if readiness.ready else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in ("", *services):
            await checker.set(name, word)

    async def follow() -> None:
        while True:
            await changed.wait()
            await show()

    await checker.set(LIVE, health_pb2.HealthCheckResponse.SERVING)
    readiness.follow(lambda _: changed.set())
    await show()
    following = asyncio.create_task(follow())
    try:
        yield
    finally:
        following.cancel()
        await asyncio.wait([following])


@asynccontextmanager
async def _probed(checker: health.aio.HealthServicer, address: Address | None) -> AsyncIterator[None]:
    """Serve nothing but health, in the clear."""
    if address is None:
        yield
        return
    server = grpc.aio.server(options=_OPTIONS)
    health_pb2_grpc.add_HealthServicer_to_server(checker, server)
    _listen(server, address, Transport())
    await server.start()
    try:
        yield
    finally:
        await server.stop(None)


def _listen(server: grpc.aio.Server, address: Address, transport: Transport) -> int:
    try:
        if not transport.encrypted:
            return server.add_insecure_port(str(address))
        return server.add_secure_port(str(address), tls.server_credentials(transport))
    except tls.UnusableError as error:
        raise StartupError(f"FILO_{error.setting}: {error}") from error
    except RuntimeError as error:
        raise port_error(address, error) from error

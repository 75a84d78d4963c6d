"""Traces across gRPC: a span for each call that is made, and one for each that is answered, in the same trace.

Where the caller is goes with the call as W3C Trace Context. gRPC's own services (health, reflection) are in no trace.
Names and attributes are OpenTelemetry's (https://opentelemetry.io/docs/specs/semconv/rpc/grpc/).
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import grpc

from services.common import tracing
from services.common.grpc_outcome import outcome, path_of
from services.common.grpc_wrapping import Handler, Wrap
from services.common.tracing import TRACEPARENT, Kind, Point, Span, Tracer

_GRPC_S_OWN: Final = "/grpc."
_OUR_FAULT: Final = frozenset(
    {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)
"""Codes with which a span of a server has failed; with any other the caller was told what is wrong with its call."""


def traced(tracer: Tracer) -> Wrap:
    """What puts a span around the calls that a server answers. Put it first: it sees what the others make of a call."""

    def wrap(path: str, handler: Handler) -> Handler:
        if path.startswith(_GRPC_S_OWN):
            return handler
        if handler.response_streaming:
            return handler._replace(unary_stream=_streaming(handler.unary_stream, tracer, path))
        return handler._replace(unary_unary=_unary(handler.unary_unary, tracer, path))

    return wrap


def _unary(
    behaviour: Callable[[Any, Any], Awaitable[Any]], tracer: Tracer, path: str
) -> Callable[[Any, Any], Awaitable[Any]]:
    async def call(request: Any, context: Any) -> Any:  # noqa: ANN401 - any message
        with _answered(tracer, path, context):
            return await behaviour(request, context)

    return call


def _streaming(
    behaviour: Callable[[Any, Any], AsyncIterator[Any]], tracer: Tracer, path: str
) -> Callable[[Any, Any], AsyncIterator[Any]]:
    async def call(request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: ANN401 - any message
        with _answered(tracer, path, context):
            async for response in behaviour(request, context):
                yield response

    return call


@contextmanager
def _answered(tracer: Tracer, path: str, context: Any) -> Iterator[None]:  # noqa: ANN401 - gRPC's has no public type
    """The span of a call; its task, which is this call's alone, is there from now on."""
    span = _begun(tracer, path, Kind.SERVER, _caller(context))
    tracing.enter(lambda: span.point)
    error: BaseException | None = None
    try:
        yield
    except BaseException as raised:
        error = raised
        raise
    finally:
        _ended(span, outcome(error, context), _OUR_FAULT)


def _caller(context: Any) -> Point | None:  # noqa: ANN401 - gRPC's has no public type
    for name, value in context.invocation_metadata() or ():
        if name == TRACEPARENT and isinstance(value, str):
            return tracing.parse(value)
    return None


class _Unary(grpc.aio.UnaryUnaryClientInterceptor):
    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    async def intercept_unary_unary(
        self, continuation: Callable[..., Any], client_call_details: grpc.aio.ClientCallDetails, request: object
    ) -> Any:  # noqa: ANN401 - any message
        path = path_of(client_call_details)
        if path.startswith(_GRPC_S_OWN):
            return await continuation(client_call_details, request)
        span = _begun(self._tracer, path, Kind.CLIENT, tracing.here())
        error: BaseException | None = None
        try:
            call = await continuation(_told(client_call_details, span.point), request)
            try:
                await call
            except grpc.aio.AioRpcError as raised:  # whoever awaits the call is told
                error = raised
        except BaseException as raised:
            error = raised
            raise
        finally:
            _ended(span, outcome(error))
        return call


class _Streaming(grpc.aio.UnaryStreamClientInterceptor):
    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    async def intercept_unary_stream(
        self, continuation: Callable[..., Any], client_call_details: grpc.aio.ClientCallDetails, request: object
    ) -> Any:  # noqa: ANN401 - any stream
        path = path_of(client_call_details)
        if path.startswith(_GRPC_S_OWN):
            return await continuation(client_call_details, request)
        span = _begun(self._tracer, path, Kind.CLIENT, tracing.here())
        call = await continuation(_told(client_call_details, span.point), request)

        async def responses() -> AsyncIterator[Any]:
            error: BaseException | None = None
            try:
                async for response in call:
                    yield response
            except BaseException as raised:
                error = raised
                raise
            finally:
                _ended(span, outcome(error))

        return responses()


def client_interceptors(tracer: Tracer | None) -> Iterator[grpc.aio.ClientInterceptor]:
    """What a channel needs so that its calls are traced; nothing without a tracer."""
    if tracer is not None:
        yield _Unary(tracer)
        yield _Streaming(tracer)


def _begun(tracer: Tracer, path: str, kind: Kind, parent: Point | None) -> Span:
    _, service, method = path.split("/")
    attributes = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": method}
    return tracer.begin(path[1:], parent, attributes, kind=kind)


def _ended(
    span: Span, code: grpc.StatusCode, failures: frozenset[grpc.StatusCode] = frozenset(grpc.StatusCode)
) -> None:
    span.note({"rpc.grpc.status_code": code.value[0]})
    span.end(code.name if code in failures and code is not grpc.StatusCode.OK else "")


def _told(given: grpc.aio.ClientCallDetails, point: Point) -> grpc.aio.ClientCallDetails:
    """A call that tells where its caller is."""
    metadata = grpc.aio.Metadata(*(given.metadata or ()), (TRACEPARENT, point.header))
    return grpc.aio.ClientCallDetails(given.method, given.timeout, metadata, given.credentials, given.wait_for_ready)

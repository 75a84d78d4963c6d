"""What Prometheus sees of gRPC, in the names that the ecosystem's dashboards and alerts know.

The names, the labels and the spelling of the codes are those of go-grpc-prometheus
(https://github.com/grpc-ecosystem/go-grpc-middleware, providers/prometheus), so that rules of others fit as they are.
Every method of a service that is named starts at 0 with every code; methods of other services are not counted.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, Final, Literal, Self

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import MethodDescriptor
from prometheus_client import CollectorRegistry, Counter, Histogram

from services.common.grpc_outcome import code_name, outcome, path_of
from services.common.grpc_wrapping import Handler, Wrap

Side = Literal["server", "client"]

SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Buckets of a call's duration."""

_LABELS: Final = ("grpc_type", "grpc_service", "grpc_method")
_WORDS: Final = {
    "server": ("RPCs started on the server.", "RPCs completed on the server, by how.", "on the server"),
    "client": ("RPCs started by the client.", "RPCs completed by the client, by how.", "for the client"),
}


class GrpcMetrics:
    """The series of one side.

    Args:
        registry: Where they are registered.
        side: Whether calls are answered or made.
        services: Full names, for example ``filo.relay.v1.RelayService``; their generated modules are imported.
    """

    def __init__(self, registry: CollectorRegistry, side: Side, services: Sequence[str]) -> None:
        started, handled, where = _WORDS[side]
        self._started = Counter(f"grpc_{side}_started_total", started, _LABELS, registry=registry)
        self._handled = Counter(f"grpc_{side}_handled_total", handled, (*_LABELS, "grpc_code"), registry=registry)
        self._seconds = Histogram(
            f"grpc_{side}_handling_seconds",
            f"How long RPCs took {where}.",
            _LABELS,
            buckets=SECONDS,
            registry=registry,
        )
        pool = descriptor_pool.Default()
        self._methods: dict[str, Method] = {}
        for name in services:
            for method in pool.FindServiceByName(name).methods:
                labels = (_kind(method), name, method.name)
                self._methods[f"/{name}/{method.name}"] = Method(
                    self._started.labels(*labels),
                    {code: self._handled.labels(*labels, code_name(code)) for code in grpc.StatusCode},
                    self._seconds.labels(*labels),
                )

    def method(self, path: str) -> "Method | None":
        """The series of one method, ``/package.Service/Call``; None for one that is not counted."""
        return self._methods.get(path)


class Method:
    """The series of one method.

    Args:
        started: Counts its calls.
        handled: Counts them by code.
        seconds: Measures them.
    """

    def __init__(self, started: Counter, handled: dict[grpc.StatusCode, Counter], seconds: Histogram) -> None:
        self._started = started
        self._handled = handled
        self._seconds = seconds

    def began(self) -> float:
        """Count a call that begins; gives the moment."""
        self._started.inc()
        return asyncio.get_running_loop().time()

    def ended(self, began: float, code: grpc.StatusCode) -> None:
        """Count how it ended."""
        self._handled[code].inc()
        self._seconds.observe(asyncio.get_running_loop().time() - began)


class CallMade:
    """A call under way, from its beginning to its end.

    Args:
        method: Where it is counted.
        context: Of a call that is answered; None for one that is made.
    """

    def __init__(self, method: Method, context: Any = None) -> None:  # noqa: ANN401 - grpc's context has no public type
        self._method = method
        self._context = context
        self._began = 0.0

    def __enter__(self) -> Self:
        self._began = self._method.began()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._method.ended(self._began, outcome(error, self._context))


def counted(metrics: GrpcMetrics) -> Wrap:
    """What counts the calls that a server answers. Put it first: it sees what the others make of a call.

    Args:
        metrics: Where they are counted.
    """

    def wrap(path: str, handler: Handler) -> Handler:
        method = metrics.method(path)
        if method is None:
            return handler
        if handler.response_streaming:
            return handler._replace(unary_stream=_streaming(handler.unary_stream, method))
        return handler._replace(unary_unary=_unary(handler.unary_unary, method))

    return wrap


def _unary(behaviour: Callable[[Any, Any], Awaitable[Any]], method: Method) -> Callable[[Any, Any], Awaitable[Any]]:
    async def call(request: Any, context: Any) -> Any:  # noqa: ANN401 - any message
        with CallMade(method, context):
            return await behaviour(request, context)

    return call


def _streaming(
    behaviour: Callable[[Any, Any], AsyncIterator[Any]], method: Method
) -> Callable[[Any, Any], AsyncIterator[Any]]:
    async def call(request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: ANN401 - any message
        with CallMade(method, context):
            async for response in behaviour(request, context):
                yield response

    return call


class StreamClientInterceptor(grpc.aio.UnaryStreamClientInterceptor):
    """Counts streaming calls that are made. Put it last.

    Args:
        metrics: Where they are counted.
    """

    def __init__(self, metrics: GrpcMetrics) -> None:
        self._metrics = metrics

    async def intercept_unary_stream(
        self, continuation: Callable[..., Any], client_call_details: grpc.aio.ClientCallDetails, request: object
    ) -> Any:  # noqa: ANN401 - any stream
        """Make the call; it is counted when its stream ends."""
        call = await continuation(client_call_details, request)
        method = self._metrics.method(path_of(client_call_details))
        return call if method is None else _counted(call, method)


def client_interceptors(metrics: GrpcMetrics | None) -> Iterator[grpc.aio.ClientInterceptor]:
    """What a channel needs so that its streams are counted; nothing without metrics."""
    if metrics is not None:
        yield StreamClientInterceptor(metrics)


async def _counted(call: AsyncIterator[Any], method: Method) -> AsyncIterator[Any]:
    with CallMade(method):
        async for response in call:
            yield response


def _kind(method: MethodDescriptor) -> str:
    if method.server_streaming:
        return "bidi_stream" if method.client_streaming else "server_stream"
    return "client_stream" if method.client_streaming else "unary"

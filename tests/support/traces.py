"""Traces in tests: kept in memory, or taken by a collector that speaks OTLP on a real socket."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as rpc
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from typing_extensions import override

from services.common.tracing_otel import OtelTracer, provider
from services.common.tracing_settings import Tracing

PATIENCE: Final = 20.0
"""Seconds in which a collector has been sent what it shall be sent."""


class Memory:
    """A tracer whose spans stay here.

    Args:
        tracing: Its settings.
    """

    def __init__(self, tracing: Tracing = Tracing(exporter="otlp", service="tests")) -> None:  # noqa: B008 - frozen
        self._exporter = InMemorySpanExporter()
        self.tracer = OtelTracer(provider(tracing, SimpleSpanProcessor(self._exporter)))

    def spans(self, name: str = "") -> list[ReadableSpan]:
        """Those that have ended, in that order; of one name if it is given."""
        return [span for span in self._exporter.get_finished_spans() if not name or span.name == name]

    def one(self, name: str) -> ReadableSpan:
        """The only one of a name."""
        (found,) = self.spans(name)
        return found


def told(span: ReadableSpan) -> list[str]:
    """The names of its events."""
    return [event.name for event in span.events]


@dataclass(frozen=True)
class Told:
    """A span as a collector got it.

    Args:
        service: Whose it is.
        span: The message.
    """

    service: str
    span: Any = field(repr=False)

    @property
    def name(self) -> str:
        """What kind of work it is."""
        return str(self.span.name)

    @property
    def trace(self) -> str:
        """Of which trace, in hex."""
        return bytes(self.span.trace_id).hex()

    @property
    def events(self) -> list[str]:
        """The names of its events."""
        return [str(event.name) for event in self.span.events]

    @property
    def attributes(self) -> dict[str, object]:
        """What is known of it."""
        return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in self.span.attributes}


class Collector(rpc.TraceServiceServicer):
    """Takes spans.

    Attributes:
        url: Where.
        spans: In the order in which they came.
        raw: All of it as it came.
        metadata: What came with the first export.
    """

    def __init__(self) -> None:
        self.url = ""
        self.spans: list[Told] = []
        self.raw = b""
        self.metadata: dict[str, str] = {}
        self._came = asyncio.Event()

    @override
    async def Export(self, request: Any, context: Any) -> pb.ExportTraceServiceResponse:
        self.metadata = self.metadata or dict(context.invocation_metadata())
        self.raw += request.SerializeToString()
        for resource in request.resource_spans:
            named = {each.key: each.value.string_value for each in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.spans += [Told(named["service.name"], span) for span in scope.spans]
        self._came.set()
        return pb.ExportTraceServiceResponse()

    async def until(self, enough: Callable[[list[Told]], bool]) -> None:
        """Wait, bounded, until what has come is enough."""
        async with asyncio.timeout(PATIENCE):
            while not enough(self.spans):
                self._came.clear()
                await self._came.wait()


@asynccontextmanager
async def collector(certificates: Path | None = None) -> AsyncIterator[Collector]:
    """A collector that listens on a free port of this machine.

    Args:
        certificates: Where its certificate for ``localhost`` and the key of it are; in the clear without.
    """
    taking = Collector()
    server = grpc.aio.server()
    rpc.add_TraceServiceServicer_to_server(taking, server)  # type: ignore[no-untyped-call]  # generated
    if certificates is None:
        taking.url = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    else:
        pair = ((certificates / "tls.key").read_bytes(), (certificates / "tls.crt").read_bytes())
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
        taking.url = f"https://localhost:{port}"
    await server.start()
    try:
        yield taking
    finally:
        await server.stop(None)

"""Spans in OpenTelemetry's library, exported as OTLP over gRPC: the only module that imports it.

A thread of the library's sends what has ended, every few seconds; what a collector does not take in time is dropped,
and the log says so. No service waits for a collector, not even at its end: it gets `FLUSH` seconds for what is left.
"""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Final

import grpc
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, SpanProcessor, TracerProvider, sampling
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from services.common.tracing import NONE, Attributes, Kind, Point, Span
from services.common.tracing_settings import Tracing

FLUSH: Final = 2.0
"""Seconds that a collector has to take what is left at the end."""
_QUEUE: Final = 8_192
_BATCH: Final = 512
_EVERY: Final = 2_000
"""Spans that wait at most, spans in an export, milliseconds between two."""
_LIMITS: Final = SpanLimits(
    max_span_attributes=64, max_event_attributes=16, max_events=512, max_links=8, max_attribute_length=512
)

_KINDS: Final = {
    Kind.INTERNAL: trace.SpanKind.INTERNAL,
    Kind.SERVER: trace.SpanKind.SERVER,
    Kind.CLIENT: trace.SpanKind.CLIENT,
}


def sampler(tracing: Tracing) -> sampling.Sampler:
    """What decides which traces are kept."""
    name = tracing.sampler.removeprefix("parentbased_")
    roots: dict[str, sampling.Sampler] = {
        "always_on": sampling.ALWAYS_ON,
        "always_off": sampling.ALWAYS_OFF,
        "traceidratio": sampling.TraceIdRatioBased(tracing.ratio),
    }
    return roots[name] if name == tracing.sampler else sampling.ParentBased(roots[name])


def provider(tracing: Tracing, processor: SpanProcessor) -> TracerProvider:
    """The library's part that makes spans, and gives them to `processor` when they end."""
    resource = Resource({**dict(tracing.resource), "service.name": tracing.service})
    made = TracerProvider(sampler(tracing), resource, shutdown_on_exit=False, span_limits=_LIMITS)
    made.add_span_processor(processor)
    return made


@asynccontextmanager
async def exporting(tracing: Tracing, flush: float = FLUSH) -> AsyncIterator["OtelTracer"]:
    """Export spans while the context is open.

    Args:
        tracing: Where to.
        flush: Seconds that leaving the context may take.
    """
    exporter = OTLPSpanExporter(
        endpoint=tracing.endpoint,
        insecure=tracing.endpoint.startswith("http://"),
        credentials=_credentials(tracing),
        headers=tracing.headers,
        timeout=tracing.export_timeout / 1000,
        compression=grpc.Compression.NoCompression,
        channel_options=(("grpc.enable_http_proxy", 0),),  # type: ignore[arg-type]  # gRPC takes numbers
    )
    processor = BatchSpanProcessor(exporter, _QUEUE, _EVERY, _BATCH, tracing.export_timeout)
    made = provider(tracing, processor)
    try:
        yield OtelTracer(made)
    finally:
        await _shut_down(made, exporter, flush)


def _credentials(tracing: Tracing) -> grpc.ChannelCredentials | None:
    if tracing.endpoint.startswith("http://"):
        return None
    return grpc.ssl_channel_credentials(tracing.certificate.read_bytes() if tracing.certificate else None)


async def _shut_down(made: TracerProvider, exporter: OTLPSpanExporter, flush: float) -> None:
    """Send what is left, bounded: the library itself would wait for half a minute.

    In a thread that the end of the process does not wait for. Cancelling leaves it to that.
    """
    loop, done = asyncio.get_running_loop(), asyncio.Event()

    def work() -> None:
        made.shutdown()
        with suppress(RuntimeError):  # nobody waits any more
            loop.call_soon_threadsafe(done.set)

    threading.Thread(target=work, name="filo-traces", daemon=True).start()
    try:
        async with asyncio.timeout(flush):
            await done.wait()
    except TimeoutError:
        exporter.shutdown()  # ends the export that is under way, and with it the thread


class OtelTracer:
    """`tracing.Tracer`.

    Args:
        made: From `provider`.
    """

    def __init__(self, made: TracerProvider) -> None:
        self._tracer = made.get_tracer("filo")

    def begin(
        self,
        name: str,
        parent: Point | None = None,
        attributes: Attributes = NONE,
        *,
        kind: Kind = Kind.INTERNAL,
        at: datetime | None = None,
    ) -> Span:
        """A piece of work begins."""
        context = Context() if parent is None else trace.set_span_in_context(_elsewhere(parent), Context())
        began = None if at is None else round(at.timestamp() * 1e6) * 1000  # a float holds no more
        return _OtelSpan(
            self._tracer.start_span(name, context, _KINDS[kind], attributes, start_time=began, record_exception=False)
        )


class _OtelSpan:
    def __init__(self, span: trace.Span) -> None:
        self._span = span
        context = span.get_span_context()
        self._point = Point(context.trace_id, context.span_id, context.trace_flags.sampled)

    @property
    def point(self) -> Point:
        return self._point

    def tell(self, event: str, attributes: Attributes = NONE) -> None:
        self._span.add_event(event, attributes)

    def note(self, attributes: Attributes) -> None:
        self._span.set_attributes(attributes)

    def end(self, failed: str = "") -> None:
        if failed:
            self._span.set_status(trace.StatusCode.ERROR, failed)
        self._span.end()


def _elsewhere(point: Point) -> trace.NonRecordingSpan:
    flags = trace.TraceFlags(trace.TraceFlags.SAMPLED if point.sampled else trace.TraceFlags.DEFAULT)
    return trace.NonRecordingSpan(trace.SpanContext(point.trace, point.span, is_remote=True, trace_flags=flags))

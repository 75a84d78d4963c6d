"""A service's tracer, where it is set to export traces; the library that does it is loaded only then."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from services.common.tracing import Tracer
from services.common.tracing_settings import Tracing


@asynccontextmanager
async def opened(tracing: Tracing, service: str) -> AsyncIterator[Tracer | None]:
    """What takes traces, if anything does; leaving the context sends what is left, in a bounded time.

    Args:
        tracing: Where they go.
        service: The service's own name, for example ``relay``.
    """
    if not tracing.on:
        yield None
        return
    from services.common import tracing_otel  # noqa: PLC0415 - who makes no traces does not pay for the library

    async with tracing_otel.exporting(replace(tracing, service=tracing.service or f"filo-{service}")) as tracer:
        yield tracer

"""Structured logs: JSON in production, readable on a terminal, on standard error either way.

Never audio, text, handles, tokens or keys. A secret appears as its `fingerprint`; what gets into a line all the same is
blotted out by `redaction`. A line names the conversation and, where tracing is on, the trace that its task is in.
"""

import hashlib
import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Final

import structlog

from services.common import redaction, tracing

_CHATTY: Final = (
    "websockets",
    "picows",
    "aiofastnet",
    "aiohttp",
    "grpc",
    "google",
    "google_genai",
    "sqlalchemy",
    "aiosqlite",
    "alembic",
    "asyncio",
    "opentelemetry",
)
"""Libraries that log below a warning what must not be logged (a query string, a frame) or helps nobody."""


def fingerprint(secret: str) -> str:
    """Eight hex digits that tell two secrets apart and give neither away."""
    return hashlib.sha256(secret.encode()).hexdigest()[:8]


def conversation(name: str) -> None:
    """From now on the lines of the running task, and of those that it starts, name a conversation."""
    structlog.contextvars.bind_contextvars(conversation=name)


def _place(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Name the trace, as OpenTelemetry wants it in a line of JSON."""
    point = tracing.here()
    if point is not None and point.sampled:
        event["trace_id"], event["span_id"] = f"{point.trace:032x}", f"{point.span:016x}"
    return event


def configure(level: str = "INFO") -> None:
    """Set up logging for the process. Call once, first.

    Args:
        level: DEBUG, INFO, WARNING or ERROR.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _place,
    ]
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,  # not the terminal's own, which shows variables with their values
                redaction.redact,
                renderer,
            ],
        )
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def debugging(room: str) -> bool:
    """Whether the logger of a room says what is only of use to who looks for a fault: ask where it happens often."""
    return logging.getLogger(f"filo.{room}").isEnabledFor(logging.DEBUG)


def get(room: str) -> structlog.stdlib.BoundLogger:
    """The logger of a room, for example ``get("relay")``."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(f"filo.{room}", room=room)
    return logger  # not bound before it is used, so that a module may make one before `configure` is called

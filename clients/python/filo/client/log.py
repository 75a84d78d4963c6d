"""Where a client says what becomes of its sockets, in structlog's manner, which the standard library can follow."""

import logging
from typing import Any, Protocol


class Log(Protocol):
    """What takes log entries; structlog's bound loggers do as they are."""

    def info(self, event: str, **fields: Any) -> object:  # noqa: ANN401 - anything a log can show
        """Note something ordinary."""
        ...

    def warning(self, event: str, **fields: Any) -> object:  # noqa: ANN401 - anything a log can show
        """Note something that should not be."""
        ...


class StandardLog:
    """Entries for a logger of the standard library: ``reconnecting attempt=1 wait=1.5 cause=cut``.

    Args:
        logger: Where they go; ``filo.client`` when not given.
    """

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self._logger = logger or logging.getLogger("filo.client")

    def info(self, event: str, **fields: object) -> None:
        """Note something ordinary."""
        self._logger.info(_line(event, fields))

    def warning(self, event: str, **fields: object) -> None:
        """Note something that should not be."""
        self._logger.warning(_line(event, fields))


def _line(event: str, fields: dict[str, object]) -> str:
    return " ".join([event, *(f"{name}={value}" for name, value in fields.items())])

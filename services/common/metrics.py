"""The /metrics endpoint: one registry, rendered by prometheus-client, served by the standard library in a thread."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from threading import Thread
from typing import Final

from prometheus_client import CollectorRegistry, MetricsHandler, disable_created_metrics

from services.common.config import Address
from services.common.lifecycle import port_error

disable_created_metrics()  # type: ignore[no-untyped-call]  # when a counter was made: a second series for each, which nobody reads

_POLL: Final = 0.02
"""Seconds between two looks whether to stop; the library's own server looks twice a second, and a stop waits for it."""


@contextmanager
def serving(registry: CollectorRegistry, address: Address) -> Iterator[Address]:
    """Serve `registry` at http://address/metrics while the context is open.

    Yields:
        The address, with the port that was really taken.

    Raises:
        StartupError: The address cannot be listened on.
    """
    try:
        server = ThreadingHTTPServer((address.host, address.port), MetricsHandler.factory(registry))
    except OSError as error:
        raise port_error(address, error) from error
    thread = Thread(target=server.serve_forever, args=(_POLL,), daemon=True)
    thread.start()
    try:
        yield Address(address.host, server.server_port)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

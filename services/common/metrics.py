"""The /metrics endpoint: one registry, rendered by prometheus-client, served by the standard library in a thread."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import ThreadingHTTPServer
from socket import create_connection
from threading import Thread

from prometheus_client import CollectorRegistry, MetricsHandler, disable_created_metrics

from services.common.config import Address
from services.common.lifecycle import port_error

disable_created_metrics()  # type: ignore[no-untyped-call]  # when a counter was made: a second series for each, which nobody reads


class _Server(ThreadingHTTPServer):
    """Waits for requests, and for nothing else.

    The library's own loop looks several times a second whether it is to stop, and takes the interpreter from everybody
    each time.
    """

    timeout = 1.0
    """Seconds after which it looks whether to stop even where nobody could come to wake it."""

    def __init__(self, address: Address, registry: CollectorRegistry) -> None:
        super().__init__((address.host, address.port), MetricsHandler.factory(registry))
        self._host = address.host
        self._stopping = False

    def serve(self) -> None:
        """Answer until `stop`."""
        while not self._stopping:
            self.handle_request()

    def stop(self) -> None:
        """Make `serve` return: it waits for a caller, and here is one."""
        self._stopping = True
        with suppress(OSError):
            create_connection((self._host, self.server_port), timeout=self.timeout).close()


@contextmanager
def serving(registry: CollectorRegistry, address: Address) -> Iterator[Address]:
    """Serve `registry` at http://address/metrics while the context is open.

    Yields:
        The address, with the port that was really taken.

    Raises:
        StartupError: The address cannot be listened on.
    """
    try:
        server = _Server(address, registry)
    except OSError as error:
        raise port_error(address, error) from error
    thread = Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        yield Address(address.host, server.server_port)
    finally:
        server.stop()
        thread.join()
        server.server_close()

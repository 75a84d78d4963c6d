"""The /metrics endpoint."""

import socket
import time
import urllib.request

import pytest
from prometheus_client import CollectorRegistry, Counter

from services.common import metrics
from services.common.config import Address
from services.common.lifecycle import StartupError


def read(address: Address) -> str:
    """What Prometheus would read there."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        return str(answer.read().decode())


def test_a_registry_is_served_while_the_context_is_open() -> None:
    """Only what is in the registry, on a port that is told; afterwards nobody listens there."""
    registry = CollectorRegistry()
    Counter("filo_test_turns", "Turns.", registry=registry).inc(3)
    with metrics.serving(registry, Address("127.0.0.1", 0)) as address:
        text = read(address)
    assert "filo_test_turns_total 3.0" in text
    assert "python_info" not in text
    with pytest.raises(OSError, match="refused"):
        read(address)


def test_a_port_in_use_is_a_startup_error_that_names_it() -> None:
    """One clear sentence instead of a traceback."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = Address("127.0.0.1", taken.getsockname()[1])
        with (
            pytest.raises(StartupError, match=f"cannot listen on {address}"),
            metrics.serving(CollectorRegistry(), address),
        ):
            pass


def test_it_stops_at_once_and_answers_nobody_afterwards() -> None:
    """Although nothing but a caller wakes it, and it is one that says nothing."""
    for _ in range(20):
        began = time.monotonic()
        with metrics.serving(CollectorRegistry(), Address("127.0.0.1", 0)) as address:
            silent = socket.create_connection((address.host, address.port))
        silent.close()
        assert time.monotonic() - began < 0.9, "it did not wait until it looked by itself"

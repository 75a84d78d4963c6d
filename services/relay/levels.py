"""What the relay's parts hold at this moment, read at each scrape."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector


@dataclass(frozen=True, slots=True)
class Levels:
    """Where the levels are read; called from the thread that serves the metrics, so they only look.

    Args:
        breaker_open: Whether the breaker holds dials back.
        breaker_trips: How often it has opened.
        dials_waiting: Dials that wait for their turn.
        dials_active: Dials that are being made.
        replay_bytes: What all replay buffers hold.
        outbox_bytes: What is kept for all clients.
    """

    breaker_open: Callable[[], bool]
    breaker_trips: Callable[[], int]
    dials_waiting: Callable[[], int]
    dials_active: Callable[[], int]
    replay_bytes: Callable[[], int]
    outbox_bytes: Callable[[], int]


class LevelsCollector(Collector):
    """Reads levels when Prometheus asks.

    Args:
        registry: Where the series are registered.
        levels: Where they are read.
    """

    def __init__(self, registry: CollectorRegistry, levels: Levels) -> None:
        self._levels = levels
        registry.register(self)

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """The series as they are now."""
        levels = self._levels
        yield CounterMetricFamily(
            "filo_relay_breaker_trips", "How often the breaker has opened.", value=levels.breaker_trips()
        )
        for name, text, read in (
            ("breaker_open", "1 while the breaker holds dials back, else 0.", levels.breaker_open),
            ("dials_waiting", "Dials that wait for their turn at the gate.", levels.dials_waiting),
            ("dials_active", "Connections to Gemini that are being made now.", levels.dials_active),
            (
                "replay_bytes",
                "Audio kept for the next connection to Gemini, in all conversations.",
                levels.replay_bytes,
            ),
            ("outbox_bytes", "What is kept for clients that are away, slow, or may come back.", levels.outbox_bytes),
        ):
            yield GaugeMetricFamily(f"filo_relay_{name}", text, value=read())

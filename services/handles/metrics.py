"""What Prometheus sees of the handle store. Label values are closed sets that start at 0."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from services.common.clock import Clock
from services.common.errors import Reason, ServiceError
from services.handles.policy import Redemption
from services.handles.refusals import ALWAYS, REFUSALS
from services.handles.sweeps import Kind

_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_UNFORESEEN: Final = ("internal", "cancelled")


class Call:
    """One call under way; `result` is set when it succeeds."""

    def __init__(self) -> None:
        self.result = "cancelled"


class Metrics:
    """The service's series.

    Args:
        registry: Where they are registered.
        clock: Measures how long calls take.
    """

    def __init__(self, registry: CollectorRegistry, clock: Clock) -> None:
        self._clock = clock
        self.redemptions = _counter(
            registry, "redemptions", "Resume handles presented at an attach, by what they were.", "result", Redemption
        )
        self.validations = _counter(
            registry, "validations", "Resume handles judged without use, by what they were.", "result", Redemption
        )
        self.turns = Counter("filo_handles_turns_total", "Turns stored for the first time.", registry=registry)
        self.deletions = _counter(
            registry,
            "deletions",
            "Conversations by what was done: expired (their handles were deleted), abandoned (they were ended), ended "
            "(they were deleted, some time after the end), asked (they were deleted at somebody's word).",
            "kind",
            (*Kind, "asked"),
        )
        self.sweep_lag = Gauge(
            "filo_handles_sweep_lag_seconds",
            "How long the longest overdue conversation had waited for the sweeper when it came, by what is swept.",
            ["kind"],
            registry=registry,
        )
        for kind in Kind:
            self.sweep_lag.labels(kind)
        self.sweeps = _counter(
            registry, "sweeps", "Rounds of the sweeper, by result.", "result", ("done", "store_unavailable", "internal")
        )
        fenced = (call for call, reasons in REFUSALS.items() if Reason.EPOCH_FENCED in reasons)
        self.fenced = _counter(registry, "fenced", "Writes refused for an older epoch, by call.", "call", fenced)
        self._seconds = Histogram(
            "filo_handles_call_seconds",
            "How long a call took, by call.",
            ["call"],
            buckets=_SECONDS,
            registry=registry,
        )
        for call in REFUSALS:
            self._seconds.labels(call)
        self._results = {
            "CreateConversation": _counter(
                registry,
                "creates",
                "Creations of conversations, by result.",
                "result",
                _results("CreateConversation", "created", "repeated"),
            ),
            "AttachConversation": _counter(
                registry,
                "attaches",
                "Attaches, by result; taken_over when the holder before still had a lease.",
                "result",
                _results("AttachConversation", "attached", "taken_over"),
            ),
            "Checkpoint": _counter(
                registry,
                "checkpoints",
                "Checkpoints, by result; repeated when it held turns and all were stored before.",
                "result",
                _results("Checkpoint", "stored", "repeated"),
            ),
        }

    @contextmanager
    def call(self, name: str) -> Iterator[Call]:
        """Measure one call and count its result.

        Args:
            name: The RPC.
        """
        call, started = Call(), self._clock.monotonic()
        try:
            yield call
        except ServiceError as error:
            call.result = error.reason.value.lower()
            if error.reason is Reason.EPOCH_FENCED:
                self.fenced.labels(name).inc()
            raise
        except Exception:
            call.result = "internal"
            raise
        finally:
            self._seconds.labels(name).observe(self._clock.monotonic() - started)
            if name in self._results:
                self._results[name].labels(call.result).inc()


def _results(call: str, *successes: str) -> Iterable[str]:
    return (*successes, *(reason.value.lower() for reason in (*REFUSALS[call], *ALWAYS)), *_UNFORESEEN)


def _counter(registry: CollectorRegistry, noun: str, text: str, label: str, values: Iterable[str]) -> Counter:
    counter = Counter(f"filo_handles_{noun}_total", text, [label], registry=registry)
    for value in values:
        counter.labels(str(value))
    return counter

"""What Prometheus sees of the handle store. Label values are closed sets that start at 0."""

from collections.abc import Iterable
from types import TracebackType
from typing import Final, Generic, Self, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from services.common.errors import Reason, ServiceError
from services.handles.policy import Redemption
from services.handles.refusals import ALWAYS, REFUSALS
from services.handles.sweeps import Kind

_WRITES: Final = (1, 2, 4, 8, 16, 32, 64)
_AGES: Final = (1.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0)
_UNFORESEEN: Final = ("internal", "cancelled")


_M = TypeVar("_M", Counter, Gauge, Histogram)


class Closed(Generic[_M]):
    """A metric with one label whose values are all known: they start at 0, and are found without a search.

    Args:
        metric: With its one label.
        values: All that the label may be.
    """

    def __init__(self, metric: _M, values: Iterable[str]) -> None:
        self._children: dict[str, _M] = {str(value): metric.labels(str(value)) for value in values}

    def labels(self, value: str) -> _M:
        """The series of a value.

        Raises:
            KeyError: It is none of the known ones.
        """
        return self._children[value]


class Call:
    """One call under way, counted when the context is left; `result` is set when it succeeds.

    Args:
        metrics: Where it is counted.
        name: The RPC.
    """

    __slots__ = ("_metrics", "_name", "result")

    def __init__(self, metrics: "Metrics", name: str) -> None:
        self._metrics = metrics
        self._name = name
        self.result = "cancelled"

    def __enter__(self) -> Self:
        """The call itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Count how it ended."""
        if isinstance(error, ServiceError):
            self.result = error.reason.value.lower()
        elif isinstance(error, Exception):
            self.result = "internal"
        fenced = isinstance(error, ServiceError) and error.reason is Reason.EPOCH_FENCED
        self._metrics.ended(self._name, self.result, fenced=fenced)


class Metrics:
    """The service's series.

    Args:
        registry: Where they are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.redemptions = _counter(
            registry, "redemptions", "Resume handles presented at an attach, by what they were.", "result", Redemption
        )
        self.validations = _counter(
            registry, "validations", "Resume handles judged without use, by what they were.", "result", Redemption
        )
        self.handle_age = Histogram(
            "filo_handles_handle_age_seconds",
            "How old the upstream handle was that an attach gave out.",
            buckets=_AGES,
            registry=registry,
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
        lag = Gauge(
            "filo_handles_sweep_lag_seconds",
            "How long the longest overdue conversation had waited for the sweeper when it came, by what is swept.",
            ["kind"],
            registry=registry,
        )
        self.sweep_lag = Closed(lag, Kind)
        self.sweeps = _counter(
            registry, "sweeps", "Rounds of the sweeper, by result.", "result", ("done", "store_unavailable", "internal")
        )
        self.commits = Histogram(
            "filo_handles_commit_writes",
            "How many writes shared a commit, where the store has one writer (SQLite).",
            buckets=_WRITES,
            registry=registry,
        )
        fenced = (call for call, reasons in REFUSALS.items() if Reason.EPOCH_FENCED in reasons)
        self.fenced = _counter(registry, "fenced", "Writes refused for an older epoch, by call.", "call", fenced)
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
            "AddFeedback": _counter(
                registry,
                "feedback_adds",
                "Items of feedback given, by result.",
                "result",
                _results("AddFeedback", "added", "repeated"),
            ),
        }

    def call(self, name: str) -> Call:
        """Count the result of one call, when the context that is returned is left; gRPC's own series measure it.

        Args:
            name: The RPC.
        """
        return Call(self, name)

    def refused(self, name: str, error: ServiceError) -> None:
        """Count a call that was refused before it began.

        Args:
            name: The RPC.
            error: Why.
        """
        if name in REFUSALS:
            self.ended(name, error.reason.value.lower(), fenced=False)

    def ended(self, name: str, result: str, *, fenced: bool) -> None:
        """Count a call.

        Args:
            name: The RPC.
            result: A value of the call's own counter, if it has one.
            fenced: It was refused for an older epoch.
        """
        if fenced:
            self.fenced.labels(name).inc()
        if name in self._results:
            self._results[name].labels(result).inc()


def _results(call: str, *successes: str) -> Iterable[str]:
    return (*successes, *(reason.value.lower() for reason in (*REFUSALS[call], *ALWAYS)), *_UNFORESEEN)


def _counter(registry: CollectorRegistry, noun: str, text: str, label: str, values: Iterable[str]) -> Closed[Counter]:
    return Closed(Counter(f"filo_handles_{noun}_total", text, [label], registry=registry), values)

"""What Prometheus reads of the simulator."""

import itertools
from collections.abc import Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from filo.simulator.v1 import simulator_pb2 as pb
from services.simulator import judge, verdicts

OUTCOMES: Final = {
    pb.OUTCOME_COMPLETED: "completed",
    pb.OUTCOME_LOST: "lost",
    pb.OUTCOME_STOPPED: "stopped",
    pb.OUTCOME_FAILED: "failed",
}
"""The words for outcomes, in metrics and in reports."""

CAUSES: Final = ("go_away", "cut", "silent", "closed")
RESULTS: Final = ("resumed", "failed")
_PASSED: Final = "passed"
_FAILED: Final = "failed"
_GAP_BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32)


class Metrics:
    """The simulator's series in `registry`; every label value is there from the start, at 0."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._runs = Counter(
            "filo_simulator_runs_total", "Runs that have ended, by outcome.", ["outcome"], registry=registry
        )
        self._running = Gauge("filo_simulator_runs_running", "Runs in progress.", registry=registry)
        self._turns = Counter("filo_simulator_turns_total", "Turns that were completed.", registry=registry)
        self._rotations = Counter(
            "filo_simulator_rotations_total", "Upstream connections that the relay replaced in runs.", registry=registry
        )
        self._reconnects = Counter(
            "filo_simulator_reconnects_total",
            "Attempts to bring a client's socket back, by why it was lost and by what came of the attempt.",
            ["reason", "outcome"],
            registry=registry,
        )
        self._gap = Histogram(
            "filo_simulator_reconnect_gap_seconds",
            "Time from the loss of a client's socket to its return.",
            buckets=_GAP_BUCKETS,
            registry=registry,
        )
        self._checks = Counter(
            "filo_simulator_checks_total",
            "Checks of runs that have ended, by name and by whether they passed.",
            ["check", "result"],
            registry=registry,
        )
        for check, result in itertools.product(sorted({*verdicts.NAMES, *judge.RUBRIC}), (_PASSED, _FAILED)):
            self._checks.labels(check, result)
        for outcome in OUTCOMES.values():
            self._runs.labels(outcome)
        for cause in CAUSES:
            for result in RESULTS:
                self._reconnects.labels(cause, result)

    def run_began(self) -> None:
        """A run is in progress."""
        self._running.inc()

    def run_ended(self, outcome: pb.Outcome.ValueType | None) -> None:
        """A run in progress has ended, or None: another simulator goes on with it."""
        self._running.dec()
        if outcome is not None:
            self._runs.labels(OUTCOMES[outcome]).inc()

    def checked(self, checks: Iterable[pb.Check]) -> None:
        """The checks of a run that has ended."""
        for check in checks:
            self._checks.labels(check.name, _PASSED if check.passed else _FAILED).inc()

    def turn_completed(self) -> None:
        """An answer was heard to its end."""
        self._turns.inc()

    def rotated(self) -> None:
        """The relay replaced an upstream connection."""
        self._rotations.inc()

    def reconnected(self, cause: str, gap: float) -> None:
        """A client's socket came back after `gap` seconds."""
        self._reconnects.labels(_closed(cause), "resumed").inc()
        self._gap.observe(gap)

    def attempt_failed(self, cause: str) -> None:
        """An attempt to bring a client's socket back failed."""
        self._reconnects.labels(_closed(cause), "failed").inc()


def _closed(cause: str) -> str:
    """A cause as a label: close codes are all one."""
    return cause if cause in CAUSES else "closed"

"""What the relay counts. Every label value comes from a closed set and starts at 0."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from filo.handles.v1 import handles_pb2 as pb
from services.common.close_codes import CLOSE_CODES
from services.relay.core import notices as tell
from services.relay.core.model import Continuity, RotationReason

HANDLE_RESULTS = {
    pb.HANDLE_RESULT_VALID: "valid",
    pb.HANDLE_RESULT_SUPERSEDED: "superseded",
    pb.HANDLE_RESULT_INVALID: "invalid",
}
_GAPS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


class Metrics:
    """The relay's instruments on one registry.

    Args:
        registry: Where they are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.conversations = Gauge(
            "filo_relay_conversations", "Conversations that this relay holds now.", ("test",), registry=registry
        )
        self.clients = Gauge("filo_relay_clients", "Client sockets that are open now.", registry=registry)
        self.rotations = Counter(
            "filo_relay_rotations_total",
            "Upstream connections replaced under a conversation.",
            ("reason", "continuity", "test"),
            registry=registry,
        )
        self.gap = Histogram(
            "filo_relay_rotation_gap_seconds",
            "Time between the end of an upstream connection and the start of the next one.",
            registry=registry,
            buckets=_GAPS,
        )
        self.joins = Counter(
            "filo_relay_client_joins_total",
            "Client sockets that came to a conversation, by how its context had survived; started is the first.",
            ("continuity", "test"),
            registry=registry,
        )
        self.resume_handles = Counter(
            "filo_relay_resume_handles_total",
            "Resume handles that clients presented, by what they turned out to be.",
            ("result",),
            registry=registry,
        )
        self.refusals = Counter(
            "filo_relay_client_closes_total", "Client sockets closed by this relay.", ("code",), registry=registry
        )
        self.turns = Counter("filo_relay_turns_total", "Turns completed.", ("test",), registry=registry)
        self.restarts = Counter(
            "filo_relay_turns_restarted_total", "Turns cut and begun again.", ("test",), registry=registry
        )
        self.duplicates = Counter(
            "filo_relay_inputs_duplicate_total", "Inputs a client sent again that were already here.", registry=registry
        )
        self.dropped = Counter(
            "filo_relay_replay_dropped_total",
            "Audio messages dropped from a replay buffer because it was full.",
            registry=registry,
        )
        self.checkpoint_failures = Counter(
            "filo_relay_checkpoint_failures_total",
            "Calls to the handle store that had to be repeated.",
            registry=registry,
        )
        self._start_at_zero()

    def _start_at_zero(self) -> None:
        for test in map(yes_or_no, (False, True)):
            self.conversations.labels(test)
            self.turns.labels(test)
            self.restarts.labels(test)
            self.joins.labels("started", test)
            for continuity in Continuity:
                self.joins.labels(continuity.value, test)
                for reason in RotationReason:
                    self.rotations.labels(reason.value, continuity.value, test)
        for result in HANDLE_RESULTS.values():
            self.resume_handles.labels(result)
        for code in CLOSE_CODES:
            self.refusals.labels(str(code))

    def observe(self, notice: tell.Notice | tell.FeedbackChanged, *, test: bool) -> None:
        """Count what a client or a watcher is told.

        Args:
            notice: What.
            test: The conversation is a test, and kept out of product figures by this label (R2.1).
        """
        label = yes_or_no(test)
        match notice:
            case tell.Rotated(reason=reason, continuity=continuity, gap=gap):
                self.rotations.labels(reason.value, continuity.value, label).inc()
                self.gap.observe(gap)
            case tell.TurnEnded():
                self.turns.labels(label).inc()
            case tell.TurnRestarted():
                self.restarts.labels(label).inc()
            case _:
                pass


def yes_or_no(value: object) -> str:
    """A truth as a label's value."""
    return "yes" if value else "no"

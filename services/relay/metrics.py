"""What the relay counts. Every label value comes from a closed set and starts at 0."""

import itertools
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from filo.handles.v1 import handles_pb2 as pb
from services.common.close_codes import CLOSE_CODES
from services.relay.client.protocol import MODES
from services.relay.context_metrics import ContextMetrics
from services.relay.core import effects as do
from services.relay.core import notices as tell
from services.relay.core.model import Continuity, FeedbackState, RotationReason, Usage
from services.relay.reconnects import ROWS, UPSTREAM_CODES, CloseClass, Row, Side, close_class
from services.relay.upstream.gate import Purpose

HANDLE_RESULTS = {
    pb.HANDLE_RESULT_VALID: "valid",
    pb.HANDLE_RESULT_SUPERSEDED: "superseded",
    pb.HANDLE_RESULT_INVALID: "invalid",
}
READY: Final = "ready"
"""A dial whose setup was completed."""
LATE: Final = "late"
"""A dial that failed because this relay was late."""
ABANDONED: Final = "abandoned"
"""How a conversation ends here whose client did not come back."""
ENDINGS: Final = (ABANDONED, *(why.value for why in do.Farewell if why is not do.Farewell.RECONNECT))
"""How a conversation may end at this relay."""
_TESTS: Final = ("no", "yes")
_KINDS: Final = ("cached", "uncached", "response")
_GAPS: Final = (0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_DIALS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_LIVES: Final = (1.0, 5.0, 15.0, 60.0, 300.0, 540.0, 600.0, 660.0, 900.0, 1800.0, 3600.0)
_RECONNECTS: Final = (0, 1, 2, 3, 5, 10, 20, 50, 100)
_TOKENS: Final = (1_000, 2_000, 4_000, 8_000, 12_000, 16_000, 20_000, 24_000, 28_000, 32_000, 64_000, 96_000, 128_000)
_SHARES: Final = (0.1, 0.25, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 1.0)


class Metrics:
    """The relay's instruments on one registry.

    Args:
        registry: Where they are registered.
        sessions: How many sessions have series of their own at most.
    """

    def __init__(self, registry: CollectorRegistry, *, sessions: int = 0) -> None:
        self.contexts = ContextMetrics(registry, sessions)
        self.conversations = Gauge(
            "filo_relay_conversations", "Conversations that this relay holds now.", ("mode", "test"), registry=registry
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
        self.outbox_dropped = Counter(
            "filo_relay_outbox_dropped_total", "Messages to clients dropped from a full outbox.", registry=registry
        )
        self.checkpoint_failures = Counter(
            "filo_relay_checkpoint_failures_total",
            "Calls to the handle store that had to be repeated.",
            registry=registry,
        )
        self.reconnects = Counter(
            "filo_relay_reconnects_total",
            "Connections of conversations that were made again, or given up: the side, why, the class of the close "
            "code before it, how the context survived, and what came of it.",
            (*Row._fields, "test"),
            registry=registry,
        )
        self.takeovers = Counter(
            "filo_relay_takeovers_total",
            "Conversations that another relay held when a client brought them here, by what that relay did: released; "
            "gone, it had just let go of it; unreachable.",
            ("result",),
            registry=registry,
        )
        self._conversation_ends(registry)
        self._upstream(registry)
        self._context(registry)
        self._start_at_zero()

    def _conversation_ends(self, registry: CollectorRegistry) -> None:
        self.ended = Counter(
            "filo_relay_conversations_ended_total",
            "Conversations that this relay let go of, by why; abandoned: the client did not come back in time.",
            ("ending", "test"),
            registry=registry,
        )
        self.reconnects_each = Histogram(
            "filo_relay_conversation_reconnects",
            "Reconnects of one conversation at this relay, observed at its end here.",
            ("side",),
            registry=registry,
            buckets=_RECONNECTS,
        )
        self.client_gap = Histogram(
            "filo_relay_client_gap_seconds",
            "Time between the loss of a client's socket and its return to the same relay.",
            registry=registry,
            buckets=_GAPS,
        )
        self.fenced = Counter(
            "filo_relay_fenced_total",
            "Conversations that this relay lost because another one holds them.",
            registry=registry,
        )

    def _upstream(self, registry: CollectorRegistry) -> None:
        self.dials = Counter(
            "filo_relay_upstream_dials_total",
            "Connections to Gemini that were tried, by what came of it: ready, the class of the close, or late, as "
            "this relay was.",
            ("outcome",),
            registry=registry,
        )
        self.setup = Histogram(
            "filo_relay_upstream_setup_seconds",
            "Time from the beginning of a dial until Gemini has completed the setup.",
            registry=registry,
            buckets=_DIALS,
        )
        self.dial_wait = Histogram(
            "filo_relay_dial_wait_seconds",
            "Time that a dial waited for its turn, by what it is for: open, a conversation has no connection; standby, "
            "its own still works.",
            ("purpose",),
            registry=registry,
            buckets=_DIALS,
        )
        self.upstreams = Gauge(
            "filo_relay_upstream_connections", "Connections to Gemini that are open now.", registry=registry
        )
        self.upstream_closes = Counter(
            "filo_relay_upstream_closes_total",
            "Connections to Gemini that ended after their setup, by who closed and the close code.",
            ("by", "code"),
            registry=registry,
        )
        self.upstream_life = Histogram(
            "filo_relay_upstream_life_seconds",
            "How long connections to Gemini lived, from the completed setup on.",
            registry=registry,
            buckets=_LIVES,
        )

    def _context(self, registry: CollectorRegistry) -> None:
        self.context = Histogram(
            "filo_relay_context_tokens",
            "Tokens of the prompt that a turn was answered from, over all conversations.",
            registry=registry,
            buckets=_TOKENS,
        )
        self.window_share = Histogram(
            "filo_relay_context_window_ratio",
            "The same as a share of the model's context window.",
            registry=registry,
            buckets=_SHARES,
        )
        self.billed = Counter(
            "filo_relay_tokens_billed_total",
            "Tokens that Gemini counted, of all turns: of prompts, from its cache or not, and of responses.",
            ("kind", "test"),
            registry=registry,
        )

    def _start_at_zero(self) -> None:
        self._reconnects_at_zero()
        self._turns = {test: self.turns.labels(test) for test in _TESTS}
        for test in _TESTS:
            self.restarts.labels(test)
            self.joins.labels("started", test)
            for continuity in Continuity:
                self.joins.labels(continuity.value, test)
                for reason in RotationReason:
                    self.rotations.labels(reason.value, continuity.value, test)
        for result in HANDLE_RESULTS.values():
            self.resume_handles.labels(result)
        for result in ("released", "gone", "unreachable"):
            self.takeovers.labels(result)
        for code in CLOSE_CODES:
            self.refusals.labels(str(code))
        for purpose in Purpose:
            self.dial_wait.labels(purpose.value)
        for outcome in (READY, LATE, *(row for row in CloseClass if row is not CloseClass.OWN)):
            self.dials.labels(outcome)
        for by, label in itertools.product(("relay", "gemini"), (*UPSTREAM_CODES, "other")):
            self.upstream_closes.labels(by, str(label))

    def _reconnects_at_zero(self) -> None:
        for test in _TESTS:
            for mode in MODES:
                self.conversations.labels(mode, test)
            for row in ROWS:
                self.reconnects.labels(*row, test)
            for ending in ENDINGS:
                self.ended.labels(ending, test)
        self._billed = {test: [self.billed.labels(kind, test) for kind in _KINDS] for test in _TESTS}
        for side in Side:
            self.reconnects_each.labels(side)

    def dial_waited(self, purpose: Purpose, seconds: float) -> None:
        """Note how long a dial has waited for its turn."""
        self.dial_wait.labels(purpose.value).observe(seconds)

    def dialled(self, code: int | None, seconds: float, *, late: bool = False) -> None:
        """Count a dial.

        Args:
            code: The close code that it ended with; None when its setup was completed.
            seconds: What it took, without the wait for its turn.
            late: It failed because this relay was late.
        """
        self.dials.labels(READY if code is None else LATE if late else close_class(code)).inc()
        if code is None:
            self.setup.observe(seconds)

    def counted(self, usage: Usage, window: int, *, test: bool) -> None:
        """Count the tokens of a turn.

        Args:
            usage: As Gemini counted them.
            window: The model's context window in tokens; 0 where it is not known.
            test: The conversation is a test.
        """
        self.context.observe(usage.prompt)
        if window:
            self.window_share.observe(usage.prompt / window)
        cached, uncached, responses = self._billed[yes_or_no(test)]
        for series, tokens in zip((cached, uncached, responses), usage.billed, strict=True):
            if tokens:
                series.inc(tokens)

    def reconnected(self, row: Row, *, test: bool) -> None:
        """Count a connection that was made again, or given up."""
        self.reconnects.labels(*row, yes_or_no(test)).inc()

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
                self._turns[label].inc()
            case tell.TurnRestarted():
                self.restarts.labels(label).inc()
            case tell.FeedbackChanged(change=change) if not change.again and change.state is not FeedbackState.ACCEPTED:
                self.contexts.feedback.labels(change.state.value).inc()
            case _:
                pass


def yes_or_no(value: object) -> str:
    """A truth as a label's value."""
    return "yes" if value else "no"

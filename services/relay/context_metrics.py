"""What contexts hold, what advice costs and what became of it, and single sessions, for Prometheus.

The series of single sessions are for a dashboard that looks into one of them. They are bounded in number: sessions
beyond the bound are counted in the histograms like all others, but have no series of their own.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from filo.handles.v1 import resources_pb2 as resources
from services.relay.core.model import FeedbackState
from services.relay.reconnects import Side

CATEGORIES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "instruction": "instruction_tokens",
        "user": "user_tokens",
        "model": "model_tokens",
        "feedback_live": "feedback_live_tokens",
        "feedback_stale": "feedback_stale_tokens",
        "tools": "tool_tokens",
    }
)
"""What context tokens are for, and the ledger's field of each."""

_TOKENS: Final = (0, 100, 250, 500, 1_000, 2_000, 4_000, 8_000, 12_000, 16_000, 20_000, 32_000, 64_000, 128_000)


class ContextMetrics:
    """The instruments, on one registry.

    Args:
        registry: Where they are registered.
        sessions: How many sessions have series of their own at most; 0 turns these off.
    """

    def __init__(self, registry: CollectorRegistry, sessions: int) -> None:
        self.feedback = Counter(
            "filo_relay_feedback_total",
            "Items of feedback that came to a state at this relay; accepted is counted where they are given, once.",
            ("state",),
            registry=registry,
        )
        self.saved = Counter(
            "filo_relay_feedback_tokens_saved_total",
            "Tokens that were not billed because advice did not stay in contexts, by the ledgers' own reckoning.",
            registry=registry,
        )
        self.unverified = Counter(
            "filo_relay_feedback_unverified_removals_total",
            "Removals of advice from contexts that the next usage metadata did not show.",
            registry=registry,
        )
        self.context = Histogram(
            "filo_relay_context_category_tokens",
            "Context tokens after each turn by what they are for, over all conversations.",
            ("category",),
            registry=registry,
            buckets=_TOKENS,
        )
        self.sessions = Gauge(
            "filo_relay_session_context_tokens",
            "Context tokens of one session by what they are for; gone when the session leaves this relay.",
            ("session", "category"),
            registry=registry,
        )
        self.session_reconnects = Gauge(
            "filo_relay_session_reconnects",
            "Reconnects of one session at this relay so far, by side; gone when the session leaves it.",
            ("session", "side"),
            registry=registry,
        )
        self._most = sessions
        self._shown: set[str] = set()
        for state in FeedbackState:
            self.feedback.labels(state.value)
        for category in CATEGORIES:
            self.context.labels(category)

    def came(self, session: str, ledger: resources.Ledger) -> None:
        """A session is held here from now on.

        Args:
            session: The conversation's id.
            ledger: As it was stored; it is shown until a turn is counted here.
        """
        if ledger.context_tokens and self._shows(session):
            self._show(session, ledger)

    def counted(self, session: str, ledger: resources.Ledger, before: resources.Ledger) -> None:
        """A turn of a session was counted.

        Args:
            session: The conversation's id.
            ledger: As it stands after the turn.
            before: As it stood before it.
        """
        self.saved.inc(max(0, ledger.saved_billed_tokens - before.saved_billed_tokens))
        self.unverified.inc(max(0, ledger.unverified_removal_count - before.unverified_removal_count))
        for category, field in CATEGORIES.items():
            self.context.labels(category).observe(getattr(ledger, field))
        if self._shows(session):
            self._show(session, ledger)

    def reconnected(self, session: str, side: Side) -> None:
        """A connection of a session was made again."""
        if self._shows(session):
            self.session_reconnects.labels(session, side).inc()

    def left(self, session: str) -> None:
        """A session is over at this relay: ended, released or taken over. One without series of its own is no error."""
        if session not in self._shown:
            return
        self._shown.remove(session)
        for category in CATEGORIES:
            self.sessions.remove(session, category)
        for side in Side:
            self.session_reconnects.remove(session, side)

    def _show(self, session: str, ledger: resources.Ledger) -> None:
        for category, field in CATEGORIES.items():
            self.sessions.labels(session, category).set(getattr(ledger, field))

    def _shows(self, session: str) -> bool:
        """Whether a session has series of its own; it gets them, at 0, while there is room."""
        if session not in self._shown and len(self._shown) < self._most:
            self._shown.add(session)
            for category in CATEGORIES:
                self.sessions.labels(session, category)
            for side in Side:
                self.session_reconnects.labels(session, side)
        return session in self._shown

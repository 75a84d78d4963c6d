"""What contexts hold, what advice costs and what became of it, and single sessions, for Prometheus.

The series of single sessions are for a dashboard that looks into one of them. They are bounded in number: sessions
beyond the bound are counted in the histograms like all others, but have no series of their own.
"""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from services.relay.core.ledger import Ledger
from services.relay.core.model import FeedbackState
from services.relay.core.pieces import Category
from services.relay.reconnects import Side

CATEGORIES: Final = tuple(category.value for category in Category)
"""What context tokens are for, as the ledger has them."""

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
        self._shown: dict[str, list[Gauge]] = {}
        for state in FeedbackState:
            self.feedback.labels(state.value)
        self._context = [self.context.labels(category) for category in CATEGORIES]

    def came(self, session: str, ledger: Ledger) -> None:
        """A session is held here from now on.

        Args:
            session: The conversation's id.
            ledger: As it was stored; it is shown until a turn is counted here.
        """
        if ledger.context and self._shows(session):
            self._show(session, ledger)

    def counted(self, session: str, ledger: Ledger, before: Ledger) -> None:
        """A turn of a session was counted.

        Args:
            session: The conversation's id.
            ledger: As it stands after the turn.
            before: As it stood before it.
        """
        if ledger.saved > before.saved:
            self.saved.inc(ledger.saved - before.saved)
        if ledger.unverified > before.unverified:
            self.unverified.inc(ledger.unverified - before.unverified)
        for category, series in zip(CATEGORIES, self._context, strict=True):
            series.observe(getattr(ledger.held, category))
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
        del self._shown[session]
        for category in CATEGORIES:
            self.sessions.remove(session, category)
        for side in Side:
            self.session_reconnects.remove(session, side)

    def _show(self, session: str, ledger: Ledger) -> None:
        for category, series in zip(CATEGORIES, self._shown[session], strict=True):
            series.set(getattr(ledger.held, category))

    def _shows(self, session: str) -> bool:
        """Whether a session has series of its own; it gets them, at 0, while there is room."""
        if session not in self._shown and len(self._shown) < self._most:
            self._shown[session] = [self.sessions.labels(session, category) for category in CATEGORIES]
            for side in Side:
                self.session_reconnects.labels(session, side)
        return session in self._shown

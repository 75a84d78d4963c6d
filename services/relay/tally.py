"""What happens to one conversation, counted: it sees every event and every effect of the core, and decides nothing."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Final

from services.relay.core import effects as do
from services.relay.core import events as on
from services.relay.core import notices as tell
from services.relay.core.ledger import Ledger
from services.relay.core.model import Continuity, RotationReason
from services.relay.metrics import ABANDONED, Metrics, yes_or_no
from services.relay.reconnects import (
    ClientReturn,
    CloseClass,
    Outcome,
    Row,
    Side,
    close_class,
    code_label,
    upstream_class,
)

_GIVEN_UP: Final = frozenset({do.Farewell.UPSTREAM_REFUSED, do.Farewell.UPSTREAM_UNAVAILABLE})


class Tally:
    """Counts one conversation, from `opened` to `closed`.

    Args:
        metrics: Where it is counted.
        session: The conversation's id.
        mode: The conversation's.
        test: It is a test.
        moved: It was held before, by another relay or by this one.
        window: The model's context window in tokens; 0 where it is not known.
        ledger: As it was stored.
        monotonic: Tells the time.
    """

    def __init__(
        self,
        metrics: Metrics,
        session: str,
        mode: str,
        *,
        test: bool,
        moved: bool,
        window: int,
        ledger: Ledger,
        monotonic: Callable[[], float],
    ) -> None:
        self._session = session
        self._ledger = ledger
        self._metrics = metrics
        self._mode = mode
        self._test = test
        self._moved = moved
        self._window = window
        self._monotonic = monotonic
        self._reconnects = dict.fromkeys(Side, 0)
        self._ending: str | None = None
        self._released = False
        self._rotating: RotationReason | None = None
        self._closing = False
        self._upstream_since: float | None = None
        self._upstream_code = 0
        self._client_here = False
        self._client_was_here = False
        self._client_left_at = 0.0
        self._client_class = CloseClass.OTHER
        self._returning: ClientReturn | None = None

    def opened(self) -> None:
        """This relay holds the conversation now."""
        self._metrics.conversations.labels(self._mode, yes_or_no(self._test)).inc()
        self._metrics.contexts.came(self._session, self._ledger)

    def closed(self) -> None:
        """It no longer does."""
        metrics, test = self._metrics, yes_or_no(self._test)
        metrics.conversations.labels(self._mode, test).dec()
        metrics.ended.labels(self._ending or self._ended_without_a_word(), test).inc()
        metrics.contexts.left(self._session)
        self._upstream_ended("relay")
        for side, times in self._reconnects.items():
            metrics.reconnects_each.labels(side).observe(times)

    def client_gone(self, code: int | None) -> None:
        """The client's socket is gone; its close code, None where there was none."""
        self._client_class = close_class(code)

    def saw(self, event: on.Event) -> None:
        """Something happened."""
        note = self._EVENTS.get(type(event))
        if note is not None:
            note(self, event)

    def did(self, effect: do.Effect) -> None:
        """The core wants something done."""
        subject: Any = effect.notice if isinstance(effect, do.Tell) else effect
        note = self._EFFECTS.get(type(subject))
        if note is not None:
            note(self, subject)

    # The client's socket.

    def _client_joined(self, _event: on.ClientJoined) -> None:
        if self._client_here:
            self._returning, self._client_class = ClientReturn.REPLACED, CloseClass.OWN
        elif self._client_was_here:
            self._returning = ClientReturn.RETURNED
            self._metrics.client_gap.observe(self._monotonic() - self._client_left_at)
        elif self._moved:
            self._returning, self._client_class = ClientReturn.MOVED, CloseClass.OTHER
        self._client_here = self._client_was_here = True

    def _client_left(self, _event: on.ClientLeft) -> None:
        self._client_here = False
        self._client_left_at = self._monotonic()

    def _welcomed(self, effect: do.Welcome) -> None:
        returning, self._returning = self._returning, None
        if returning is not None:
            self._count(Side.CLIENT, returning.value, self._client_class, effect.continuity, Outcome.COMPLETED)

    def _client_closed(self, effect: do.CloseClient) -> None:
        if effect.why is do.Farewell.RECONNECT:
            return
        self._ending = effect.why.value
        rotating, self._rotating = self._rotating, None
        if rotating is not None and effect.why in _GIVEN_UP:
            failed_class = upstream_class(rotating, self._upstream_code)
            self._count(Side.UPSTREAM, rotating.value, failed_class, Continuity.NONE, Outcome.FAILED)

    def _given_back(self, _effect: do.Release) -> None:
        self._released = True

    def _ended_without_a_word(self) -> str:
        """Why there was nobody to say farewell to."""
        if not self._released:
            return do.Farewell.FAILED.value
        if self._client_was_here:
            returned = ClientReturn.RETURNED.value
            self._count(Side.CLIENT, returned, self._client_class, Continuity.NONE, Outcome.FAILED)
        return ABANDONED

    # The connection to Gemini.

    def _upstream_ready(self, _event: on.UpstreamReady) -> None:
        self._upstream_since = self._monotonic()
        self._metrics.upstreams.inc()

    def _upstream_asked_to_close(self, _effect: do.CloseUpstream) -> None:
        self._closing = True

    def _upstream_closed(self, event: on.UpstreamClosed) -> None:
        self._upstream_code = event.code
        self._upstream_ended("relay" if self._closing else "gemini", event.code)

    def _upstream_ended(self, by: str, code: int = 1006) -> None:
        since, self._upstream_since = self._upstream_since, None
        self._closing = False
        if since is not None:
            self._metrics.upstreams.dec()
            self._metrics.upstream_closes.labels(by, code_label(code)).inc()
            self._metrics.upstream_life.observe(self._monotonic() - since)

    def _rotation_began(self, notice: tell.Rotating) -> None:
        self._rotating = notice.reason

    def _rotated(self, notice: tell.Rotated) -> None:
        self._rotating = None
        before = upstream_class(notice.reason, self._upstream_code)
        self._count(Side.UPSTREAM, notice.reason.value, before, notice.continuity, Outcome.COMPLETED)

    # The rest.

    def _count(
        self, side: Side, reason: str, before: CloseClass, continuity: Continuity | None, outcome: Outcome
    ) -> None:
        if outcome is Outcome.COMPLETED:
            self._reconnects[side] += 1
            self._metrics.contexts.reconnected(self._session, side)
        row = Row(side, reason, before, continuity or Continuity.NONE, outcome)
        self._metrics.reconnected(row, test=self._test)

    def _usage_counted(self, event: on.UsageCounted) -> None:
        self._metrics.counted(event.usage, self._window, test=self._test)

    def _tokens_counted(self, notice: tell.TokensCounted) -> None:
        self._metrics.contexts.counted(self._session, notice.ledger, self._ledger)
        self._ledger = notice.ledger

    def _fenced(self, _event: on.Fenced) -> None:
        self._metrics.fenced.inc()

    _EVENTS: ClassVar[Mapping[type[Any], Callable[[Any, Any], None]]] = MappingProxyType(
        {
            on.ClientJoined: _client_joined,
            on.ClientLeft: _client_left,
            on.UpstreamReady: _upstream_ready,
            on.UpstreamClosed: _upstream_closed,
            on.UsageCounted: _usage_counted,
            on.Fenced: _fenced,
        }
    )
    _EFFECTS: ClassVar[Mapping[type[Any], Callable[[Any, Any], None]]] = MappingProxyType(
        {
            do.Welcome: _welcomed,
            do.CloseClient: _client_closed,
            do.Release: _given_back,
            do.CloseUpstream: _upstream_asked_to_close,
            tell.Rotating: _rotation_began,
            tell.Rotated: _rotated,
            tell.TokensCounted: _tokens_counted,
        }
    )

"""A circuit breaker for the whole relay: when Gemini is down, a thousand conversations do not storm it.

Each conversation backs off by itself, but a thousand of them, each modest, are still a storm. So the `gate` asks here
for every dial. While dials succeed, the breaker is CLOSED and only spreads them: at most so many a second. After some
failures in a row, with no success between, it is OPEN: dials wait, and from time to time one goes through as a probe.
A probe that succeeds closes it, and those who wait go, spread as before.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_MADE_UP: Final = 0.2
"""Seconds of lateness that are made up for; so in no second go more than a fifth too many."""


class BreakerState(StrEnum):
    """Whether dials go through."""

    CLOSED = "closed"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When it opens, and how much goes through.

    Args:
        failures: So many failed dials in a row open it.
        probe_interval: Seconds between two probes while it is open.
        dials_a_second: The most while it is closed.
    """

    failures: int = 10
    probe_interval: float = 1.0
    dials_a_second: float = 100.0


class Breaker:
    """Decides when a dial may go; pure but for the time it is given.

    Args:
        policy: The settings.

    Attributes:
        trips: How often it has opened.
    """

    def __init__(self, policy: BreakerPolicy) -> None:
        self._policy = policy
        self._failures = 0
        self._free_at = 0.0
        self.trips = 0

    @property
    def state(self) -> BreakerState:
        """Whether dials go through."""
        return BreakerState.OPEN if self._failures >= self._policy.failures else BreakerState.CLOSED

    def wait(self, now: float, since: float | None = None) -> float:
        """Ask for a dial.

        Args:
            now: Monotonic seconds.
            since: When it was wanted first: a relay that comes back late makes up for dials that have waited for it.

        Returns:
            0.0 when it may go now, and is counted; otherwise seconds after which to ask again.
        """
        if now < self._free_at:
            return self._free_at - now
        if self.state is BreakerState.OPEN:
            self._free_at = now + self._policy.probe_interval
        else:
            waited = now if since is None else max(since, now - _MADE_UP)
            self._free_at = max(self._free_at, waited) + 1.0 / self._policy.dials_a_second
        return 0.0

    def succeeded(self, now: float) -> None:
        """A dial has reached Gemini, whatever Gemini said to it."""
        if self.state is BreakerState.OPEN:
            self._free_at = now
        self._failures = 0

    def failed(self) -> None:
        """A dial has not reached Gemini, or Gemini is overloaded."""
        self._failures += 1
        self.trips += self._failures == self._policy.failures

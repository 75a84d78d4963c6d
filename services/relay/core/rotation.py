"""When an upstream connection is replaced, and how often it may be dialled."""

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

from services.relay.core.model import Policy, RotationReason
from services.relay.core.turns import Stage

WITHOUT_HANDLE: Final = frozenset({RotationReason.FALSE_RESUME, RotationReason.CONTEXT_PRESSURE, RotationReason.REBASE})
"""Rotations that leave the handle behind: the context is rebuilt from the transcript."""


REBUILDS: Final = frozenset({RotationReason.CONTEXT_PRESSURE, RotationReason.REBASE})
"""Rotations that are there to make the context smaller."""
PLANNED: Final = frozenset({RotationReason.GO_AWAY, RotationReason.AGE, RotationReason.CLIENT})
"""Rotations that come anyway, and leave stale advice behind, unless a rebuild was but a while ago."""


@dataclass(frozen=True, slots=True)
class RotationDue:
    """A replacement that waits for its moment.

    The best moment is between two turns, with the next connection standing ready: nobody notices. The next best is
    while the client speaks: what it says is sent again, and the answer is not yet due. Into an answer it is put only
    when time is up, for that answer is lost.

    Args:
        reason: Why.
        soon: From this moment on the client's speech is good enough, and nothing is waited for that only saves time;
            monotonic seconds.
        latest: From this moment on it waits no longer.
    """

    reason: RotationReason
    soon: float
    latest: float

    def may_begin(self, now: float, stage: Stage, *, tool_pending: bool, covered: bool, prepared: bool) -> bool:
        """Whether to begin now.

        Args:
            now: Monotonic seconds.
            stage: Whose moment it is.
            tool_pending: The model waits for a tool's result.
            covered: A handle covers every completed turn.
            prepared: The next connection stands ready, or need not be waited for.
        """
        if now >= self.latest:
            return True
        good = (stage is Stage.QUIET and prepared) or (stage is not Stage.ANSWERING and now >= self.soon)
        return good and (covered or self.reason in WITHOUT_HANDLE) and not tool_pending


def due_by_goaway(now: float, time_left: float | None, policy: Policy) -> RotationDue:
    """What a goAway demands."""
    left = policy.goaway_unknown if time_left is None else time_left
    wait = max(0.0, left - policy.goaway_margin)
    return RotationDue(RotationReason.GO_AWAY, now + wait / 2, now + wait)


def due_by_age(now: float, policy: Policy) -> RotationDue:
    """What a connection's age demands."""
    return RotationDue(RotationReason.AGE, now + policy.age_patience / 2, now + policy.age_patience)


def due_by_drain(now: float, patience: float) -> RotationDue:
    """What the end of this relay demands: the client comes back, to another one."""
    return RotationDue(RotationReason.CLIENT, now + patience / 2, now + patience)


_MOST_DOUBLINGS: Final = 60
"""Any cap is reached by then, and a float is not yet too small for the number."""


def due_at_once(reason: RotationReason, now: float, policy: Policy) -> RotationDue:
    """What the relay itself has found wrong with a context: as soon as the answer under way has ended."""
    return RotationDue(reason, now, now + policy.patience)


def due_when_quiet(reason: RotationReason) -> RotationDue:
    """What only makes the context better: between two turns, or never."""
    return RotationDue(reason, math.inf, math.inf)


class Strippable(NamedTuple):
    """Tokens of advice in the talk that a rebuilt session would not have.

    Args:
        now: If it were rebuilt at this moment; what the turn in progress was advised is told again.
        soon: Once that turn is over.
    """

    now: int = 0
    soon: int = 0


def stripping_is_due(strippable: int, context: int, limit: int, policy: Policy) -> bool:
    """Whether stale advice alone is worth a rebuilt session.

    Args:
        strippable: Tokens of advice that it would not have.
        context: Tokens of the context.
        limit: Where the context is full, or is compressed; 0 where that is not known.
        policy: The settings.
    """
    full = bool(limit) and context >= limit - policy.rebase_reserve
    return strippable >= (1 if full else max(1, policy.rebase_tokens))


class DialBudget:
    """How often the upstream may still be dialled: bounded for each drop and for the conversation's life.

    A dial is paid for when it is made; progress (a completed turn, a connection that lived long enough) clears the
    count of this drop, never that of the life. A planned rotation costs nothing of the life, but without progress
    between two of them it waits like any other dial: no hot loop is possible.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._drop = 0
        self._life = 0

    @property
    def spent(self) -> bool:
        """Whether no further dial is allowed."""
        return self._drop >= self._policy.dials_a_drop or self._life >= self._policy.dials_a_life

    def dial(self, *, planned: bool) -> float:
        """Pay for one dial.

        Returns:
            The bound, in seconds, of the wait before it: 0 for the first, then doubling.
        """
        bound = 0.0 if self._drop == 0 else self._policy.retry_base * 2 ** min(self._drop - 1, _MOST_DOUBLINGS)
        self._drop += 1
        self._life += 0 if planned else 1
        return min(bound, self._policy.retry_cap)

    def progress(self) -> None:
        """The connection has proven itself."""
        self._drop = 0

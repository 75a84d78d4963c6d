"""When an upstream connection is replaced, and how often it may be dialled."""

import math
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, NamedTuple

from services.relay.core.model import Policy, RotationReason
from services.relay.core.turns import Stage

WITHOUT_HANDLE: Final = frozenset({RotationReason.FALSE_RESUME, RotationReason.CONTEXT_PRESSURE, RotationReason.REBASE})
"""Rotations that leave the handle behind: the context is rebuilt from the transcript."""


REBUILDS: Final = frozenset({RotationReason.CONTEXT_PRESSURE, RotationReason.REBASE})
"""Rotations that are there to make the context smaller."""
OPTIONAL: Final = frozenset({RotationReason.AGE, *REBUILDS})
"""Rotations that need not be: where no next connection can be had, the old one is kept, which works."""
PLANNED: Final = frozenset({RotationReason.GO_AWAY, RotationReason.AGE, RotationReason.CLIENT})
"""Rotations that come anyway, and leave stale advice behind, unless a rebuild was but a while ago."""


# By when a dial is wanted, which decides about its turn among all the dials of a relay: the soonest first. A
# conversation that has no connection wants one now, and may wait a little where nobody speaks in it; one whose
# connection still works wants the next one before that ends, and sooner where somebody speaks: good moments are rare.
_CUT_WAITS: Final = 1.0
"""Seconds that a conversation may wait in which nobody speaks and no answer is owed."""
_LEISURE: Final = 60.0
"""Seconds in which at the latest it is the turn of what has no hurry at all."""


class Successor(Enum):
    """How the connection that will take another one's place stands."""

    NONE = auto()
    ASKED = auto()
    PREPARED = auto()
    REFUSED = auto()
    """It could not be had, and is asked for again after a while."""


_NOT_YET: Final = frozenset({Successor.ASKED, Successor.REFUSED})


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

    def may_begin(
        self, now: float, stage: Stage, *, tool_pending: bool, covered: bool, successor: Successor = Successor.PREPARED
    ) -> bool:
        """Whether to begin now.

        Args:
            now: Monotonic seconds.
            stage: Whose moment it is.
            tool_pending: The model waits for a tool's result.
            covered: A handle covers every completed turn.
            successor: How the next connection stands.
        """
        if successor in _NOT_YET and (
            self.reason in OPTIONAL or (successor is Successor.REFUSED and now < self.latest)
        ):
            return False
        if now >= self.latest:
            return True
        prepared = successor is not Successor.ASKED
        good = (stage is Stage.QUIET and prepared) or (stage is not Stage.ANSWERING and now >= self.soon)
        return good and (covered or self.reason in WITHOUT_HANDLE) and not tool_pending

    def wanted_by(self, now: float, stage: Stage) -> float:
        """By when the next connection should stand ready.

        Args:
            now: Monotonic seconds.
            stage: Whose moment it is.
        """
        return max(now, min(self.latest if stage is Stage.QUIET else self.soon, now + _LEISURE))


def wanted_when_cut(now: float, stage: Stage) -> float:
    """By when a conversation wants a connection that has none."""
    return now + (_CUT_WAITS if stage is Stage.QUIET else 0.0)


def oldest(place: float, policy: Policy) -> float:
    """The age, in seconds, at which a conversation's connections are replaced; 0 for none.

    Args:
        place: Of the conversation among all others, from 0 to 1.
        policy: The settings.
    """
    spread = min(policy.age_spread, policy.max_age / 4)
    return max(policy.max_age - place * spread, min(policy.max_age, policy.stable_after))


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


def retry_wait(failed: int, policy: Policy) -> float:
    """The bound, in seconds, of the wait before a dial that so many have failed before: 0 for the first, then doubling.

    Args:
        failed: How many.
        policy: The settings.
    """
    bound = 0.0 if failed == 0 else policy.retry_base * 2 ** min(failed - 1, _MOST_DOUBLINGS)
    return min(bound, policy.retry_cap)


class DialBudget:
    """How often the upstream may still be dialled: bounded for each drop and for the conversation's life.

    A dial is paid for when it is made; progress (a completed turn, a connection that lived long enough) clears the
    count of this drop, never that of the life. A planned rotation costs nothing of the life, but without progress
    between two of them it waits like any other dial: no hot loop is possible.

    Args:
        policy: The settings.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._drop = 0
        self._life = 0
        self._waits = 0
        self._planned = False

    @property
    def spent(self) -> bool:
        """Whether no further dial is allowed."""
        return self._drop >= self._policy.dials_a_drop or self._life >= self._policy.dials_a_life

    def dial(self, *, planned: bool) -> float:
        """Pay for one dial.

        Returns:
            The bound, in seconds, of the wait before it: 0 for the first, then doubling.
        """
        bound = retry_wait(self._waits, self._policy)
        self._waits += 1
        self._drop += 1
        self._life += 0 if planned else 1
        self._planned = planned
        return bound

    def forgive(self) -> None:
        """The last dial failed by this relay's own fault: it costs nothing; but the wait before the next one grows."""
        self._drop -= 1
        self._life -= 0 if self._planned else 1

    def progress(self) -> None:
        """The connection has proven itself."""
        self._drop = self._waits = 0

"""When an upstream connection is replaced, and how often it may be dialled."""

from dataclasses import dataclass

from services.relay.core.model import Policy, RotationReason


@dataclass(frozen=True, slots=True)
class RotationDue:
    """A replacement that waits for its moment.

    Args:
        reason: Why.
        latest: The moment from which it waits no longer, monotonic seconds.
    """

    reason: RotationReason
    latest: float

    def may_begin(self, now: float, *, at_boundary: bool, tool_pending: bool, covered: bool) -> bool:
        """Whether to begin now: between turns, no tool running, a handle that covers all; at the latest, anyway."""
        return now >= self.latest or (at_boundary and covered and not tool_pending)


def due_by_goaway(now: float, time_left: float | None, policy: Policy) -> RotationDue:
    """What a goAway demands."""
    left = policy.goaway_unknown if time_left is None else time_left
    return RotationDue(RotationReason.GO_AWAY, now + max(0.0, left - policy.goaway_margin))


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
        bound = 0.0 if self._drop == 0 else self._policy.retry_base * 2 ** (self._drop - 1)
        self._drop += 1
        self._life += 0 if planned else 1
        return min(bound, self._policy.retry_cap)

    def progress(self) -> None:
        """The connection has proven itself."""
        self._drop = 0

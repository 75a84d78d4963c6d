"""What is known of the upstream connection in use: how it began, how it does, and whether it must be replaced.

Gemini names one reason itself, goAway. The others the relay notices: the connection is old; it has fallen silent in the
middle of a turn; its context shows that the resume was false; its context is too large.
"""

import math
from dataclasses import replace

from services.relay.core.ledger import Ledger
from services.relay.core.model import Continuity, Policy, RotationReason, Usage
from services.relay.core.resume_check import ResumeCheck
from services.relay.core.rotation import (
    RotationDue,
    Successor,
    due_at_once,
    due_by_age,
    due_by_goaway,
    due_when_quiet,
    retry_wait,
)
from services.relay.core.upstream_close import Situation

_GROWTH = 1.25
"""After a rebuild that left the context large, it must have grown by so much before the next one is worth it."""


class Connection:
    """One connection, from the dial on.

    Args:
        now: When it is dialled, monotonic seconds.
        continuity: How the context came into it.
        check: Judges its context.
        policy: The settings.
        oldest: Seconds after which it is replaced; 0 for never.

    Attributes:
        due: Why and when it must be replaced.
        successor: Whether the next one is being prepared.
    """

    def __init__(self, now: float, continuity: Continuity, check: ResumeCheck, policy: Policy, oldest: float) -> None:
        self.continuity = continuity
        self.due: RotationDue | None = None
        self.successor = Successor.NONE
        self._refused = 0
        self._ask_again_at = math.inf
        self._oldest = oldest
        self._check = check
        self._policy = policy
        self._opened_at = now
        self._heard_at = now
        self._ready = False
        self._proven = False
        self._first_context: int | None = None

    @property
    def situation(self) -> Situation:
        """Where it stands, for judging its end."""
        if self.continuity is not Continuity.HANDLE and not self._proven:
            return Situation.NEW
        return Situation.LIVE if self._ready else Situation.RESUMING

    def ready(self, now: float) -> None:
        """Its setup is complete."""
        self._ready = True
        self._opened_at = self._heard_at = now

    def heard(self, now: float) -> None:
        """Something came from it."""
        self._heard_at = max(self._heard_at, now)

    def turn_completed(self) -> None:
        """It has done what it is for."""
        self._proven = True

    def stable(self, now: float) -> bool:
        """Whether it has lived long enough to be no failure; one that fell silent is one, however old."""
        stalled = self.due is not None and self.due.reason is RotationReason.STALL
        return self._ready and not stalled and now - self._opened_at >= self._policy.stable_after

    def go_away(self, now: float, time_left: float | None) -> None:
        """Gemini says that it will end; of two such words the sooner counts."""
        self._demand(due_by_goaway(now, time_left, self._policy))

    def counted(self, now: float, usage: Usage, spoke: float, ledger: Ledger, *, rebuildable: bool = True) -> None:
        """A turn was answered from this context, with so many seconds of the client's voice in it.

        Args:
            now: Monotonic seconds.
            usage: Of the turn.
            spoke: Seconds of the client's voice in it.
            ledger: After it.
            rebuildable: The transcript can be had; without it a context that is only too large is kept.
        """
        if not self._check.holds(usage, spoke):
            self._demand(due_at_once(RotationReason.FALSE_RESUME, now, self._policy))
            return
        if self._first_context is None:
            self._first_context = ledger.context
        limit = self._policy.context_limit
        rebuilt = self.continuity is Continuity.REBASED
        limit = max(limit, int(self._first_context * _GROWTH)) if limit and rebuilt else limit
        if rebuildable and limit and ledger.context >= limit:
            self._demand(due_at_once(RotationReason.CONTEXT_PRESSURE, now, self._policy))

    def strip(self) -> None:
        """Its context holds stale advice enough to be rebuilt without it, at a quiet moment."""
        self._demand(due_when_quiet(RotationReason.REBASE))

    def aged(self, now: float) -> None:
        """See whether it is too old by now."""
        if self._oldest and now >= self._opened_at + self._oldest:
            self._demand(due_by_age(now, self._policy))

    def stalled(self, now: float, *, expecting: bool) -> None:
        """See whether it has fallen silent; asked only when somebody has just looked how silent it is.

        Args:
            now: Monotonic seconds.
            expecting: It owes an answer, or the rest of one.
        """
        if expecting and self._policy.stall_after and now >= self._heard_at + self._policy.stall_after:
            self.due = RotationDue(RotationReason.STALL, now, now)

    def wants_successor(self, now: float) -> bool:
        """Whether the next one is to be asked for now."""
        asking = self.successor is Successor.NONE or (self.successor is Successor.REFUSED and now >= self._ask_again_at)
        if asking:
            self.successor = Successor.ASKED
        return asking

    def prepared(self, now: float, *, stands: bool) -> None:
        """The next one stands ready, or cannot be had; a word that comes too late means nothing."""
        if self.successor is Successor.NONE:
            return
        self.successor = Successor.PREPARED if stands else Successor.REFUSED
        if not stands:
            self._refused += 1
            self._ask_again_at = now + retry_wait(self._refused, self._policy)

    def moments(self, seen_at: float, *, expecting: bool, ours: bool) -> list[float]:
        """When it must be looked at again.

        Args:
            seen_at: When it was looked at last, monotonic seconds.
            expecting: It owes an answer, or the rest of one.
            ours: What is due is the relay's to do, not the client's.
        """
        found = [self.due.soon, self.due.latest] if self.due and ours else []
        if self.successor is Successor.REFUSED:
            found.append(self._ask_again_at)
        old = self._opened_at + self._oldest
        if self._oldest and (self.due is None or old + self._policy.age_patience < self.due.latest):
            found.append(old)
        found = [moment for moment in found if seen_at < moment < math.inf]
        stalled = self.due is not None and self.due.reason is RotationReason.STALL
        if expecting and self._policy.stall_after and not stalled:
            found.append(self._heard_at + self._policy.stall_after)  # also one that is over: only a look can tell
        return found

    def _demand(self, due: RotationDue) -> None:
        """Of two demands the one that can wait less counts, and from when the sooner of them may be met.

        A false resume stays one, whatever else hurries: its handle must not be used again.
        """
        if self.due is None:
            self.due = due
        elif RotationReason.FALSE_RESUME in (due.reason, self.due.reason):
            soon, latest = min(due.soon, self.due.soon), min(due.latest, self.due.latest)
            self.due = RotationDue(RotationReason.FALSE_RESUME, soon, latest)
        elif due.latest < self.due.latest:
            self.due = replace(due, soon=min(due.soon, self.due.soon))

"""The upstream connections of a conversation, one after another: opened, replaced, lost.

It owns the phase (`states`) and whatever is counted across connections: dials, refusals, rotations. What was said and
what of it is covered, it reads from the dialogue. When no further connection is to be had it says so by `hopeless`, and
`conversation.Conversation` ends the matter.
"""

import math

from services.relay.core import effects as do
from services.relay.core import events as on
from services.relay.core import notices as tell
from services.relay.core.capabilities import Capability
from services.relay.core.connection import Connection
from services.relay.core.dialogue import Dialogue
from services.relay.core.hopeless import Hopeless, out_of_dials, refused
from services.relay.core.model import START, Continuity, Mark, Policy, RotationReason, UpstreamHandle
from services.relay.core.presence import Presence
from services.relay.core.resume_check import Compression, ResumeCheck
from services.relay.core.rotation import (
    PLANNED,
    REBUILDS,
    DialBudget,
    Strippable,
    oldest,
    stripping_is_due,
    wanted_when_cut,
)
from services.relay.core.states import Phase, Signal, step
from services.relay.core.upstream_close import UNSAID, Decision, Situation, classify_upstream_close


class Succession:
    """Decides when a connection is opened, replaced and let go.

    Args:
        dialogue: What is said.
        client: Whether somebody is there to talk to.
        capability: What the model allows.
        policy: The settings.
        now: Monotonic seconds, like every later ``now``.
        place: Of the conversation among all others; see `attachment.Attachment`.

    Attributes:
        phase: How the connection in use stands.
        connection: The one in use, or the last one.
        continuity: How the context came into the last one that was ready; None before the first.
        rotations: How many were replaced under a client.
        resumed: The newest turn in the context that the connection was begun with; None where that is empty.
        hopeless: Set when no further connection is to be had.
    """

    def __init__(
        self,
        dialogue: Dialogue,
        client: Presence,
        capability: Capability,
        policy: Policy,
        now: float,
        place: float = 0.0,
    ) -> None:
        self.phase = Phase.PARKED
        self.continuity: Continuity | None = None
        self.rotations = 0
        self.hopeless: Hopeless | None = None
        self._dialogue = dialogue
        self._talk = dialogue.talk
        self._coverage = dialogue.coverage
        self._client = client
        self._capability = capability
        self._policy = policy
        self._oldest = oldest(place, policy)
        self._budget = DialBudget(policy)
        self._refusals = 0
        compression = Compression.of_window(capability.window) if policy.compression else Compression()
        self._limit = compression.trigger or capability.window
        self._check = ResumeCheck(compression)
        self.connection = self._begin(now, Continuity.NONE)
        self.resumed: int | None = None
        self._replacing: RotationReason | None = None
        self._closing_for = RotationReason.CLIENT
        self._rebasing = False
        self._rebased_at = now if dialogue.accounts.ledger.rebases else -math.inf  # when, another relay knows
        self._gap_since = now
        self._out: list[do.Effect] = []

    # Opened.

    def connect(self, now: float) -> list[do.Effect]:
        """Open the first connection for a client that has come."""
        self._out = []
        self._dial(now, planned=True)
        return self._out

    def ready(self, now: float) -> list[do.Effect]:
        """The setup is complete: send what the new connection has not got."""
        self.phase = step(self.phase, Signal.READY)
        self.connection.ready(now)
        self._refusals, self._rebasing = 0, False
        self.continuity = self.connection.continuity
        self._out = [do.StartSending(self._replay_after(), self._talk.unanswered)]
        if self._replacing is not None:
            self.rotations += 1
            gap = now - self._gap_since
            self._tell(tell.Rotated(self._replacing, self.continuity, gap, self._talk.number))
            self._replacing = None
        return self._out

    def _dial(self, now: float, *, planned: bool) -> None:
        if self._budget.spent:
            self.hopeless = out_of_dials(self._replacing)
            return
        self.phase = step(self.phase, Signal.DIAL)
        if self._coverage.uncovered and not self._capability.mid_session_content:
            self._coverage.handle_lost()
        handle, content = self._coverage.handle, self._coverage.uncovered
        history = 0 if handle else self._talk.last - len(content)
        self.connection = self._begin(now, self._continuity_of(handle))
        self.resumed = handle.covers_turn if handle else None
        self._coverage.connection_opens(seeded=bool(self._talk.last))
        wait, budget = self._budget.dial(planned=planned), 0 if handle else self._policy.history_budget
        wanted_by = wanted_when_cut(now, self._talk.stage)
        self._out.append(do.OpenUpstream(handle.secret if handle else None, history, content, wait, budget, wanted_by))

    def _begin(self, now: float, continuity: Continuity) -> Connection:
        self._check.begins(self._coverage.baseline if continuity is Continuity.HANDLE else None)
        return Connection(now, continuity, self._check, self._policy, self._oldest)

    def _continuity_of(self, handle: UpstreamHandle | None) -> Continuity:
        if handle is not None:
            return Continuity.HANDLE
        if not self._talk.last:
            return Continuity.NONE
        return Continuity.REBASED if self._rebasing else Continuity.TRANSCRIPT

    def _replay_after(self) -> Mark:
        """Where the input begins that the new connection has not got: after the completed turns, or even later."""
        resumed = self.connection.continuity is Continuity.HANDLE
        return max(self._talk.boundary, self._coverage.ahead or START) if resumed else self._talk.boundary

    # In use.

    def turn_completed(self) -> None:
        """The connection has done what it is for."""
        self.connection.turn_completed()
        self._budget.progress()

    def counted(self, event: on.UsageCounted, now: float) -> list[do.Effect]:
        """A turn was answered from its context: see whether that is what it should be."""
        self._out = []
        rebuildable = not self._coverage.store_is_behind
        self.connection.counted(now, event.usage, event.heard, self._coverage.ledger, rebuildable=rebuildable)
        due = self.connection.due
        if due is not None and due.reason is RotationReason.FALSE_RESUME:
            self._drop_handle("the resume was false: the context had lost what was said")
        return self._out

    # Replaced.

    def listened(self, now: float, silence: float) -> None:
        """Somebody has looked how silent the connection in use is.

        Args:
            now: Monotonic seconds.
            silence: Seconds since anything came from it, as far as that is its own doing.
        """
        self.connection.heard(now - silence)
        if self.phase is Phase.LIVE:
            self.connection.stalled(now, expecting=self._talk.answer_owed)

    def look(self, now: float, strippable: Strippable) -> list[do.Effect]:
        """Replace the connection in use if it is due and the moment is good.

        Args:
            now: Monotonic seconds.
            strippable: What advice a rebuilt session would not have.
        """
        self._out = []
        connection = self.connection
        connection.aged(now)
        worth_it = self._worth_stripping(strippable)
        if connection.due is None and self._client.here and worth_it and self._may_strip(strippable.soon, now):
            connection.strip()
        if connection.due is None or self._client.left_to_it(connection.due.reason):
            return self._out
        if self._client.here and connection.wants_successor(now):
            self._out.append(do.PrepareUpstream(connection.due.wanted_by(now, self._talk.stage)))
        if connection.due.may_begin(
            now,
            self._talk.stage,
            tool_pending=self._talk.tools.pending,
            covered=self._coverage.all_covered,
            successor=connection.successor,
        ):
            self._rotate(connection.due.reason, now, strippable)
        return self._out

    def _worth_stripping(self, strippable: Strippable) -> bool:
        context = self._dialogue.accounts.ledger.context  # of this connection; 0 until it has shown one
        return stripping_is_due(strippable.soon, context, self._limit, self._policy)

    @property
    def _rested_at(self) -> float:
        """From when on a session may be rebuilt for advice that is stale."""
        return self._rebased_at + self._policy.rebase_interval

    def _may_strip(self, strippable: int, now: float) -> bool:
        return strippable > 0 and now >= self._rested_at and not self._coverage.store_is_behind

    def moments(self, seen_at: float, strippable: Strippable) -> list[float]:
        """When `look` must be called again, after its last call at `seen_at`."""
        due = self.connection.due
        ours = due is not None and not self._client.left_to_it(due.reason)
        moments = self.connection.moments(seen_at, expecting=self._talk.answer_owed, ours=ours)
        if due is None and self._rested_at > seen_at and self._worth_stripping(strippable):
            moments.append(self._rested_at)
        return moments

    def rotated_by_client(self, now: float, strippable: Strippable) -> list[do.Effect]:
        """The client goes or comes because the connection ends: replace it now."""
        self._out = []
        self._rotate(RotationReason.CLIENT, now, strippable)
        return self._out

    def _rotate(self, reason: RotationReason, now: float, strippable: Strippable) -> None:
        self.phase = step(self.phase, Signal.ROTATE)
        if self.connection.stable(now):
            self._budget.progress()
        if reason in REBUILDS or (reason in PLANNED and self._may_strip(strippable.now, now)):
            self._rebasing, self._rebased_at = True, now
            self._coverage.handle_given_up("the context is rebuilt smaller")
            self._dialogue.accounts.rebased()
        self._closing_for = reason
        self._replace(reason, now)
        self._out += [do.StopSending(), do.CloseUpstream()]

    def _drop_handle(self, why: str) -> None:
        if self._coverage.handle is not None:
            self._coverage.handle_lost()
            self._out.append(do.InvalidateHandle(why))

    def _replace(self, reason: RotationReason, now: float) -> None:
        """Note why, tell the client; one that is away, or reconnects by itself, need not be told."""
        if not self._client.here or self._replacing is not None or reason is RotationReason.CLIENT:
            return
        self._replacing, self._gap_since = reason, now
        self._tell(tell.Rotating(reason, self._talk.number))

    # Lost.

    def closed(self, event: on.UpstreamClosed, now: float) -> list[do.Effect]:
        """The connection is gone, as it was asked to or not, or could not be made."""
        self._out = []
        if self.phase is Phase.CLOSING:
            self._out += self._dialogue.cut(self._closing_for)
            self._reopen(now, planned=True)
        elif self.phase is not Phase.PARKED:
            situation = self.connection.situation
            self._refusals += situation is Situation.RESUMING and event.code != UNSAID
            decision = classify_upstream_close(event.code, event.reason, situation, self._refusals)
            if self.connection.stable(now):
                self._budget.progress()
            if event.late:
                self._budget.forgive()
            self._out += [*self._dialogue.cut(RotationReason.UPSTREAM_CLOSED), do.StopSending()]
            self._after_loss(decision, f"{event.code} {event.reason}".rstrip(), now)
        return self._out

    def _after_loss(self, decision: Decision, why: str, now: float) -> None:
        if decision is Decision.FATAL:
            self.hopeless = refused(why)
            return
        lost = self.phase is Phase.LIVE
        if decision is Decision.FRESH:
            self._drop_handle(why)
        if lost and self._client.here and self._client.rotates:
            self.phase = step(self.phase, Signal.PARK)
            self._out.append(do.CloseClient(do.Farewell.RECONNECT, f"the connection to Gemini ended: {why}"))
            return
        if lost:
            rejected = decision is Decision.FRESH
            self._replace(RotationReason.HANDLE_REJECTED if rejected else RotationReason.UPSTREAM_CLOSED, now)
        self._reopen(now, planned=False)

    def _reopen(self, now: float, *, planned: bool) -> None:
        """Open the next connection, if there is somebody to talk to."""
        if self._client.here:
            self._dial(now, planned=planned)
        else:
            self.phase = step(self.phase, Signal.PARK)
            self._replacing = None

    def finish(self) -> list[do.Effect]:
        """Nothing comes after this: close what is open."""
        connected = self.phase in (Phase.LIVE, Phase.CLOSING) and self.hopeless is None
        self.phase = step(self.phase, Signal.FINISH)
        return [do.StopSending(), do.CloseUpstream()] if connected else []

    def _tell(self, notice: tell.Notice) -> None:
        self._out.append(do.Tell(notice))

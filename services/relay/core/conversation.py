"""A conversation at one relay: events in, effects out.

Around the phases of `states` stand two smaller nouns: `turns.Talk`, what is being said, and `coverage.Coverage`, what
of it is stored and known to Gemini. This module joins them: it decides when an upstream is opened, replaced and let go,
and what the client and the store are told.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from services.relay.core import effects as do
from services.relay.core import events as on
from services.relay.core import notices as tell
from services.relay.core.coverage import Coverage
from services.relay.core.dialogue import Dialogue
from services.relay.core.ledger import Ledger
from services.relay.core.model import (
    Continuity,
    Mark,
    Policy,
    RotationMode,
    RotationReason,
    Turn,
    UpstreamHandle,
)
from services.relay.core.rotation import DialBudget, RotationDue, due_by_age, due_by_goaway
from services.relay.core.states import Phase, Signal, step
from services.relay.core.turns import Talk
from services.relay.core.upstream_close import Decision, Situation, classify_upstream_close


@dataclass(frozen=True, slots=True)
class Attachment:
    """What the store gave when this relay attached.

    Args:
        new: Nobody was ever attached before.
        turn_count: The newest stored turn.
        covered_seq: The newest client sequence number in the stored turns.
        handle: The newest upstream handle, if it is alive.
        uncovered: The stored turns that the handle does not cover; without a handle it stays empty.
        ledger: The newest stored ledger.
        instruction_characters: The length of the system instruction.
    """

    new: bool
    turn_count: int = 0
    covered_seq: int = 0
    handle: UpstreamHandle | None = None
    uncovered: tuple[Turn, ...] = ()
    ledger: Ledger = field(default_factory=Ledger)
    instruction_characters: int = 0


class Conversation:
    """Decides; see the module's text.

    Args:
        attachment: Where it begins.
        policy: The settings.
        now: Monotonic seconds, like every later ``now``.
    """

    def __init__(self, attachment: Attachment, policy: Policy, now: float) -> None:
        self.phase = Phase.PARKED
        self.talk = Talk(attachment.turn_count, Mark(0, attachment.covered_seq))
        self.coverage = Coverage(attachment.handle, attachment.uncovered, attachment.covered_seq, attachment.ledger)
        self._dialogue = Dialogue(self.talk, self.coverage, attachment.instruction_characters)
        self.continuity: Continuity | None = None
        self.client_present = False
        self.rotation_mode = RotationMode.RELAY
        self.rotations = 0
        self._policy = policy
        self._untouched = attachment.new
        self._budget = DialBudget(policy)
        self._refusals = 0
        self._due: RotationDue | None = None
        self._replacing: RotationReason | None = None
        self._closing_for = RotationReason.CLIENT
        self._opening_with = Continuity.NONE
        self._welcome_owed = False
        self._proven = False
        self._away_since = now
        self._gap_since = now
        self._opened_at = now
        self._out: list[do.Effect] = []

    def handle(self, event: on.Event, now: float) -> list[do.Effect]:
        """What is to be done about an event; nothing once the conversation is over here."""
        if self.phase is Phase.OVER:
            return []
        self._out = []
        mine = self._ON.get(type(event))
        if mine is None:
            self._out += self._dialogue.handle(event)
        else:
            mine(self, event, now)
        self._settle(now)
        return self._out

    def deadline(self, now: float) -> float | None:
        """When a `events.Tick` is wanted; None while nothing waits for time."""
        if self.phase is Phase.OVER:
            return None
        moments = []
        if not self.client_present:
            moments.append(self._away_since + self._policy.grace)
        if self.phase is Phase.LIVE:
            if self._due is not None and self.rotation_mode is RotationMode.RELAY:
                moments += [moment for moment in (self._due.soon, self._due.latest) if moment > now]
            if self._due is None and self._policy.max_age:
                moments.append(self._opened_at + self._policy.max_age)
        return min(moments, default=None)

    # What follows from where things stand, whatever the event was.

    def _settle(self, now: float) -> None:
        if self.phase is Phase.OVER:
            return
        if not self.client_present and now >= self._away_since + self._policy.grace:
            self._let_go([do.Release()])
            return
        if self.phase is Phase.LIVE:
            self._settle_rotation(now)
        self._checkpoint()

    def _settle_rotation(self, now: float) -> None:
        age = self._policy.max_age
        if self._due is None and age and now >= self._opened_at + age:
            self._due = due_by_age(now, self._policy)
        if self._due is None or self.rotation_mode is RotationMode.CLIENT:
            return
        if self._due.may_begin(
            now, self.talk.stage, tool_pending=self.talk.tool_pending, covered=self.coverage.all_covered
        ):
            self._rotate(self._due.reason, now)

    def _checkpoint(self, *, last: bool = False) -> None:
        checkpoint = self.coverage.checkpoint(last=last)
        if checkpoint is not None:
            self._out.append(checkpoint)

    # The client.

    def _client_joined(self, event: on.ClientJoined, now: float) -> None:
        self.client_present = True
        self.rotation_mode = event.rotation
        self._welcome_owed = True
        if self.phase is Phase.PARKED:
            self._dial(now, planned=True)
        elif self.phase is Phase.LIVE and self._due and event.rotation is RotationMode.CLIENT:
            self._rotate(RotationReason.CLIENT, now)
        elif self.phase is Phase.LIVE:
            self._welcome(Continuity.HANDLE)

    def _client_left(self, _event: on.ClientLeft, now: float) -> None:
        self.client_present = False
        self._welcome_owed = False
        self._away_since = now
        if self.phase is Phase.LIVE and self._due and self.rotation_mode is RotationMode.CLIENT:
            self._rotate(RotationReason.CLIENT, now)

    def _welcome(self, continuity: Continuity) -> None:
        self._welcome_owed = False
        first = self._untouched and not self.talk.last
        self._out.append(do.Welcome(None if first else continuity))
        self._untouched = False

    def _tool_result(self, event: on.ToolResultGiven, _now: float) -> None:
        call = self.talk.tool_answered(event.id, event.result)
        if call is not None and self.phase is Phase.LIVE:
            self._out.append(do.AnswerTool(call.id, call.name, event.result))

    def _end_asked(self, event: on.EndAsked, _now: float) -> None:
        over = do.Tell(tell.ConversationOver(event.reason))
        self._let_go([over, do.EndConversation(event.reason), do.CloseClient(do.Farewell.OVER, event.reason)])

    def _drain_asked(self, _event: on.DrainAsked, _now: float) -> None:
        self._tell_handle_again()
        self._tell(tell.Expiring(0.0, self.coverage.renewal is not None, "drain"))
        self._let_go([do.Release(), do.CloseClient(do.Farewell.DRAIN, "this relay is going away")])

    # The upstream connection.

    def _dial(self, now: float, *, planned: bool) -> None:
        if self._budget.spent:
            self._give_up("Gemini cannot be reached", do.Farewell.UPSTREAM_UNAVAILABLE)
            return
        self.phase = step(self.phase, Signal.DIAL)
        self._due = None
        handle = self.coverage.handle
        content = self.coverage.uncovered
        history = 0 if handle else self.talk.last - len(content)
        self._opening_with = (
            Continuity.HANDLE if handle else Continuity.TRANSCRIPT if self.talk.last else Continuity.NONE
        )
        self._opened_at = now
        self.coverage.connection_opens(seeded=bool(self.talk.last))
        self._out.append(
            do.OpenUpstream(handle.secret if handle else None, history, content, self._budget.dial(planned=planned))
        )

    def _turn_completed(self, event: on.TurnCompleted, _now: float) -> None:
        before = self.talk.last
        self._out += self._dialogue.handle(event)
        if self.talk.last > before:
            self._proven = True
            self._budget.progress()

    def _upstream_ready(self, _event: on.UpstreamReady, now: float) -> None:
        self.phase = step(self.phase, Signal.READY)
        self._opened_at, self._proven, self._refusals = now, False, 0
        self.continuity = self._opening_with
        self._out.append(do.StartSending(self.talk.boundary))
        if not self._untouched:
            self.coverage.context_survived(self._opening_with)
        if self._replacing is not None:
            self.rotations += 1
            gap = now - self._gap_since
            self._tell(tell.Rotated(self._replacing, self._opening_with, gap, self.talk.number))
            self._replacing = None
        if self._welcome_owed:
            self._welcome(self._opening_with)

    def _rotate(self, reason: RotationReason, now: float) -> None:
        self.phase = step(self.phase, Signal.ROTATE)
        self._judge_stability(now)
        self._closing_for = reason
        self._replace(reason, now)
        self._out += [do.StopSending(), do.CloseUpstream()]

    def _judge_stability(self, now: float) -> None:
        if now - self._opened_at >= self._policy.stable_after:
            self._budget.progress()

    def _replace(self, reason: RotationReason, now: float) -> None:
        """Note why, tell the client; one that is away, or reconnects by itself, need not be told."""
        if not self.client_present or self._replacing is not None or reason is RotationReason.CLIENT:
            return
        self._replacing, self._gap_since = reason, now
        self._tell(tell.Rotating(reason, self.talk.number))

    def _upstream_closed(self, event: on.UpstreamClosed, now: float) -> None:
        if self.phase is Phase.CLOSING:
            self._out += self._dialogue.cut(self._closing_for)
            self._reopen(now, planned=True)
            return
        if self.phase is Phase.PARKED:
            return
        situation = self._situation()
        self._refusals += situation is Situation.RESUMING
        decision = classify_upstream_close(event.code, event.reason, situation, self._refusals)
        if self.phase is Phase.LIVE:
            self._judge_stability(now)
        self._out += self._dialogue.cut(RotationReason.UPSTREAM_CLOSED)
        self._after_loss(decision, event, now)

    def _after_loss(self, decision: Decision, event: on.UpstreamClosed, now: float) -> None:
        self._out.append(do.StopSending())
        if decision is Decision.FATAL:
            self._give_up(f"Gemini refused: {event.code} {event.reason}".rstrip(), do.Farewell.UPSTREAM_REFUSED)
            return
        lost = self.phase is Phase.LIVE
        if decision is Decision.FRESH and self.coverage.handle is not None:
            self.coverage.handle_lost()
            self._out.append(do.InvalidateHandle(f"{event.code} {event.reason}".rstrip()))
        if lost and self.client_present and self.rotation_mode is RotationMode.CLIENT:
            self.phase = step(self.phase, Signal.PARK)
            why = f"the connection to Gemini ended: {event.code} {event.reason}".rstrip()
            self._out.append(do.CloseClient(do.Farewell.RECONNECT, why))
            return
        if lost:
            rejected = decision is Decision.FRESH
            self._replace(RotationReason.HANDLE_REJECTED if rejected else RotationReason.UPSTREAM_CLOSED, now)
        self._reopen(now, planned=False)

    def _reopen(self, now: float, *, planned: bool) -> None:
        """Open the next connection, if there is somebody to talk to."""
        if self.client_present:
            self._dial(now, planned=planned)
        else:
            self.phase = step(self.phase, Signal.PARK)
            self._replacing, self._due = None, None

    def _situation(self) -> Situation:
        if self.phase is Phase.OPENING:
            return Situation.RESUMING if self._opening_with is Continuity.HANDLE else Situation.NEW
        fresh = self._opening_with is not Continuity.HANDLE and not self._proven
        return Situation.NEW if fresh else Situation.LIVE

    def _go_away(self, event: on.GoAway, now: float) -> None:
        due = due_by_goaway(now, event.time_left, self._policy)
        self._due = due if self._due is None or due.latest < self._due.latest else self._due
        if self.rotation_mode is RotationMode.CLIENT and self.client_present:
            left = self._policy.goaway_unknown if event.time_left is None else event.time_left
            self._tell_handle_again()
            self._tell(tell.Expiring(left, self.coverage.renewal is not None, RotationReason.GO_AWAY))
            self._tell(tell.ReconnectNow(left))

    # The store.

    def _fenced(self, _event: on.Fenced, _now: float) -> None:
        self._let_go([do.CloseClient(do.Farewell.REPLACED, "the conversation went on elsewhere")], keep=False)

    def _tick(self, _event: on.Tick, _now: float) -> None:
        """Only time has passed; `_settle` sees what is due."""

    # The end.

    def _give_up(self, message: str, farewell: do.Farewell) -> None:
        self._tell(tell.UpstreamTrouble(message, retryable=farewell is do.Farewell.UPSTREAM_UNAVAILABLE))
        self._let_go([do.Release(), do.CloseClient(farewell, message)], connected=False)

    def _let_go(self, last: list[do.Effect], *, keep: bool = True, connected: bool = True) -> None:
        """Store what is not stored, close the upstream, do the `last` things, and stop."""
        if keep:
            self._out += self._dialogue.let_go()
            self._checkpoint(last=True)
        if connected and self.phase in (Phase.LIVE, Phase.CLOSING):
            self._out += [do.StopSending(), do.CloseUpstream()]
        self.phase = step(self.phase, Signal.FINISH)
        self._out += [*last, do.Stop()]

    def _tell(self, notice: tell.Notice) -> None:
        self._out.append(do.Tell(notice))

    def _tell_handle_again(self) -> None:
        if self.coverage.renewal is not None:
            self._tell(self.coverage.renewal)

    _ON: ClassVar[Mapping[type[Any], Callable[[Any, Any, float], None]]] = {
        on.ClientJoined: _client_joined,
        on.ClientLeft: _client_left,
        on.ToolResultGiven: _tool_result,
        on.EndAsked: _end_asked,
        on.DrainAsked: _drain_asked,
        on.UpstreamReady: _upstream_ready,
        on.UpstreamClosed: _upstream_closed,
        on.GoAway: _go_away,
        on.TurnCompleted: _turn_completed,
        on.Fenced: _fenced,
        on.Tick: _tick,
    }

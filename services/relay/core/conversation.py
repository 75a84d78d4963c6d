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
from services.relay.core.capabilities import UNHINDERED, Capability
from services.relay.core.connection import Connection, Successor
from services.relay.core.coverage import Coverage
from services.relay.core.dialogue import Dialogue
from services.relay.core.ledger import Ledger
from services.relay.core.model import (
    START,
    Continuity,
    Mark,
    Policy,
    RotationMode,
    RotationReason,
    Turn,
    UpstreamHandle,
)
from services.relay.core.resume_check import Compression
from services.relay.core.rotation import DialBudget
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
        capability: What the conversation's model allows.
    """

    new: bool
    turn_count: int = 0
    covered_seq: int = 0
    handle: UpstreamHandle | None = None
    uncovered: tuple[Turn, ...] = ()
    ledger: Ledger = field(default_factory=Ledger)
    instruction_characters: int = 0
    capability: Capability = UNHINDERED


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
        self._capability = attachment.capability
        self._connection = self._begin(now, Continuity.NONE)
        self._replacing: RotationReason | None = None
        self._closing_for = RotationReason.CLIENT
        self._rebasing = False
        self._welcome_owed = False
        self._away_since = now
        self._gap_since = now
        self._out: list[do.Effect] = []

    def handle(self, event: on.Event, now: float) -> list[do.Effect]:
        """What is to be done about an event; nothing once the conversation is over here."""
        if self.phase is Phase.OVER:
            return []
        self._out = []
        if isinstance(event, on.RENEWS_PATIENCE):
            self._connection.heard(now)
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
            due = self._connection.due
            ours = due is not None and not self._left_to_client(due.reason)
            moments += self._connection.moments(now, expecting=self.talk.answer_owed, ours=ours)
        return min(moments, default=None)

    # What follows from where things stand, whatever the event was.

    def _settle(self, now: float) -> None:
        if self.phase is Phase.OVER:
            return
        if not self.client_present and now >= self._away_since + self._policy.grace:
            self._let_go([do.Release()])
            return
        if self.coverage.waiting > self._policy.unsaved_turns:
            self._give_up("what was said could not be stored for too long", do.Farewell.STORE_UNAVAILABLE)
            return
        if self.phase is Phase.LIVE:
            self._settle_rotation(now)
        self._checkpoint()

    def _settle_rotation(self, now: float) -> None:
        connection = self._connection
        connection.time_passed(now, expecting=self.talk.answer_owed)
        if connection.due is None or self._left_to_client(connection.due.reason):
            return
        if connection.successor is Successor.NONE and self.client_present:
            connection.successor = Successor.ASKED
            self._out.append(do.PrepareUpstream())
        if connection.due.may_begin(
            now,
            self.talk.stage,
            tool_pending=self.talk.tool_pending,
            covered=self.coverage.all_covered,
            prepared=connection.successor is not Successor.ASKED,
        ):
            self._rotate(connection.due.reason, now)

    def _left_to_client(self, reason: RotationReason) -> bool:
        """Whether the client rotates; what the relay itself has found wrong, it mends itself."""
        return self.rotation_mode is RotationMode.CLIENT and reason in (RotationReason.GO_AWAY, RotationReason.AGE)

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
        elif self.phase is Phase.LIVE and self._connection.due and event.rotation is RotationMode.CLIENT:
            self._rotate(RotationReason.CLIENT, now)
        elif self.phase is Phase.LIVE:
            self._welcome(Continuity.HANDLE)

    def _client_left(self, _event: on.ClientLeft, now: float) -> None:
        self.client_present = False
        self._welcome_owed = False
        self._away_since = now
        if self.phase is Phase.LIVE and self._connection.due and self.rotation_mode is RotationMode.CLIENT:
            self._rotate(RotationReason.CLIENT, now)

    def _welcome(self, continuity: Continuity) -> None:
        self._welcome_owed = False
        first = self._untouched and not self.talk.last
        self._out.append(do.Welcome(None if first else continuity))
        self._untouched = False

    def _speech_began(self, event: on.SpeechBegan, now: float) -> None:
        if not self.talk.answer_owed:
            self._connection.heard(now)  # only from here on it is expected to say something
        self._out += self._dialogue.handle(event)

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
        if self.coverage.uncovered and not self._capability.mid_session_content:
            self.coverage.handle_lost()
        handle, content = self.coverage.handle, self.coverage.uncovered
        history = 0 if handle else self.talk.last - len(content)
        self._connection = self._begin(now, self._continuity_of(handle))
        self.coverage.connection_opens(seeded=bool(self.talk.last))
        self._out.append(
            do.OpenUpstream(handle.secret if handle else None, history, content, self._budget.dial(planned=planned))
        )

    def _begin(self, now: float, continuity: Continuity) -> Connection:
        compression = Compression.of_window(self._capability.window)
        return Connection(now, continuity, self.coverage.baseline, compression, self._policy)

    def _continuity_of(self, handle: UpstreamHandle | None) -> Continuity:
        if handle is not None:
            return Continuity.HANDLE
        if not self.talk.last:
            return Continuity.NONE
        return Continuity.REBASED if self._rebasing else Continuity.TRANSCRIPT

    def _turn_completed(self, event: on.TurnCompleted, _now: float) -> None:
        before = self.talk.last
        self._out += self._dialogue.handle(event)
        if self.talk.last > before:
            self._connection.turn_completed()
            self._budget.progress()

    def _usage_counted(self, event: on.UsageCounted, now: float) -> None:
        self._out += self._dialogue.handle(event)
        connection = self._connection
        connection.counted(now, event.usage, self.coverage.ledger)
        if connection.due is not None and connection.due.reason is RotationReason.FALSE_RESUME:
            self._drop_handle("the resume was false: the context had lost what was said")

    def _upstream_prepared(self, _event: on.UpstreamPrepared, _now: float) -> None:
        """`_settle` sees that it need not be waited for; a word that comes too late means nothing."""
        if self._connection.successor is Successor.ASKED:
            self._connection.successor = Successor.PREPARED

    def _upstream_ready(self, _event: on.UpstreamReady, now: float) -> None:
        self.phase = step(self.phase, Signal.READY)
        self._connection.ready(now)
        self._refusals, self._rebasing = 0, False
        self.continuity = self._connection.continuity
        self._out.append(do.StartSending(self._replay_after()))
        if not self._untouched:
            self.coverage.context_survived(self.continuity)
        if self._replacing is not None:
            self.rotations += 1
            gap = now - self._gap_since
            self._tell(tell.Rotated(self._replacing, self.continuity, gap, self.talk.number))
            self._replacing = None
        if self._welcome_owed:
            self._welcome(self.continuity)

    def _replay_after(self) -> Mark:
        """Where the input begins that the new connection has not got: after the completed turns, or even later."""
        resumed = self._connection.continuity is Continuity.HANDLE
        return max(self.talk.boundary, self.coverage.ahead or START) if resumed else self.talk.boundary

    def _rotate(self, reason: RotationReason, now: float) -> None:
        self.phase = step(self.phase, Signal.ROTATE)
        if self._connection.stable(now):
            self._budget.progress()
        if reason is RotationReason.CONTEXT_PRESSURE:
            self._rebasing = True
            self._drop_handle("the context is rebuilt smaller")
        self._closing_for = reason
        self._replace(reason, now)
        self._out += [do.StopSending(), do.CloseUpstream()]

    def _drop_handle(self, why: str) -> None:
        if self.coverage.handle is not None:
            self.coverage.handle_lost()
            self._out.append(do.InvalidateHandle(why))

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
        situation = self._connection.situation
        self._refusals += situation is Situation.RESUMING
        decision = classify_upstream_close(event.code, event.reason, situation, self._refusals)
        if self._connection.stable(now):
            self._budget.progress()
        self._out += self._dialogue.cut(RotationReason.UPSTREAM_CLOSED)
        self._after_loss(decision, event, now)

    def _after_loss(self, decision: Decision, event: on.UpstreamClosed, now: float) -> None:
        self._out.append(do.StopSending())
        if decision is Decision.FATAL:
            self._give_up(f"Gemini refused: {event.code} {event.reason}".rstrip(), do.Farewell.UPSTREAM_REFUSED)
            return
        lost = self.phase is Phase.LIVE
        if decision is Decision.FRESH:
            self._drop_handle(f"{event.code} {event.reason}".rstrip())
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
            self._replacing = None

    def _go_away(self, event: on.GoAway, now: float) -> None:
        self._connection.go_away(now, event.time_left)
        if self.rotation_mode is RotationMode.CLIENT and self.client_present:
            left = self._policy.goaway_unknown if event.time_left is None else event.time_left
            self._tell_handle_again()
            self._tell(tell.Expiring(left, self.coverage.renewal is not None, RotationReason.GO_AWAY))
            self._tell(tell.ReconnectNow(left))

    # The store.

    def _fenced(self, _event: on.Fenced, _now: float) -> None:
        self._let_go([do.CloseClient(do.Farewell.REPLACED, "the conversation went on elsewhere")], keep=False)

    def _ended_elsewhere(self, _event: on.EndedElsewhere, _now: float) -> None:
        reason = "ended by the platform"
        over = do.Tell(tell.ConversationOver(reason))
        self._let_go([over, do.CloseClient(do.Farewell.OVER, reason)], keep=False)

    def _store_refused(self, _event: on.StoreRefused, _now: float) -> None:
        farewell = do.CloseClient(do.Farewell.FAILED, "what was said could not be stored")
        self._let_go([do.Release(), farewell], keep=False)

    def _tick(self, event: on.Tick, now: float) -> None:
        """Only time has passed; `_settle` sees what is due."""
        self._connection.heard(now - event.silence)

    # The end.

    def _give_up(self, message: str, farewell: do.Farewell) -> None:
        self._tell(tell.UpstreamTrouble(message, retryable=farewell is not do.Farewell.UPSTREAM_REFUSED))
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
        on.SpeechBegan: _speech_began,
        on.ToolResultGiven: _tool_result,
        on.EndAsked: _end_asked,
        on.DrainAsked: _drain_asked,
        on.UpstreamPrepared: _upstream_prepared,
        on.UpstreamReady: _upstream_ready,
        on.UpstreamClosed: _upstream_closed,
        on.GoAway: _go_away,
        on.TurnCompleted: _turn_completed,
        on.UsageCounted: _usage_counted,
        on.Fenced: _fenced,
        on.EndedElsewhere: _ended_elsewhere,
        on.StoreRefused: _store_refused,
        on.Tick: _tick,
    }

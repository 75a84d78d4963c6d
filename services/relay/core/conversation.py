"""A conversation at one relay: events in, effects out.

Around it stand four smaller nouns: `turns.Talk`, what is being said; `coverage.Coverage`, what of it is stored and
known to Gemini; `succession.Succession`, the connections to Gemini, one after another; and `presence.Presence`, the
client. This module joins them: it lets clients in, keeps the store informed, and ends it all.
"""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from services.relay.core import effects as do
from services.relay.core import events as on
from services.relay.core import notices as tell
from services.relay.core.advising import Advisor, accounts_of
from services.relay.core.attachment import Attachment
from services.relay.core.completions import Completions
from services.relay.core.coverage import Coverage
from services.relay.core.dialogue import Dialogue
from services.relay.core.model import Continuity, Mark, Policy, RotationMode, RotationReason
from services.relay.core.presence import Presence
from services.relay.core.rotation import RotationDue, due_by_drain
from services.relay.core.states import Phase
from services.relay.core.succession import Succession
from services.relay.core.tools import Tools
from services.relay.core.turns import Talk


class Conversation:
    """Decides; see the module's text.

    Args:
        attachment: Where it begins.
        policy: The settings.
        now: Monotonic seconds, like every later ``now``.
    """

    def __init__(self, attachment: Attachment, policy: Policy, now: float) -> None:
        self.talk = Talk(attachment.turn_count, Mark(0, attachment.covered_seq), Tools(attachment.volatile_tools))
        self.coverage = Coverage(attachment.handle, attachment.uncovered, attachment.covered_seq, attachment.ledger)
        accounts = accounts_of(attachment)
        self._dialogue = Dialogue(self.talk, self.coverage, accounts, Completions(policy.store_patience))
        self._advisor = Advisor(attachment, self.talk, self.coverage, accounts, policy)
        self._client = Presence(now, untouched=attachment.new)
        self._upstreams = Succession(self._dialogue, self._client, attachment.capability, policy, now, attachment.place)
        self._policy = policy
        self._leaving: RotationDue | None = None
        self._seen_at = now
        self._out: list[do.Effect] = []

    @property
    def phase(self) -> Phase:
        """How the upstream connection stands."""
        return self._upstreams.phase

    @property
    def continuity(self) -> Continuity | None:
        """How the context came into the newest connection; None before the first is ready."""
        return self._upstreams.continuity

    @property
    def rotations(self) -> int:
        """How many connections were replaced under a client."""
        return self._upstreams.rotations

    @property
    def rotation_mode(self) -> RotationMode:
        """Who replaces connections."""
        return self._client.rotation

    def handle(self, event: on.Event, now: float) -> list[do.Effect]:
        """What is to be done about an event; nothing once the conversation is over here."""
        if self.phase is Phase.OVER:
            return []
        self._out, self._seen_at = [], now
        if type(event) in on.RENEWS_PATIENCE:
            self._upstreams.connection.heard(now)
        mine = self._ON.get(type(event))
        if mine is None:
            self._out += self._dialogue.handle(event)
        else:
            mine(self, event, now)
        self._settle(event, now)
        return self._out

    @property
    def deadline(self) -> float | None:
        """When a `events.Tick` is wanted; None while nothing waits for time.

        It may be over already: a moment counts until an event has come at it or later. A timer that goes off a little
        early, or a look at the clock that comes a little late, must not lose it.
        """
        if self.phase is Phase.OVER:
            return None
        moments = [] if self._client.here else [self._client.away_since + self._policy.grace]
        if self._advisor.expires_at is not None:
            moments.append(self._advisor.expires_at)
        if (overdue := self._dialogue.completions.deadline) is not None:
            moments.append(overdue)
        if self._leaving is not None:
            moments += [moment for moment in (self._leaving.soon, self._leaving.latest) if moment > self._seen_at]
        if self.phase is Phase.LIVE:
            moments += self._upstreams.moments(self._seen_at, self._advisor.strippable)
        return min(moments, default=None)

    # What follows from where things stand, whatever the event was.

    def _settle(self, event: on.Event, now: float) -> None:
        if self.phase is Phase.OVER:
            return
        connected = self.phase is Phase.LIVE and self._upstreams.hopeless is None
        self._out += self._advisor.after(event, now, live=connected)
        if self._upstreams.hopeless is not None:
            self._give_up(self._upstreams.hopeless.message, self._upstreams.hopeless.farewell)
            return
        if not self._client.here and now >= self._client.away_since + self._policy.grace:
            self._let_go([do.Release()])
            return
        if self._may_leave(now):
            self._leave()
            return
        if self.coverage.waiting > self._policy.unsaved_turns:
            self._give_up("what was said could not be stored for too long", do.Farewell.STORE_UNAVAILABLE)
            return
        if self.phase is Phase.LIVE:
            self._out += self._upstreams.look(now, self._advisor.strippable)
        self._out += self._dialogue.look(now)
        self._checkpoint()

    def _checkpoint(self, *, last: bool = False) -> None:
        checkpoint = self.coverage.checkpoint(last=last)
        if checkpoint is not None:
            self._out.append(checkpoint)

    # The client.

    def _client_joined(self, event: on.ClientJoined, now: float) -> None:
        self._client.came(event.rotation, stranger=event.stranger)
        if self.phase is Phase.PARKED:
            self._out += self._upstreams.connect(now)
        elif self.phase is Phase.LIVE and self._upstreams.connection.due and self._client.rotates:
            self._out += self._upstreams.rotated_by_client(now, self._advisor.strippable)
        elif self.phase is Phase.LIVE:
            self._welcome(Continuity.HANDLE)

    def _client_left(self, _event: on.ClientLeft, now: float) -> None:
        self._client.went(now)
        if self.phase is Phase.LIVE and self._upstreams.connection.due and self._client.rotates:
            self._out += self._upstreams.rotated_by_client(now, self._advisor.strippable)

    def _welcome(self, continuity: Continuity) -> None:
        self._client.owed_welcome = False
        first = self._client.untouched and not self.talk.last
        self._out.append(do.Welcome(None if first else continuity))
        self._client.untouched = False
        if self._client.stranger and (calls := self.talk.tools.at_client):
            self._tell(tell.ToolsWanted(self.talk.number, calls))

    def _speech_began(self, event: on.SpeechBegan, now: float) -> None:
        if not self.talk.answer_owed:
            self._upstreams.connection.heard(now)  # only from here on it is expected to say something
        self._out += self._dialogue.handle(event)

    def _tool_result(self, event: on.ToolResultGiven, _now: float) -> None:
        call = self.talk.tools.answered(event.id, event.result)
        if call is not None and self.phase is Phase.LIVE:
            self._out.append(do.AnswerTool(call.id, call.name, event.result))

    def _feedback_given(self, _event: on.FeedbackGiven, _now: float) -> None:
        """The advisor, who sees every event, takes it."""

    def _end_asked(self, event: on.EndAsked, _now: float) -> None:
        over = do.Tell(tell.ConversationOver(event.reason))
        self._let_go([over, do.EndConversation(event.reason), do.CloseClient(do.Farewell.OVER, event.reason)])

    def _drain_asked(self, event: on.DrainAsked, now: float) -> None:
        self._leaving = due_by_drain(now, event.patience)

    def _may_leave(self, now: float) -> bool:
        """Whether this is the moment to give the conversation back, of which nobody will notice much."""
        leaving, talk = self._leaving, self.talk
        if leaving is None:
            return False
        covered, quiet = self.coverage.all_covered and not self.coverage.waiting, self.phase is Phase.LIVE
        return self.phase is Phase.PARKED or leaving.may_begin(
            now, talk.stage, tool_pending=talk.tools.pending, covered=covered and quiet
        )

    def _leave(self) -> None:
        self._tell_handle_again()
        self._tell(tell.Expiring(0.0, self.coverage.renewal is not None, "drain"))
        self._let_go([do.Release(), do.CloseClient(do.Farewell.DRAIN, "this relay is going away")])

    def _taken_over(self, _event: on.TakenOver, _now: float) -> None:
        self._let_go([do.Release(), do.CloseClient(do.Farewell.REPLACED, "the conversation goes on elsewhere")])

    # The upstream connection.

    def _turn_completed(self, event: on.TurnCompleted, _now: float) -> None:
        before = self.talk.last
        self._out += self._dialogue.handle(event)
        if self.talk.last > before:
            self._upstreams.turn_completed()

    def _usage_counted(self, event: on.UsageCounted, now: float) -> None:
        self._out += [*self._dialogue.handle(event), *self._upstreams.counted(event, now)]

    def _upstream_prepared(self, event: on.UpstreamPrepared, now: float) -> None:
        self._upstreams.connection.prepared(now, stands=event.stands)

    def _upstream_ready(self, event: on.UpstreamReady, now: float) -> None:
        self._advisor.opened(self._upstreams.resumed, event.told, with_live=self.coverage.advised)
        self._out += self._upstreams.ready(now)
        continuity = self._upstreams.connection.continuity
        if not self._client.untouched:
            self.coverage.context_survived(continuity)
        if self._client.owed_welcome:
            self._welcome(continuity)

    def _upstream_closed(self, event: on.UpstreamClosed, now: float) -> None:
        self._out += self._upstreams.closed(event, now)

    def _go_away(self, event: on.GoAway, now: float) -> None:
        self._upstreams.connection.go_away(now, event.time_left)
        if self._client.rotates and self._client.here:
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
        self._upstreams.listened(now, event.silence)

    # The end.

    def _give_up(self, message: str, farewell: do.Farewell) -> None:
        self._tell(tell.UpstreamTrouble(message, retryable=farewell is not do.Farewell.UPSTREAM_REFUSED))
        self._let_go([do.Release(), do.CloseClient(farewell, message)])

    def _let_go(self, last: list[do.Effect], *, keep: bool = True) -> None:
        """Store what is not stored, close the upstream, do the `last` things, and stop."""
        if keep:
            self._out += self._dialogue.let_go()
            self._checkpoint(last=True)
        self._out += [*self._upstreams.finish(), *last, do.Stop()]

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
        on.FeedbackGiven: _feedback_given,
        on.EndAsked: _end_asked,
        on.DrainAsked: _drain_asked,
        on.TakenOver: _taken_over,
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

"""When advice is brought to the agent, and when it is taken away again.

The moment is when the client begins to speak: then the advice is as new as it can be, and it is in the context before
the answer. Never in the middle of an answer, for content interrupts a generation that is under way (google-genai,
`send_client_content`); after the client has spoken into an answer, it waits until that turn is complete; and typed
words are being answered from the moment when they are sent. What arrives while the client is speaking is not too late;
what arrives when it has just ended is, for the answer may have begun.

A client that says itself when it speaks (`activity_start`) is believed, whatever ear is asked otherwise.

Where the model may answer `realtimeInput.text` at once, the relay's own ear is not enough: a cough would make it speak.
Advice waits for the client's words then: typed ones, or the first that Gemini has heard.
"""

from collections.abc import Iterable

from services.relay.core import effects as do
from services.relay.core import events as on
from services.relay.core.accounts import Accounts
from services.relay.core.attachment import Attachment
from services.relay.core.capabilities import Channel
from services.relay.core.coverage import Coverage
from services.relay.core.delivery import Delivered
from services.relay.core.feedback import Advice, worded
from services.relay.core.model import FeedbackPolicy, FeedbackSignal, FeedbackState, Policy, Told
from services.relay.core.notices import FeedbackChanged
from services.relay.core.policies import RULES, chosen
from services.relay.core.rotation import Strippable
from services.relay.core.turns import Stage, Talk


def accounts_of(attachment: Attachment) -> Accounts:
    """Go on with the stored ledger."""
    lengths = attachment.instruction_characters, attachment.tools_characters
    return Accounts(attachment.ledger, *lengths, attachment.capability.window, attachment.turn_count)


class Advisor:
    """Brings advice to the agent of one conversation.

    Args:
        attachment: Where it begins.
        talk: Whose moment it is.
        coverage: Where changes are gathered for the store.
        accounts: Count what comes into the context.
        policy: The settings.
    """

    def __init__(
        self, attachment: Attachment, talk: Talk, coverage: Coverage, accounts: Accounts, policy: Policy
    ) -> None:
        self._talk = talk
        self._coverage = coverage
        self._accounts = accounts
        self._policy = policy
        self._capability = attachment.capability
        self._wish = attachment.feedback_policy or policy.feedback_policy
        self._advice = Advice(attachment.feedback, attachment.turn_count, attachment.newest_feedback)
        self._over = attachment.turn_count
        self._heard_in = 0
        self._out: list[do.Effect] = []

    @property
    def strippable(self) -> Strippable:
        """What a rebuilt session would not have; nothing where the policy is not to strip it so."""
        stays = self._wish in (FeedbackPolicy.APPEND, FeedbackPolicy.JUST_IN_TIME)
        return Strippable() if stays else self._advice.strippable

    @property
    def expires_at(self) -> float | None:
        """When what waits is too old; None where nothing does."""
        return self._advice.waiting.expires_at if self._advice.waiting is not None else None

    def opened(self, covers_turn: int | None, told: Told, *, with_live: bool) -> None:
        """A connection is ready.

        Args:
            covers_turn: The newest turn in the context that it resumed; None where it began with an empty one.
            told: What it was sent as content.
            with_live: The context that it resumed holds the live advice, too.
        """
        instructed = self._advice.opened(covers_turn, with_live=with_live)
        self._accounts.opened(covers_turn, told, [(item.turn, item.tokens) for item in instructed])
        for overtaken in self._advice.overtaken_in(self._talk.number):
            self._accounts.advised(overtaken.tokens)
        self._accounts.overtaken()
        for live in self._advice.live:
            if live.held:
                self._accounts.advised(live.tokens)

    def after(self, event: on.Event, now: float, *, live: bool) -> list[do.Effect]:
        """What is to be done about advice now that something has happened.

        Args:
            event: What; the talk knows of it already.
            now: Monotonic seconds.
            live: There is a connection that takes input.
        """
        self._out = []
        self._advice.expire(now)
        if isinstance(event, on.FeedbackGiven):
            self._advice.given(event.feedback, now)
        shown = self._accounts.take_shown()
        if shown.turn:
            self._advice.judged(*shown)
        if self._talk.last > self._over:
            self._turn_is_over()
        if live:
            self._bring(event)
            self._clear(event)
        self._report()
        return self._out

    def _turn_is_over(self) -> None:
        self._over = self._talk.last
        for item in self._advice.turn_over(self._over):
            self._accounts.served(self._over, in_instruction=item.in_instruction)

    def _bring(self, event: on.Event) -> None:
        policy = chosen(self._wish, self._capability, self._accounts.context, self._policy)
        moment = self._is_moment(event) or self._any_moment_will_do(policy)
        delivery = self._advice.deliver(self._talk.number, policy) if moment else None
        if isinstance(event, on.UpstreamReady):
            for owed in self._advice.owed:
                owed.held = True
                self._send(owed)
        if delivery is not None:
            self._make_room(delivery.instead)
            self._send(delivery.item)

    def _make_room(self, instead: Iterable[Delivered]) -> None:
        for item in instead:
            if item.in_instruction:
                self._accounts.withdrawn(item.tokens)
            else:
                self._accounts.overtaken()

    def _any_moment_will_do(self, policy: FeedbackPolicy) -> bool:
        quiet = self._talk.stage is Stage.QUIET and self._capability.advice is Channel.CONTENT
        return RULES[policy].at_once and quiet

    def _is_moment(self, event: on.Event) -> bool:
        """Whether the client has just begun to speak, or is at it."""
        first_words = isinstance(event, on.UserHeard) and self._heard_in != self._talk.number
        if first_words:
            self._heard_in = self._talk.number
        return self._may_interrupt(event) and (
            isinstance(event, on.ClientWrote)
            or (isinstance(event, on.SpeechBegan) and (self._hears_itself or (event.marked and self._silent_alone)))
            or (first_words and not self._hears_itself)
            or (self._has_words and self._is_late_moment(event))
        )

    def _may_interrupt(self, event: on.Event) -> bool:
        """Whether the client is at it, and no answer is on its way to words that it typed before."""
        now = len(event.text) if isinstance(event, on.ClientWrote) else 0
        asked = self._talk.typed > now and not isinstance(event, on.UpstreamReady)  # which is sent them after it
        return self._talk.stage is Stage.LISTENING and not asked

    def _is_late_moment(self, event: on.Event) -> bool:
        """Whether the client has begun before, and it is not too late."""
        return (
            isinstance(event, on.UpstreamReady)
            or (isinstance(event, on.FeedbackGiven) and event.speaking)
            or (isinstance(event, on.TurnCompleted) and self._talk.speaks_on)
        )

    @property
    def _has_words(self) -> bool:
        """Whether advice would not be answered alone, by a model that a noise has reached and nothing else."""
        return self._silent_alone or self._talk.unanswered or self._talk.typed > 0

    @property
    def _hears_itself(self) -> bool:
        by_ear = self._policy.feedback_signal is FeedbackSignal.LOCAL
        return by_ear and self._silent_alone

    @property
    def _silent_alone(self) -> bool:
        """Whether advice makes the model say nothing as long as the client has said nothing."""
        return self._capability.advice is not Channel.TEXT

    def _send(self, item: Delivered) -> None:
        channel = self._capability.instruction if item.in_instruction else self._capability.advice
        if channel is None or not item.feedback.text:
            return
        if item.in_instruction:
            self._taken_out()
        self._out.append(do.Advise(channel, worded(item.feedback.text)))
        self._accounts.advised(item.tokens)

    def _clear(self, event: on.Event) -> None:
        """Take served advice out of the instruction, as soon as that can cut no answer."""
        channel = self._capability.instruction
        if channel is None or not self._advice.to_clear:
            return
        speaks_on = isinstance(event, on.TurnCompleted) and self._talk.speaks_on
        if channel is Channel.CONTEXT_UPDATE or speaks_on or self._talk.stage is Stage.QUIET:
            self._out.append(do.Advise(channel, ""))
            self._taken_out()

    def _taken_out(self) -> None:
        for item in self._advice.cleared():
            self._accounts.taken_out(item.turn, item.tokens)

    def _report(self) -> None:
        self._coverage.advice_is_live = any(item.held for item in self._advice.live)
        self._coverage.advice_was_overtaken = bool(self._advice.overtaken_in(self._talk.number))
        self._accounts.given(self._advice.take_given())
        self._coverage.ledger = self._accounts.carried_into(self._coverage.ledger)
        for change in self._advice.changes():
            self._out.append(do.TellWatchers(FeedbackChanged(change)))
            if change.state is not FeedbackState.ACCEPTED:
                self._coverage.feedback_changed(change)

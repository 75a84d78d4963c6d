"""When advice is brought to the agent, and when it is taken away again.

The moment is when the client begins to speak: then the advice is as new as it can be, and it is in the context before
the answer. Never in the middle of an answer, for content interrupts a generation that is under way (google-genai,
`send_client_content`); after the client has spoken into an answer, it waits until that turn is complete. What arrives
while the client is speaking is not too late; what arrives when it has just ended is, for the answer may have begun.

A client that says itself when it speaks (`activity_start`) is believed, whatever ear is asked otherwise.

Where the model may answer `realtimeInput.text` at once, the relay's own ear is not enough: a cough would make it speak.
Advice waits for the client's words then: typed ones, or the first that Gemini has heard.
"""

from services.relay.core import effects as do
from services.relay.core import events as on
from services.relay.core.accounts import Accounts
from services.relay.core.attachment import Attachment
from services.relay.core.capabilities import Channel
from services.relay.core.coverage import Coverage
from services.relay.core.feedback import RULES, Advice, Delivered, chosen, worded
from services.relay.core.model import FeedbackPolicy, FeedbackSignal, FeedbackState, Policy, Told
from services.relay.core.notices import FeedbackChanged
from services.relay.core.rotation import Strippable
from services.relay.core.turns import Stage, Talk


def accounts_of(attachment: Attachment) -> Accounts:
    """Go on with the stored ledger; a new connection's instruction has none of the advice that was put there."""
    replaced = any(item.turn and item.detail == FeedbackPolicy.REPLACE for item in attachment.feedback)
    lengths = attachment.instruction_characters, attachment.tools_characters
    return Accounts(attachment.ledger, *lengths, attachment.capability.window, removed=replaced)


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
        self._advice = Advice(attachment.feedback, attachment.turn_count)
        self._over = attachment.turn_count
        self._heard_in = 0
        self._to_clear = False
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
        self._to_clear = False
        self._advice.opened(covers_turn, with_live=with_live)
        self._accounts.opened(covers_turn, told)
        for held in self._advice.live:
            if held.held:
                self._accounts.advised(held.feedback.tokens)

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
        self._advice.judged(self._accounts.take_verdict())
        if self._talk.last > self._over:
            self._turn_is_over()
        if live:
            self._bring(event)
            self._clear()
        self._report()
        return self._out

    def _turn_is_over(self) -> None:
        self._over = self._talk.last
        for item in self._advice.turn_over(self._over):
            self._accounts.served(self._over, removed=item.in_instruction)
            self._to_clear |= item.in_instruction

    def _bring(self, event: on.Event) -> None:
        if isinstance(event, on.UpstreamReady):
            for owed in self._advice.owed:
                owed.held = True
                self._send(owed)
        policy = chosen(self._wish, self._capability, self._accounts.context, self._policy)
        if self._is_moment(event) or self._any_moment_will_do(policy):
            item = self._advice.deliver(self._talk.number, policy)
            if item is not None:
                self._send(item)

    def _any_moment_will_do(self, policy: FeedbackPolicy) -> bool:
        quiet = self._talk.stage is Stage.QUIET and self._capability.advice is Channel.CONTENT
        return RULES[policy].at_once and quiet

    def _is_moment(self, event: on.Event) -> bool:
        """Whether the client has just begun to speak, or is at it."""
        first_words = isinstance(event, on.UserHeard) and self._heard_in != self._talk.number
        if first_words:
            self._heard_in = self._talk.number
        return self._talk.stage is Stage.LISTENING and (
            isinstance(event, on.ClientWrote)
            or (isinstance(event, on.SpeechBegan) and (self._hears_itself or (event.marked and self._silent_alone)))
            or (first_words and not self._hears_itself)
            or (self._has_words and self._is_late_moment(event))
        )

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
            self._to_clear = False
            self._accounts.withdrawn()
        self._out.append(do.Advise(channel, worded(item.feedback.text)))
        self._accounts.advised(item.feedback.tokens)

    def _clear(self) -> None:
        """Take served advice out of the instruction, if nothing has taken its place."""
        if self._to_clear and self._capability.instruction is not None:
            self._out.append(do.Advise(self._capability.instruction, ""))
        self._to_clear = False

    def _report(self) -> None:
        self._coverage.advice_is_live = any(item.held for item in self._advice.live)
        self._accounts.given(self._advice.take_given())
        self._coverage.ledger = self._accounts.carried_into(self._coverage.ledger)
        for change in self._advice.changes():
            self._out.append(do.TellWatchers(FeedbackChanged(change)))
            if change.state is not FeedbackState.ACCEPTED:
                self._coverage.feedback_changed(change)

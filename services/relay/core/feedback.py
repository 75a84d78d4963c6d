"""Advice to the agent: what waits, what is in the context, what has left it; and the policies.

An item moves through these, and never back:

* it waits; only the newest does, the one before it is superseded
* it is **live**: delivered for one turn, and that turn is not over yet
* it is **stale**: its turn is over, and it is still in the context
* it is **leaving**: it was taken out, and the next usage has to show that
* it is removed

What was delivered lives in one context. Where a connection begins with another one, live advice that this one does not
hold is owed to it again, and stale advice that it does not hold has left.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from services.relay.core.capabilities import Capability
from services.relay.core.ledger import Verdict
from services.relay.core.model import Feedback, FeedbackChange, FeedbackPolicy, FeedbackState, Policy
from services.relay.core.pieces import text_tokens
from services.relay.core.rotation import Strippable

PREFIX: Final = "[SALES_MANAGER_INSTRUCTION] "
"""What tells the agent that it is not the client who speaks."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What a policy does.

    Args:
        at_once: It does not wait until the client speaks.
        in_instruction: Advice lives in the system instruction, and is taken out of it after the answer.
        rebuilds: Stale advice is stripped by rebuilding the session.
    """

    at_once: bool = False
    in_instruction: bool = False
    rebuilds: bool = False


RULES: Final[Mapping[FeedbackPolicy, Rule]] = MappingProxyType(
    {
        FeedbackPolicy.APPEND: Rule(at_once=True),
        FeedbackPolicy.JUST_IN_TIME: Rule(),
        FeedbackPolicy.REPLACE: Rule(in_instruction=True),
        FeedbackPolicy.REBASE: Rule(rebuilds=True),
    }
)
"""Every policy but `auto`, which chooses among them."""


def chosen(wish: FeedbackPolicy, capability: Capability, context: int, policy: Policy) -> FeedbackPolicy:
    """The policy for the next item.

    Args:
        wish: The conversation's, or the setting.
        capability: What the model allows; where it cannot replace an instruction, the session is rebuilt instead.
        context: How large the context is, in tokens.
        policy: The settings.
    """
    if wish is FeedbackPolicy.AUTO:
        wish = FeedbackPolicy.REPLACE if replacing_is_cheaper(context, policy) else FeedbackPolicy.REBASE
    if wish is FeedbackPolicy.REPLACE and capability.instruction is None:
        return FeedbackPolicy.REBASE
    return wish


ADVICE_TOKENS: Final = 400
"""What an item is taken to cost where policies are compared."""


def replacing_is_cheaper(context: int, policy: Policy) -> bool:
    """Whether an item costs less in the instruction than in the talk, in tokens at the full price.

    In the instruction it makes the whole prompt after it uncached, once. In the talk it stays for a while: on average
    half the threshold of stale tokens rides along in each prompt, cached; and once a threshold is full, the rebuilt
    session is uncached as a whole.

    Args:
        context: Tokens of the context.
        policy: The settings: the threshold, and the price of a cached token.
    """
    discount = 1.0 - policy.cached_price
    threshold = max(policy.rebase_tokens, ADVICE_TOKENS)
    replaced = discount * context
    rebuilt = policy.cached_price * threshold / 2 + discount * context * ADVICE_TOKENS / threshold
    return replaced <= rebuilt


@dataclass(slots=True)
class Delivered:
    """An item that the agent has got.

    Args:
        feedback: The item.
        in_instruction: Where it is.
        held: The context in use holds it.
        by: What takes it out.
    """

    feedback: Feedback
    in_instruction: bool
    held: bool = True
    by: str = ""


class Advice:
    """All advice of one conversation, as far as it still matters.

    Args:
        items: What the store gave.
        last_turn: The newest stored turn.
    """

    def __init__(self, items: tuple[Feedback, ...] = (), last_turn: int = 0) -> None:
        self.waiting: Feedback | None = None
        self.live: list[Delivered] = []
        self.stale: list[Delivered] = []
        self.leaving: list[Delivered] = []
        self._newest = max((int(item.id) for item in items), default=0)
        self._given = 0
        self._changes: list[FeedbackChange] = []
        for item in items:
            delivered = Delivered(item, in_instruction=item.detail == FeedbackPolicy.REPLACE)
            if item.state is FeedbackState.ACCEPTED:
                self.waiting = item
            elif item.turn > last_turn:
                delivered.held = False
                self.live.append(delivered)
            else:
                self.stale.append(delivered)

    @property
    def strippable(self) -> Strippable:
        """What of it is in the talk only because nobody has taken it out."""
        stale, live = (
            sum(item.feedback.tokens for item in items if not item.in_instruction) for items in (self.stale, self.live)
        )
        return Strippable(stale, stale + live)

    @property
    def owed(self) -> list[Delivered]:
        """Live advice that the context in use does not hold."""
        return [item for item in self.live if not item.held]

    def changes(self) -> tuple[FeedbackChange, ...]:
        """What has become of items since the last call."""
        changes, self._changes = tuple(self._changes), []
        return changes

    def take_given(self) -> int:
        """Tokens of the items that have stopped waiting since the last call: `append` would have brought them all."""
        given, self._given = self._given, 0
        return given

    def given(self, item: Feedback, now: float) -> bool:
        """The platform has given an item.

        Returns:
            Whether it is news; the same item may be told more than once.
        """
        if int(item.id) <= self._newest:
            return False
        self._newest = int(item.id)
        if self.waiting is not None:
            self._given += tokens(self.waiting)
            self._change(self.waiting, FeedbackState.SUPERSEDED, f"by {item.id}")
        self.waiting = item
        self._change(item, FeedbackState.ACCEPTED, "")
        self.expire(now)
        return True

    def expire(self, now: float) -> None:
        """What has waited too long is not delivered any more."""
        item = self.waiting
        if item is not None and item.expires_at is not None and now >= item.expires_at:
            self.waiting = None
            self._given += tokens(item)
            self._change(item, FeedbackState.EXPIRED, "")

    def deliver(self, turn: int, policy: FeedbackPolicy) -> Delivered | None:
        """What waits is delivered for a turn; None where nothing does, or the one before is not served yet.

        Args:
            turn: The turn in progress, or the next one.
            policy: By which.
        """
        rule, item = RULES[policy], self.waiting
        if item is None or not (rule.at_once or self._makes_room(rule)):
            return None
        self.waiting = None
        item = replace(item, state=FeedbackState.DELIVERED, turn=turn, tokens=tokens(item), detail=policy.value)
        self._given += item.tokens
        self.live.append(Delivered(item, rule.in_instruction))
        self._change(item, FeedbackState.DELIVERED, policy.value)
        return self.live[-1]

    def _makes_room(self, rule: Rule) -> bool:
        """Whether the next item may be live: one in the instruction takes the place of another there."""
        if any(not (item.in_instruction and rule.in_instruction) for item in self.live):
            return False
        for item in self.live:
            self._change(item.feedback, FeedbackState.REMOVED, "replaced before its turn was over")
        self.live = []
        return True

    def turn_over(self, turn: int) -> list[Delivered]:
        """A turn is completed: what served it is stale, or, in the instruction, leaves now.

        Returns:
            What has served.
        """
        served = [item for item in self.live if item.feedback.turn <= turn]
        self.live = [item for item in self.live if item.feedback.turn > turn]
        for item in served:
            if item.in_instruction:
                self._leaves(item, "instruction")
            else:
                self.stale.append(item)
        return served

    def opened(self, covers_turn: int | None, *, with_live: bool) -> None:
        """A connection begins with another context.

        Args:
            covers_turn: The newest turn in it; None where it was rebuilt, or is empty.
            with_live: It holds what is live, too.
        """
        for item in self.live:
            item.held = with_live and not item.in_instruction
        stale, self.stale = self.stale, []
        for item in stale:
            if covers_turn is None or item.in_instruction:
                self._leaves(item, "rebuilt" if covers_turn is None else "instruction")
            elif item.feedback.turn > covers_turn + with_live:
                self._change(item.feedback, FeedbackState.REMOVED, "left behind by a resume")
            else:
                self.stale.append(item)

    def judged(self, verdict: Verdict) -> None:
        """A usage has shown what became of that which was taken out."""
        if verdict is Verdict.NOTHING:
            return
        leaving, self.leaving = self.leaving, []
        for item in leaving:
            if verdict is Verdict.UNSEEN:
                self.stale.append(item)
                self._change(item.feedback, FeedbackState.DELIVERED, f"{item.by}: the usage shows no removal")
            else:
                seen = "seen in the usage" if verdict is Verdict.SEEN else "too small to be seen"
                self._change(item.feedback, FeedbackState.REMOVED, f"{item.by}, {seen}")

    def _leaves(self, item: Delivered, by: str) -> None:
        item.by = by
        self.leaving.append(item)

    def _change(self, item: Feedback, state: FeedbackState, detail: str) -> None:
        self._changes.append(FeedbackChange(item.id, state, item.turn, item.tokens, detail))


def worded(text: str) -> str:
    """Advice as the agent gets it."""
    return f"{PREFIX}{text}"


def tokens(item: Feedback) -> int:
    """What an item should cost in the context."""
    return text_tokens(len(worded(item.text)))

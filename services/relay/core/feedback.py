"""Advice to the agent: what waits, what is in the context, what has left it.

An item moves through these, and never back:

* it waits; only the newest does, the one before it is superseded
* it is **live**: delivered for one turn, and that turn is not over yet
* it is **stale**: its turn is over, or a newer item has overtaken it, and it is still in the context
* it is **leaving**: it was taken out, and the next usage has to show that
* it is removed

What was delivered lives in one context. Where a connection begins with another one, live advice that this one does not
hold is owed to it again, and stale advice that it does not hold has left. The instruction is set anew with each
connection, so nothing of what was there is left.
"""

from dataclasses import replace
from typing import Final

from services.relay.core.delivery import Delivered, Delivery
from services.relay.core.ledger import Verdict
from services.relay.core.model import Feedback, FeedbackChange, FeedbackPolicy, FeedbackState
from services.relay.core.pieces import text_tokens
from services.relay.core.policies import RULES, Rule
from services.relay.core.rotation import Strippable

PREFIX: Final = "[SALES_MANAGER_INSTRUCTION] "
"""What tells the agent that it is not the client who speaks."""

_CLEARED: Final = "instruction"
_ANEW: Final = "a new connection"
_REBUILT: Final = "rebuilt"
_LEFT: Final = "left behind by a resume"
_UNSEEN: Final = "the usage shows no removal"
_STUCK: Final = f"{_CLEARED}: {_UNSEEN}"
_SHOWN: Final = {
    Verdict.SEEN: "seen in the usage",
    Verdict.TOO_SMALL: "too small to be seen",
    Verdict.NOTHING: "with no usage to compare",
}


class Advice:
    """All advice of one conversation, as far as it still matters.

    Args:
        items: What the store gave.
        last_turn: The newest stored turn.
        newest: The number of the newest item that was ever given, by the store: of older ones nothing new is to come.
    """

    def __init__(self, items: tuple[Feedback, ...] = (), last_turn: int = 0, newest: int = 0) -> None:
        self.waiting: Feedback | None = None
        self.live: list[Delivered] = []
        self.stale: list[Delivered] = []
        self.leaving: list[Delivered] = []
        self._newest = max((newest, *(int(item.id) for item in items)))
        self._given = 0
        self._changes: list[FeedbackChange] = []
        for item in items:
            if item.state is FeedbackState.ACCEPTED:
                self.waiting = item
            else:
                self._found(item, last_turn)

    def _found(self, item: Feedback, last_turn: int) -> None:
        """An earlier relay has delivered it; of two for the turn in progress, the newer one has overtaken the other."""
        stuck = item.detail == _STUCK
        delivered = Delivered(item, item.detail == FeedbackPolicy.REPLACE or stuck, held=False, stuck=stuck)
        if item.turn <= last_turn:
            delivered.held = True
            self.stale.append(delivered)
            return
        if item.detail != FeedbackPolicy.APPEND:
            self.stale += self.live
            self.live = []
        self.live.append(delivered)

    @property
    def strippable(self) -> Strippable:
        """What of it is in the talk only because nobody has taken it out."""
        if not self.stale and not self.live:
            return Strippable()
        stale, live = (
            sum(item.tokens for item in items if not item.in_instruction or item.stuck)
            for items in (self.stale, self.live)
        )
        return Strippable(stale, stale + live)

    @property
    def owed(self) -> list[Delivered]:
        """Live advice that the context in use does not hold."""
        return [item for item in self.live if not item.held]

    @property
    def to_clear(self) -> bool:
        """Whether the instruction holds what has served."""
        return any(item.in_instruction and not item.stuck for item in self.stale)

    def overtaken_in(self, turn: int) -> list[Delivered]:
        """What is stale before its turn is over."""
        return [item for item in self.stale if item.turn >= turn]

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
            Whether it is news; the same item may be told more than once, also after another relay has dealt with it.
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

    def deliver(self, turn: int, policy: FeedbackPolicy) -> Delivery | None:
        """What waits is delivered for a turn; None where nothing does.

        It takes the place of what is live: where that is in the instruction, there too.

        Args:
            turn: The turn in progress, or the next one.
            policy: By which.
        """
        item = self.waiting
        if item is None:
            return None
        self.waiting = None
        policy = FeedbackPolicy.REPLACE if any(live.in_instruction and live.held for live in self.live) else policy
        item = replace(item, turn=turn, tokens=tokens(item), detail=policy.value)
        instead = self._make_room(RULES[policy], item.id)
        self._given += item.tokens
        self._change(item, FeedbackState.DELIVERED, policy.value)
        self.live.append(Delivered(replace(item, state=FeedbackState.DELIVERED), RULES[policy].in_instruction))
        return Delivery(self.live[-1], instead)

    def _make_room(self, rule: Rule, newer: str) -> tuple[Delivered, ...]:
        """The newest wins, also over one that was delivered when a noise was taken for the client's voice."""
        if rule.at_once:
            return ()
        for item in self.owed:
            self._change(item.feedback, FeedbackState.REMOVED, _LEFT)
        instead, self.live = tuple(item for item in self.live if item.held), []
        for item in instead:
            if item.in_instruction:
                self._leaves(item, "replaced before its turn was over")
            else:
                self.stale.append(item)
                detail = f"{item.feedback.detail}, overtaken by {newer}"
                self._change(item.feedback, FeedbackState.DELIVERED, detail)
        return instead

    def turn_over(self, turn: int) -> list[Delivered]:
        """A turn is completed: what served it is stale.

        Returns:
            What has served.
        """
        served = [item for item in self.live if item.turn <= turn]
        self.live = [item for item in self.live if item.turn > turn]
        self.stale += served
        return served

    def cleared(self) -> list[Delivered]:
        """The instruction is the conversation's own again, or holds a newer item.

        Returns:
            What was in it.
        """
        out = [item for item in self.stale if item.in_instruction and not item.stuck]
        self.stale = [item for item in self.stale if item not in out]
        for item in out:
            self._leaves(item, _CLEARED)
        return out

    def opened(self, covers_turn: int | None, *, with_live: bool) -> list[Delivered]:
        """A connection begins with another context.

        Args:
            covers_turn: The newest turn in it; None where it was rebuilt, or is empty.
            with_live: It holds what is live, too.

        Returns:
            What was in the instruction of the connection before.
        """
        for item in self.live:
            item.held = with_live and not item.in_instruction
        before, self.stale, self.leaving = [*self.leaving, *self.stale], [], []
        for item in before:
            if covers_turn is None:
                self._leaves(item, item.by or _REBUILT)
            elif item.turn > covers_turn + (with_live and not item.in_instruction):
                self._change(item.feedback, FeedbackState.REMOVED, _LEFT)
            elif item.in_instruction:
                self._leaves(item, item.by or (_ANEW if item.stuck else _CLEARED))
            elif item.by:
                self.leaving.append(item)
            else:
                self.stale.append(item)
        return [item for item in before if item.in_instruction and covers_turn is not None]

    def judged(self, verdict: Verdict, turn: int) -> None:
        """A usage has shown what became of that which was taken out.

        Args:
            verdict: What it shows.
            turn: Whose it is: what served that turn was still in it.
        """
        leaving, self.leaving = self.leaving, []
        for item in leaving:
            if item.by == _CLEARED and item.turn >= turn:
                self.leaving.append(item)
            elif verdict is Verdict.UNSEEN:
                self._stays(item)
            else:
                self._change(item.feedback, FeedbackState.REMOVED, f"{item.by}, {_SHOWN[verdict]}")

    def _stays(self, item: Delivered) -> None:
        """Its removal did not show: another connection may take it out of the instruction, or a rebuild out of all."""
        self._change(item.feedback, FeedbackState.DELIVERED, f"{item.by}: {_UNSEEN}")
        item.in_instruction = item.stuck = item.in_instruction and item.by == _CLEARED
        item.by = ""
        self.stale.append(item)

    def _leaves(self, item: Delivered, by: str) -> None:
        item.by = by
        self.leaving.append(item)

    def _change(self, item: Feedback, state: FeedbackState, detail: str) -> None:
        again = item.state is state is FeedbackState.DELIVERED
        self._changes.append(FeedbackChange(item.id, state, item.turn, item.tokens, detail, again))


def worded(text: str) -> str:
    """Advice as the agent gets it."""
    return f"{PREFIX}{text}"


def tokens(item: Feedback) -> int:
    """What an item should cost in the context."""
    return text_tokens(len(worded(item.text)))

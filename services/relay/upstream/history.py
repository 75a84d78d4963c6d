"""The transcript as a connection without a handle is told it: the newest turns that a budget allows."""

from collections import deque
from collections.abc import AsyncIterable, Callable, Iterable

from services.relay.core import effects as do
from services.relay.core.ledger import text_tokens
from services.relay.core.model import Told, Turn


class History:
    """What one conversation's connections are told.

    Args:
        stored: Streams the stored turns after one.
    """

    def __init__(self, stored: Callable[[int], AsyncIterable[Turn]]) -> None:
        self._stored = stored
        self._left_out = 0

    async def content(self, effect: do.OpenUpstream) -> tuple[list[Turn], Told]:
        """The turns to send, and what they are.

        A budget that has once left a turn out leaves it out for good: the talk only grows.

        Args:
            effect: What the core asked for.

        Raises:
            ServiceError: The store does not give the transcript.
        """
        turns = Budget(effect.history_budget)
        if effect.history_through:
            async for turn in self._stored(self._left_out):
                if turn.number <= effect.history_through:
                    turns.add(turn)
        for turn in effect.content:
            turns.add(turn)
        if effect.handle is None:
            self._left_out += turns.left_out
        kept = [turn for turn in turns.kept if turn.user_text or turn.agent_text]
        return kept, told(kept, self._left_out if effect.handle is None else 0)


class Budget:
    """The newest turns that so many tokens hold; 0 for all of them.

    The very newest is always among them.
    """

    def __init__(self, tokens: int) -> None:
        self.kept: deque[Turn] = deque()
        self.left_out = 0
        self._tokens = tokens
        self._spent = 0

    def add(self, turn: Turn) -> None:
        """A turn, newer than those before."""
        self.kept.append(turn)
        self._spent += cost(turn)
        while self._tokens and self._spent > self._tokens and len(self.kept) > 1:
            self._spent -= cost(self.kept.popleft())
            self.left_out += 1


def cost(turn: Turn) -> int:
    """What a turn should cost as text."""
    return text_tokens(len(turn.user_text)) + text_tokens(len(turn.agent_text))


def told(turns: Iterable[Turn], left_out: int) -> Told:
    """What turns are, for the ledger."""
    turns = tuple(turns)
    user, agent = sum(len(turn.user_text) for turn in turns), sum(len(turn.agent_text) for turn in turns)
    return Told(user, agent, len(turns), left_out)

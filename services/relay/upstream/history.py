"""The transcript as a connection without a handle is told it: the newest turns that a budget allows.

What the budget leaves out is dropped, or summarised where there is somebody to do it (see `summaries`).
"""

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterable, Callable, Iterable

from services.common import logs
from services.relay.core import effects as do
from services.relay.core.model import Told, Turn
from services.relay.core.pieces import text_tokens
from services.relay.upstream.summaries import Ask, SummaryError, as_turn, prompt


class History:
    """What one conversation's connections are told.

    Args:
        stored: Streams the stored turns after one.
        budget: Tokens that a rebuilt session will be told; 0 for all of it.
        ask: Summarises what the budget leaves out; None drops it.
    """

    def __init__(self, stored: Callable[[int], AsyncIterable[Turn]], budget: int = 0, ask: Ask | None = None) -> None:
        self._stored = stored
        self._budget = budget
        self._ask = ask
        self._left_out = 0
        self._summary = ""
        self._summarised = 0
        self._may_leave_out = 0 if ask else math.inf
        self._one_at_a_time = asyncio.Lock()
        self._log = logs.get("relay")

    async def prepare(self) -> None:
        """Summarise what the next rebuilt session will not be told, if that is wanted. Safe to cancel.

        Where the model gives no summary, these turns are left out all the same, and it is asked again the next time.

        Raises:
            ServiceError: The store does not give the transcript.
        """
        if self._ask is None or not self._budget:
            return
        async with self._one_at_a_time:
            turns, out = Budget(self._budget), list[Turn]()
            async for turn in self._stored(self._summarised):
                out += turns.add(turn)
            if not out:
                return
            try:
                self._summary = await self._ask(prompt(self._summary, out))
                self._summarised = out[-1].number
            except SummaryError as error:
                self._log.warning("the history was not summarised", turns=len(out), reason=str(error))
            self._may_leave_out = out[-1].number

    async def content(self, effect: do.OpenUpstream) -> tuple[list[Turn], Told]:
        """The turns to send, and what they are.

        A budget that has once left a turn out leaves it out for good: the talk only grows. Where there are summaries,
        only what the model was asked to summarise is left out.

        Args:
            effect: What the core asked for.

        Raises:
            ServiceError: The store does not give the transcript.
        """
        if effect.handle is not None:
            kept = [turn for turn in effect.content if turn.user_text or turn.agent_text]
            return kept, told(kept, 0)
        if effect.history_budget and not self._may_leave_out:
            await self.prepare()
        turns = Budget(effect.history_budget, self._may_leave_out)
        if effect.history_through:
            async for turn in self._stored(self._left_out):
                if turn.number <= effect.history_through:
                    self._left_out += len(turns.add(turn))
        for turn in effect.content:
            self._left_out += len(turns.add(turn))
        summary = [as_turn(self._summary)] if self._summary else []
        kept = [turn for turn in (*summary, *turns.kept) if turn.user_text or turn.agent_text]
        return kept, told(kept, self._left_out)


class Budget:
    """The newest turns that so many tokens hold; 0 for all of them.

    The very newest is always among them.

    Args:
        tokens: How many.
        may_leave_out: The newest turn that may be left out.
    """

    def __init__(self, tokens: int, may_leave_out: float = math.inf) -> None:
        self.kept: deque[Turn] = deque()
        self._tokens = tokens
        self._may_leave_out = may_leave_out
        self._spent = 0

    def add(self, turn: Turn) -> list[Turn]:
        """A turn, newer than those before; gives those that are left out for it."""
        self.kept.append(turn)
        self._spent += cost(turn)
        out = []
        while self._over and len(self.kept) > 1 and self.kept[0].number <= self._may_leave_out:
            out.append(self.kept.popleft())
            self._spent -= cost(out[-1])
        return out

    @property
    def _over(self) -> bool:
        return 0 < self._tokens < self._spent


def cost(turn: Turn) -> int:
    """What a turn should cost as text."""
    return text_tokens(len(turn.user_text)) + text_tokens(len(turn.agent_text))


def told(turns: Iterable[Turn], left_out: int) -> Told:
    """What turns are, for the ledger."""
    turns = tuple(turns)
    user = sum(text_tokens(len(turn.user_text)) for turn in turns)
    agent = sum(text_tokens(len(turn.agent_text)) for turn in turns)
    return Told(user, agent, len(turns), left_out)

"""A sales manager at work in a run: after each turn it may advise the agent, through the relay as any platform would.

What becomes of the advice is watched as it happens, and noted in the run's journal; at the end the relay is asked for
what was missed. Advice that cannot be brought is no reason to lose a run: it is told in the log, and the talk goes on.

A client is told of its context as if advice were part of the instruction. Whoever watches the session is told how much
of it is advice, so that is noted as well.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Final

import structlog

from filo.handles.v1.resources_pb2 import Feedback, Ledger
from filo.relay.v1 import relay_pb2 as relay
from filo.relay.v1 import relay_pb2_grpc
from filo.simulator.v1 import simulator_pb2 as pb
from services.common.clock import Clock
from services.common.errors import ServiceError
from services.simulator.journal import Journal
from services.simulator.manager import Manager
from services.simulator.record import Record
from services.simulator.textmodel import TextModelError

PATIENCE: Final = 15.0
"""Seconds for a manager to think; what it says later is too late for the next turn."""
ATTEMPTS: Final = 3
"""Of giving an item, each safe to repeat."""
_WAIT: Final = 0.5
"""Seconds between two attempts, and before watching on."""
_PAGE: Final = 200
_CATEGORIES: Final = ("instruction", "user", "model", "tool", "feedback_live", "feedback_stale")
"""Of a ledger, each with its field ``…_tokens``."""
_NAMES: Final = {"tool": "tools"}
"""What a record calls a category, where that is another word."""


class Advising:
    """Brings one run's manager to its agent.

    Args:
        manager: Who reads along; None for nobody.
        run: Which run, with its conversation once it has one.
        journal: Where everything is noted.
        stub: The relay.
        clock: For waits.
        log: With the run bound.
    """

    def __init__(
        self,
        manager: Manager | None,
        run: pb.Run,
        journal: Journal,
        stub: "relay_pb2_grpc.RelayServiceAsyncStub",
        clock: Clock,
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self._manager = manager
        self._run = run
        self._journal = journal
        self._stub = stub
        self._clock = clock
        self._log = log
        self._early: dict[str, relay.FeedbackChanged] = {}
        self._ledgers: list[Ledger] = []

    @property
    def _record(self) -> Record:
        return self._journal.record

    async def look(self) -> None:
        """Look at the talk after a turn, and say what there is to say. Safe to cancel."""
        self._split()
        turns = self._record.completed
        if self._manager is None or not turns or turns[-1] is not self._record.turns[-1]:
            return
        after = turns[-1].number
        if any(item.given_after_turn == after for item in self._record.advice.values()):
            return  # by a process that died since
        try:
            async with asyncio.timeout(PATIENCE):
                text = await self._manager.advise(turns)
                if text:
                    await self._give(text, after)
        except (TimeoutError, TextModelError, ServiceError) as error:
            self._log.warning("no advice", turn=after, reason=str(error) or "it took too long")

    async def watch(self) -> None:
        """Note what becomes of advice as it happens. Runs beside the talk, until it is cancelled."""
        after = 0
        while self._manager is not None:
            try:
                async for number, change in self._changes(after):
                    after = number
                    self._note(change)
            except ServiceError as error:
                self._log.debug("watching again", reason=error.reason)
            await self._clock.sleep(_WAIT)

    async def settle(self) -> None:
        """Note what the store has, which is the last word. Safe to cancel."""
        self._split()
        try:
            await self._ask_all()
        except ServiceError as error:
            self._log.warning("what became of the last advice is not known", reason=str(error))

    async def _ask_all(self) -> None:
        token, more = "", bool(self._record.advice)
        while more:
            request = relay.ListFeedbackRequest(conversation=self._run.conversation, page_size=_PAGE, page_token=token)
            page = await self._stub.ListFeedback(request)
            for item in page.feedback:
                change = relay.FeedbackChanged(
                    id=item.id, state=item.state, turn=item.turn, tokens=item.tokens, detail=item.detail
                )
                self._note(change)
            token, more = page.next_page_token, bool(page.next_page_token)

    async def _give(self, text: str, after: int) -> None:
        request = relay.SendFeedbackRequest(
            conversation=self._run.conversation,
            request_id=str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self._run.name}/advice/{after}")),
            text=text,
        )
        for attempt in range(1, ATTEMPTS + 1):
            try:
                item = (await self._stub.SendFeedback(request)).feedback
            except ServiceError as error:
                if not error.meaning.retryable or attempt == ATTEMPTS:
                    raise
                await self._clock.sleep(error.retry_after or _WAIT)
            else:
                self._journal.add(
                    pb.Advice(id=item.id, text=text, state=_named(item.state), given_after_turn=after, turn=item.turn)
                )
                if item.id in self._early:
                    self._note(self._early.pop(item.id))
                return

    async def _changes(self, after: int) -> AsyncIterator[tuple[int, relay.FeedbackChanged]]:
        request = relay.WatchSessionRequest(conversation=self._run.conversation, after_sequence=after)
        async for event in self._stub.WatchSession(request):
            if event.HasField("ledger"):
                self._ledgers.append(event.ledger)
            elif event.HasField("feedback_changed"):
                yield event.sequence, event.feedback_changed

    def _split(self) -> None:
        """Note of each turn's context how much of it is advice; the size of the context tells whose ledger it is."""
        ledgers, self._ledgers = self._ledgers, []
        turns = {turn.context_tokens: turn for turn in self._record.turns if turn.context_tokens}
        for ledger in ledgers:
            turn = turns.get(ledger.context_tokens)
            parts = {_NAMES.get(name, name): getattr(ledger, f"{name}_tokens") for name in _CATEGORIES}
            told = {name: tokens for name, tokens in parts.items() if tokens}
            if turn is None or turn.context == told:
                continue
            counted = pb.TokensCounted(context=turn.context_tokens, billed=turn.billed, by_category=told)
            self._journal.add(counted, turn=turn.number)

    def _note(self, change: relay.FeedbackChanged) -> None:
        """Note a change of something that was given here; what is known already, or older, changes nothing."""
        known = self._record.advice.get(change.id)
        state = _named(change.state)
        if known is None:
            self._early[change.id] = change  # it may overtake the answer to whoever gave it
            return
        if change.state < _number(known.state):
            return
        made = pb.Advice(
            id=known.id,
            text=known.text,
            state=state,
            given_after_turn=known.given_after_turn,
            turn=change.turn or known.turn,
            tokens=change.tokens or known.tokens,
            detail=change.detail or known.detail,
        )
        if made != known:
            self._journal.add(made)


def _number(state: str) -> int:
    return Feedback.State.Value(f"STATE_{state.upper()}")


def _named(state: Feedback.State.ValueType) -> str:
    """A state as reports have it: ``delivered``."""
    return Feedback.State.Name(state).removeprefix("STATE_").lower()

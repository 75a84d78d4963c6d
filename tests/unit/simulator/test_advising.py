"""A manager at work in a run: what it says reaches the relay once, and what becomes of it is in the record."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import structlog

from filo.handles.v1.resources_pb2 import Feedback, Ledger
from filo.relay.v1 import relay_pb2 as relay
from filo.simulator.v1 import simulator_pb2 as pb
from services.common.errors import Reason, ServiceError
from services.simulator.advising import ATTEMPTS, Advising
from services.simulator.journal import Journal
from services.simulator.record import Turn
from services.simulator.textmodel import TextModelError
from tests.support.clock import ManualClock

AWAY = ServiceError(Reason.SERVICE_UNAVAILABLE, "gone", retry_after=0.0)
RUN = pb.Run(name="runs/1", conversation="conversations/2")
ACCEPTED, DELIVERED, REMOVED = Feedback.STATE_ACCEPTED, Feedback.STATE_DELIVERED, Feedback.STATE_REMOVED


class Echo:
    """Advises by the newest turn's words; silent where they are empty."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    async def advise(self, turns: Sequence[Turn]) -> str:
        """The words."""
        if self.error:
            raise self.error
        return turns[-1].prospect


@dataclass
class Relay:
    """The relay's RPCs of feedback, in memory."""

    items: dict[str, Feedback] = field(default_factory=dict)
    failures: list[ServiceError] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    events: asyncio.Queue[relay.WatchSessionResponse | ServiceError] = field(default_factory=asyncio.Queue)
    watched_after: list[int] = field(default_factory=list)

    async def SendFeedback(self, request: relay.SendFeedbackRequest) -> relay.SendFeedbackResponse:  # noqa: N802
        """Store it once."""
        assert request.conversation == RUN.conversation
        self.requests.append(request.request_id)
        item = Feedback(id=str(len(self.items) + 1), text=request.text, state=ACCEPTED)
        item = self.items.setdefault(request.request_id, item)
        if self.failures:
            raise self.failures.pop()
        return relay.SendFeedbackResponse(feedback=item)

    async def ListFeedback(self, request: relay.ListFeedbackRequest) -> relay.ListFeedbackResponse:  # noqa: N802
        """One item a page."""
        items = list(self.items.values())
        at = int(request.page_token or 0)
        more = str(at + 1) if at + 1 < len(items) else ""
        return relay.ListFeedbackResponse(feedback=items[at : at + 1], next_page_token=more)

    async def WatchSession(self, request: relay.WatchSessionRequest) -> AsyncIterator[relay.WatchSessionResponse]:  # noqa: N802
        """What is put into the queue; an error breaks the stream."""
        self.watched_after.append(request.after_sequence)
        while True:
            event = await self.events.get()
            if isinstance(event, ServiceError):
                self.events.task_done()
                raise event
            yield event
            self.events.task_done()

    def tell(self, number: int, **change: Any) -> None:  # noqa: ANN401 - fields of a change
        """Something became of an item."""
        self.events.put_nowait(
            relay.WatchSessionResponse(sequence=number, feedback_changed=relay.FeedbackChanged(**change))
        )


class Scene:
    """A run in which turns are completed by hand."""

    def __init__(self, manager: Any = None) -> None:  # noqa: ANN401 - a Manager, or none
        async def keep(_: Sequence[pb.WatchRunResponse]) -> None:
            return

        self.relay = Relay()
        self.clock = ManualClock()
        self.journal = Journal(self.clock, keep)
        self.advising = Advising(manager, RUN, self.journal, self.relay, self.clock, structlog.stdlib.get_logger())  # type: ignore[arg-type] # a stub

    async def turn(self, words: str) -> None:
        """A turn is said and answered; the manager looks."""
        number = len(self.journal.record.turns) + 1
        self.journal.add(pb.ProspectSaid(text=words), turn=number)
        self.journal.add(pb.AgentSaid(text="Yes."), turn=number)
        await self.advising.look()

    async def turn_while_time_passes(self, words: str) -> None:
        """The same, for a relay that has to be asked more than once."""
        turn = asyncio.create_task(self.turn(words))
        while not turn.done():
            self.clock.advance(1)
            await asyncio.wait([turn], timeout=0.001)
        await turn

    @property
    def advice(self) -> list[tuple[str, str, str, int, int]]:
        """What is in the record."""
        items = self.journal.record.advice.values()
        return [(item.id, item.text, item.state, item.given_after_turn, item.turn) for item in items]


async def test_advice_is_given_after_each_turn() -> None:
    """Where there is any; it is noted with the turn it came after."""
    scene = Scene(Echo())
    for words in ("one", "", "three"):
        await scene.turn(words)
    assert scene.advice == [("1", "one", "accepted", 1, 0), ("2", "three", "accepted", 3, 0)]
    assert len(set(scene.relay.requests)) == 2


async def test_nobody_advises_nothing() -> None:
    """Without a manager the relay is asked for nothing, not even to be watched."""
    scene = Scene()
    await scene.turn("one")
    await scene.advising.watch()
    await scene.advising.settle()
    assert (scene.advice, scene.relay.requests, scene.relay.watched_after) == ([], [], [])


async def test_an_unanswered_turn_is_not_looked_at() -> None:
    """The manager reads what was said, not what is being said."""
    scene = Scene(Echo())
    scene.journal.add(pb.ProspectSaid(text="one"), turn=1)
    await scene.advising.look()
    assert scene.relay.requests == []


async def test_a_relay_that_has_gone_is_asked_again() -> None:
    """With the same request id: the advice is given once."""
    scene = Scene(Echo())
    scene.relay.failures = [AWAY] * (ATTEMPTS - 1)
    await scene.turn_while_time_passes("one")
    assert len(scene.relay.requests) == ATTEMPTS
    assert len(set(scene.relay.requests)) == 1
    assert scene.advice == [("1", "one", "accepted", 1, 0)]


@pytest.mark.parametrize("error", [TextModelError("silent"), AWAY, None])
async def test_a_run_goes_on_without_advice(error: Exception | None) -> None:
    """Where a model is silent, or the relay stays away."""
    scene = Scene(Echo(error))
    if error is None:
        scene.relay.failures = [AWAY] * ATTEMPTS
    await scene.turn_while_time_passes("one")
    assert scene.advice == []


async def test_what_was_given_is_not_given_again() -> None:
    """After another process has taken the run over: the record knows, and so does the relay by the request id."""
    scene = Scene(Echo())
    await scene.turn("one")
    await scene.advising.look()
    assert len(scene.relay.requests) == 1
    again = Scene(Echo())
    await again.turn("one")
    assert again.relay.requests == scene.relay.requests


async def test_what_becomes_of_advice_is_noted() -> None:
    """As it happens, each change once, forward only; watched on from the last event after a break."""
    scene = Scene(Echo())
    watching = asyncio.create_task(scene.advising.watch())
    await scene.turn("one")
    scene.relay.tell(7, id="1", state=DELIVERED, turn=2, tokens=12, detail="rebase")
    scene.relay.tell(8, id="1", state=DELIVERED, turn=2, tokens=12, detail="rebase")
    scene.relay.tell(9, id="99", state=DELIVERED, turn=2)
    scene.relay.events.put_nowait(AWAY)
    scene.relay.tell(10, id="1", state=REMOVED)
    scene.relay.tell(11, id="1", state=DELIVERED, turn=5)
    told = asyncio.create_task(scene.relay.events.join())
    while not told.done():
        scene.clock.advance(1)
        await asyncio.wait([told], timeout=0.001)
    assert scene.relay.watched_after == [0, 9]
    watching.cancel()
    assert scene.advice == [("1", "one", "removed", 1, 2)]
    events = [event.advised for event in scene.journal.events if event.HasField("advised")]
    assert [(event.state, event.tokens, event.detail) for event in events] == [
        ("accepted", 0, ""),
        ("delivered", 12, "rebase"),
        ("removed", 12, "rebase"),
    ]


async def test_a_change_may_overtake_the_answer() -> None:
    """What is delivered at once may be told before the relay has answered whoever gave it."""
    scene = Scene(Echo())
    scene.relay.tell(1, id="1", state=DELIVERED, turn=2)
    watching = asyncio.create_task(scene.advising.watch())
    await scene.relay.events.join()
    await scene.turn("one")
    watching.cancel()
    assert scene.advice == [("1", "one", "delivered", 1, 2)]


async def test_the_store_has_the_last_word() -> None:
    """At the end every page is asked for, and what was missed is noted; what is older than what is known is not."""
    scene = Scene(Echo())
    for words in ("one", "two", "three"):
        await scene.turn(words)
    items = list(scene.relay.items.values())
    items[0].state, items[0].turn = REMOVED, 2
    items[2].state, items[2].turn = DELIVERED, 4
    await scene.advising.settle()
    await scene.advising.settle()
    assert [entry[2:] for entry in scene.advice] == [("removed", 1, 2), ("accepted", 2, 0), ("delivered", 3, 4)]
    items[0].state = DELIVERED
    await scene.advising.settle()
    assert scene.advice[0][2] == "removed"


async def test_advice_in_the_context_is_counted_apart_from_the_instruction() -> None:
    """By the relay's own ledger, told to whoever watches; of the turn whose context is of that size, and once."""
    scene = Scene(Echo())
    watching = asyncio.create_task(scene.advising.watch())
    for number, context in ((1, 100), (2, 180)):
        await scene.turn("So.")
        known = {"instruction": 70, "user": context - 70}
        seen = pb.TokensCounted(context=context, billed=10 * context, by_category=known)
        scene.journal.add(seen, turn=number)
    ledger = Ledger(context_tokens=100, instruction_tokens=40, user_tokens=30, feedback_live_tokens=25, tool_tokens=5)
    for number, told in enumerate((ledger, Ledger(context_tokens=999, user_tokens=999), ledger), start=1):
        scene.relay.events.put_nowait(relay.WatchSessionResponse(sequence=number, ledger=told))
    await scene.relay.events.join()
    await scene.advising.look()
    await scene.advising.look()
    watching.cancel()
    first, second = scene.journal.record.turns
    assert first.context == {"instruction": 40, "user": 30, "tools": 5, "feedback_live": 25}
    assert second.context == {"instruction": 70, "user": 110}
    assert (scene.journal.record.billed, scene.journal.record.by_category) == (1800, second.context)
    assert sum(event.HasField("tokens_counted") for event in scene.journal.events) == 3

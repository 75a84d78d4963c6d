"""What every cell has in common: a fact is told, something happens, the fact is asked for; then it is judged."""

from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from filo.client import messages as told
from services.emulator.faults import Fault
from tests.faults import judge
from tests.faults.caller import Caller
from tests.faults.table import Point

FACT: Final = "Brightwater"
PLANT: Final = f"My dog is Rex. My cat is Tom. My company is {FACT}."
RECALL: Final = "What is my company?"
DOING: Final = {
    Point.CLIENT: "Tell me all about it.",
    Point.AGENT: "Tell me about it.",
    Point.TOOL: "Use the tool lookup with sku is A7.",
}
"""What the client says at the points at which it says something; shorter than the facts, so that a loss shows."""


@dataclass(slots=True)
class Outcome:
    """How a cell went.

    Attributes:
        continuity: The worst that the client was told of the context.
        restarts: Turns that the client was told to forget and hear again.
        gap: The longest time without an upstream or a socket, as told, in seconds.
        problems: What was not as it must be, one sentence each.
    """

    continuity: str = ""
    restarts: int = 0
    gap: float = 0.0
    problems: list[str] = field(default_factory=list)


class Played(Protocol):
    """A cell: a row at a point."""

    @property
    def name(self) -> str:
        """The row."""

    @property
    def point(self) -> Point:
        """The column."""

    @property
    def plan(self) -> tuple[Fault, ...]:
        """The emulator's faults, to be planned before the facts are told."""

    @property
    def continuity(self) -> str:
        """The worst that the client must be told of the context."""

    @property
    def greetings(self) -> int:
        """How often the agent introduces itself."""

    @property
    def tool_runs(self) -> int:
        """How often the client's tool runs where it does."""

    @property
    def hears_all(self) -> bool:
        """Whether each answer is heard out, and by one socket."""


class Scene:
    """A caller, and what becomes of it.

    Args:
        caller: The client with a voice.
    """

    def __init__(self, caller: Caller) -> None:
        self.first = self.caller = caller
        self.speaker = caller.speaker
        self.outcome = Outcome()

    def check(self, *, holds: bool, problem: str) -> None:
        """Note a problem unless this holds."""
        if not holds:
            self.outcome.problems.append(problem)

    @property
    def completed(self) -> int:
        """The newest turn that any of the callers was told to be complete."""
        return max(self.caller.completed, self.first.completed)

    async def turn(self, line: str) -> str:
        """Say something, and hear the whole answer."""
        self.caller.say(line)
        number = len(self.speaker.lines)
        await self.caller.until(f"the answer to {line!r}", lambda: self.completed == number)
        return self.caller.said(number)

    async def plant(self, *, handle: bool = True) -> None:
        """Tell the facts, and wait until a handle holds them."""
        await self.turn(PLANT)
        if handle:
            await self.caller.until("its handle", lambda: len(self.caller.all(told.ResumptionUpdate)) > 1)

    async def come_back(self) -> None:
        """A new client of the same person says again what is asked for."""
        await self.caller.until("the greeting", lambda: bool(self.caller.events))
        greeted: list[told.Greeting] = [*self.caller.all(told.SessionStarted), *self.caller.all(told.SessionResumed)]
        assert greeted, f"it ended with {self.caller.over}"
        known = greeted[0].next_seq - 1
        self.caller.inputs = self.first.inputs[:known]
        self.caller.go_on(self.first.inputs[known:])
        await self.catch_up()

    async def catch_up(self) -> None:
        """Hear the answer to everything that was said; who has said nothing yet tells the facts."""
        if not self.speaker.lines:
            await self.turn(PLANT)
        await self.caller.until("the answer", lambda: self.completed == len(self.speaker.lines))

    async def remember(self) -> None:
        """Ask for the fact, wait until all of it is stored, and end the conversation."""
        answer = await self.turn(RECALL)
        self.check(holds=FACT in answer, problem=f"the fact is forgotten: {answer!r}")
        number = len(self.speaker.lines)
        await self.caller.until("covered", lambda: any(e.turn >= number for e in self.caller.all(told.Covered)))
        self.caller.client.end("done")
        await self.caller.until("the end", lambda: False)

    def judged(self, cell: Played, account: dict[str, Any] | None) -> Outcome:
        """The outcome, with everything that is not as it must be, by the emulator's account of the voice."""
        events = self.first.events + (self.caller.events if self.caller is not self.first else [])
        out = self.outcome
        if account is None:
            out.problems.append("Gemini has heard nothing")
            return out
        out.continuity = judge.continuity(events)
        out.restarts = sum(isinstance(event, told.TurnRestarted) for event in events)
        out.gap = judge.gap(events)
        out.problems += judge.context(account, self.speaker)
        out.problems += judge.turns(events, len(self.speaker.lines), greeted=self.caller.greeted)
        out.problems += judge.answers(events) if cell.hears_all else ()
        out.problems += judge.inputs(events)
        greetings, runs = judge.greetings(events), len({*self.first.tool_runs, *self.caller.tool_runs})
        wanted = cell.tool_runs if cell.point is Point.TOOL else 0
        self.check(holds=out.continuity == cell.continuity, problem=f"told {out.continuity}, not {cell.continuity}")
        self.check(holds=greetings == cell.greetings, problem=f"the agent greeted {greetings} times")
        self.check(holds=runs == wanted, problem=f"the tool was run {runs} times, not {wanted}")
        return out

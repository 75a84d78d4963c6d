"""Many conversations at once, each of which talks on whatever happens, and what must be true of each in the end."""

import asyncio
import random
import uuid
from dataclasses import dataclass, field
from typing import Final

from filo.client import Policy, Reconnected
from filo.client import messages as told
from filo.handles.v1.resources_pb2 import MODE_SALES_AGENT
from filo.relay.v1 import relay_pb2 as pb
from tests.drills.fleet import Fleet
from tests.faults import judge
from tests.faults.caller import Caller
from tests.support.client import Speaker
from tests.support.relay import AGENT, SHARED

STUBBORN: Final = Policy(
    attempts=200, shortest_wait=0.05, first_wait=0.2, factor=1.3, longest_wait=1.0, ping_after=3.0, ping_timeout=3.0
)
"""A client that comes back soon, and notices soon that nobody is there."""
TURN: Final = 90.0
"""Seconds after which an answer never comes."""
PIECE: Final = 0.02
"""Seconds between two pieces of speech: four times as fast as a person, so that a drill is short."""


@dataclass
class Verdict:
    """What became of a conversation.

    Attributes:
        turns: How many were talked through.
        moves: How often its client came to a relay that had to attach it.
        continuity: The worst that it was told.
        restarts: Turns that were begun again, told or by a new epoch.
        heard: How many of these had been heard to the end of their answer: a relay died before it was stored.
        twice: Answers that were told to be complete twice.
        gap: The longest time without a socket or an upstream, in seconds.
        problems: Whatever is not as it must be.
    """

    turns: int = 0
    moves: int = 0
    continuity: str = ""
    restarts: int = 0
    heard: int = 0
    twice: int = 0
    gap: float = 0.0
    problems: list[str] = field(default_factory=list)


class Talker:
    """One conversation.

    Args:
        fleet: Where.
        number: Makes its voice.
        pause: Seconds between two turns, at most.
        policy: Of its client.
    """

    def __init__(self, fleet: Fleet, number: int, pause: float = 1.0, policy: Policy = STUBBORN) -> None:
        self._pause = pause
        self.fleet = fleet
        self.speaker = Speaker(20_000 + number)
        self._policy = policy
        self._chance = random.Random(number)  # noqa: S311 - a pace
        self._problem = ""

    async def create(self) -> None:
        """Have a session made."""
        relay = "ab"[self.speaker.stream % 2]
        request = pb.CreateSessionRequest(
            request_id=str(uuid.uuid4()), mode=MODE_SALES_AGENT, owner=SHARED, agent=AGENT, test=True
        )
        session = await self.fleet.stub(relay).CreateSession(request, timeout=20.0)
        self.conversation = session.conversation
        self.caller = Caller(self.fleet.door, session, self.speaker, self._policy)

    async def talk(self, enough: asyncio.Event) -> None:
        """Tell a fact, talk until it is enough, ask for the fact."""
        async with self.caller.calling():
            try:
                await self._turn("My company is Brightwater.")
                while not enough.is_set():
                    await asyncio.sleep(self._pause * self._chance.random())
                    await self._turn(f"Tell me about point {len(self.speaker.lines)}.")
                answer = await self._turn("What is my company?")
                if "Brightwater" not in answer:
                    self._problem = f"the fact is forgotten: {answer!r}"
                await self.caller.until("covered", lambda: self._covers(len(self.caller.inputs)), TURN)
            except AssertionError as error:
                self._problem = str(error)
            if self.caller.over is not None:
                self._problem = f"it ended with {self.caller.over}"

    def _covers(self, inputs: int) -> bool:
        """Whether so many inputs are stored: then they are answered, if need be two utterances by one answer."""
        return any(event.seq >= inputs for event in self.caller.all(told.Covered))

    async def _turn(self, line: str) -> str:
        before = self.caller.completed
        for piece in self.caller.say(line, part=slice(0)):
            self.caller.go_on([piece])
            await asyncio.sleep(PIECE)
        number, inputs = before + 1, len(self.caller.inputs)
        await self.caller.until(
            f"the answer to {line!r}", lambda: self.caller.completed >= number or self._covers(inputs), TURN
        )
        return self.caller.said(self.caller.completed)

    @property
    def greetings(self) -> list[told.Greeting]:
        """What each of its sockets began with."""
        return [e for e in self.caller.events if isinstance(e, told.SessionStarted | told.SessionResumed)]

    @property
    def continuity(self) -> str:
        """The worst that it was told."""
        return judge.continuity(self.caller.events)

    async def verdict(self) -> Verdict:
        """Judge it, by the emulator's account."""
        events, lines = self.caller.events, self.speaker.lines
        account = await self.fleet.account(self.speaker.stream)
        epochs = [greeting.epoch for greeting in self.greetings]
        done = [event.turn for event in events if isinstance(event, told.TurnComplete | told.TurnMissed)]
        again = list(judge.begun_again(events))
        found = Verdict(
            turns=len(lines),
            moves=len(set(epochs)) - 1,
            continuity=self.continuity,
            restarts=len(again),
            heard=sum(again),
            twice=len(done) - len(set(done)),
            gap=max((event.gap for event in events if isinstance(event, Reconnected)), default=0.0),
        )
        if self._problem:
            found.problems.append(self._problem)
        if account is None:
            found.problems.append("Gemini has heard nothing")
            return found
        found.problems += judge.turns(events, max(done, default=0))
        found.problems += judge.context(account, self.speaker)
        found.problems += [*judge.answers(events), *judge.interruptions(events), *judge.inputs(events)]
        if (greetings := judge.greetings(events)) != 1:
            found.problems.append(f"the agent greeted {greetings} times")
        return found

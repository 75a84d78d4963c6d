"""The scripted prospect: what it says next, given only what has happened. Deterministic by seed, without I/O.

It tells its facts first, then talks its way through the phases. Whenever the connection has been replaced since it last
asked, it asks for a fact, the one asked for least often; and it keeps enough turns at the end to ask for every fact
that was never asked for. No two lines of a run are alike, so a turn can be found by its text.
"""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, product

from services.simulator.persona import TOPIC, Fact, Persona, Phase


@dataclass(frozen=True, slots=True)
class Line:
    """What the prospect says in a turn, and in which phase of the talk."""

    text: str
    phase: str


class Prospect:
    """One prospect in one run. The same calls give the same lines.

    Args:
        persona: Who it is.
        seed: Makes its choices.
        turns: How many turns the run has, at least 1.
    """

    def __init__(self, persona: Persona, seed: int, turns: int) -> None:
        chance = random.Random(f"{persona.name}/{seed}")  # noqa: S311 - a script, not a secret
        self._turns = turns
        self._phases = persona.phases
        self._facts = chance.sample(persona.facts, k=min(len(persona.facts), max(1, turns // 3)))
        self._sayings = {phase.name: _sayings(phase, persona.topics, chance) for phase in persona.phases}
        self._planted = 0
        self._asked: Counter[str] = Counter()
        self._said: Counter[str] = Counter()
        self._turn = 0
        self._disturbances = 0

    @property
    def facts(self) -> Sequence[Fact]:
        """The facts of this run, in the order of their telling: the fewer, the shorter the run."""
        return tuple(self._facts)

    def speak(self, disturbances: int) -> Line:
        """The line of the next turn.

        Args:
            disturbances: How often, since the run began, a connection was replaced or came back.
        """
        self._turn += 1
        disturbed = disturbances > self._disturbances
        phase = self._phase()
        told = self._facts[: self._planted]
        unasked = [fact for fact in told if not self._asked[fact.phrase]]
        untold = len(self._facts) - self._planted
        spare = self._turns - self._turn + 1 - len(unasked) - 2 * untold
        if told and ((disturbed and (unasked or spare > 0)) or (spare <= 0 and not untold)):
            self._disturbances = disturbances
            return Line(self._ask(min(told, key=lambda fact: self._asked[fact.phrase])), phase.name)
        if untold:
            return Line(self._tell(), phase.name)
        return Line(self._chat(phase), phase.name)

    def _phase(self) -> Phase:
        ends = accumulate(phase.share * self._turns for phase in self._phases)
        return next(
            (phase for phase, end in zip(self._phases, ends, strict=True) if self._turn <= end), self._phases[-1]
        )

    def _tell(self) -> str:
        fact = self._facts[self._planted]
        self._planted += 1
        return f"{fact.lead} {fact.statement}"

    def _ask(self, fact: Fact) -> str:
        self._asked[fact.phrase] += 1
        times = self._asked[fact.phrase]
        return fact.question if times == 1 else f"I ask for the {ordinal(times)} time. {fact.question}"

    def _chat(self, phase: Phase) -> str:
        sayings = self._sayings[phase.name]
        count = self._said[phase.name]
        self._said[phase.name] += 1
        turn, at = divmod(count, len(sayings))
        return sayings[at] if not turn else f"For the {ordinal(turn + 1)} time. {sayings[at]}"


def ordinal(number: int) -> str:
    """``1st``, ``2nd``, ``3rd``, ``4th``, ..., ``11th``."""
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th") if number % 100 not in (11, 12, 13) else "th"
    return f"{number}{ending}"


def _sayings(phase: Phase, topics: Sequence[str], chance: random.Random) -> list[str]:
    """Everything that can be said in a phase, each once, shuffled."""
    said = {line.replace(TOPIC, topic) for line, topic in product(phase.lines, topics)}
    return chance.sample(sorted(said), k=len(said))

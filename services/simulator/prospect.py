"""The scripted prospect: what it says next, given only what has happened. Deterministic by seed, without I/O.

It tells its facts first, then talks its way through the phases. Whenever a connection has been replaced since it last
asked, it asks for a fact, the one asked for least often; and it keeps enough turns at the end to ask for every fact
that was never asked for. No two lines of a run are alike, so a turn can be found by its text.

The same calls give the same lines, so a prospect that another process takes over is the one that makes them again.
"""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, product

from services.simulator.persona import FACTS_TOLD, OBJECTIONS_RAISED, TOPIC, Fact, Persona, Phase


@dataclass(frozen=True, slots=True)
class Line:
    """What the prospect says in a turn.

    Attributes:
        text: The words.
        phase: In which phase of the talk.
        told: The facts it tells.
        asked: The facts it asks for.
        chat: The part of the text that may be worded otherwise: neither tells a fact nor asks for one.
        interrupts: It does not wait for the end of the answer.
        silence: Seconds of silence before it, beside the ordinary pause.
    """

    text: str
    phase: str
    told: tuple[Fact, ...] = ()
    asked: tuple[Fact, ...] = ()
    chat: str = ""
    interrupts: bool = False
    silence: float = 0.0


class Prospect:
    """One prospect in one run.

    Args:
        persona: Who it is.
        seed: Makes its choices.
        turns: How many turns the run has, at least 1.
    """

    def __init__(self, persona: Persona, seed: int, turns: int) -> None:
        chance = random.Random(f"{persona.name}/{seed}")  # noqa: S311 - a script, not a secret
        self._persona = persona
        self._tongue = persona.tongue
        self._seed = seed
        self._turns = turns
        self._facts = chance.sample(persona.facts, k=min(len(persona.facts), max(1, turns // 3)))
        self._sayings = {phase.name: _sayings(phase, persona.topics, chance) for phase in persona.phases}
        self._objections = chance.sample(persona.objections, k=len(persona.objections))
        ends = accumulate(phase.share * turns for phase in persona.phases)
        self._ends = dict(zip((phase.name for phase in persona.phases), ends, strict=True))
        self._phase = 0
        self._planted = 0
        self._raised = 0
        self._asked: Counter[str] = Counter()
        self._said: Counter[str] = Counter()
        self._turn = 0
        self._disturbances = 0
        self._thinks = False

    @property
    def facts(self) -> Sequence[Fact]:
        """The facts of this run, in the order of their telling: the fewer, the shorter the run."""
        return tuple(self._facts)

    def think(self) -> tuple[str, float]:
        """The phase of the next turn, and seconds of silence before it, beside the ordinary pause.

        What is said in it is chosen only after that, by `speak`.
        """
        if not self._thinks:
            self._turn += 1
            self._move_on()
            self._thinks = True
        return self._persona.phases[self._phase].name, self._silence()

    def speak(self, disturbances: int, *, asks: bool | None = None) -> Line:
        """The line of the next turn.

        Args:
            disturbances: How often, since the run began, a connection was replaced or came back.
            asks: Whether it asks for a fact, where another process has chosen it: a cut may have come after the choice.
        """
        self.think()
        self._thinks = False
        disturbed = disturbances > self._disturbances
        phase = self._persona.phases[self._phase]
        told = self._facts[: self._planted]
        unasked = [fact for fact in told if not self._asked[fact.phrase]]
        untold = len(self._facts) - self._planted
        spare = self._turns - self._turn + 1 - len(unasked) - 2 * untold
        if asks is None:
            asks = bool(disturbed and (unasked or spare > 0)) or (spare <= 0 and not untold)
        if told and asks:
            self._disturbances = disturbances
            return self._ask(min(told, key=lambda fact: self._asked[fact.phrase]), phase)
        return self._tell(phase) if untold else self._chat(phase)

    def _move_on(self) -> None:
        """Go to the next phase when this one has had its share, or what it waits for has happened."""
        happened = {
            FACTS_TOLD: self._planted == len(self._facts),
            OBJECTIONS_RAISED: self._raised == len(self._objections),
        }
        last = len(self._persona.phases) - 1
        while self._phase < last:
            phase = self._persona.phases[self._phase]
            early = happened.get(phase.until, False) and self._turn > 1
            if not early and self._turn <= self._ends[phase.name]:
                return
            self._phase += 1
            if early:
                return

    def _tell(self, phase: Phase) -> Line:
        fact = self._facts[self._planted]
        self._planted += 1
        text = f"{fact.lead} {self._tongue.tell(fact.phrase, fact.value)}"
        return Line(text, phase.name, told=(fact,), silence=self._silence())

    def _ask(self, fact: Fact, phase: Phase) -> Line:
        self._asked[fact.phrase] += 1
        times = self._asked[fact.phrase]
        question = self._tongue.ask(fact.phrase)
        again = "" if times == 1 else f"{self._tongue.again.format(ordinal=self._tongue.ordinal(times))} "
        return Line(f"{again}{question}", phase.name, asked=(fact,), silence=self._silence())

    def _chat(self, phase: Phase) -> Line:
        chance = self._chance("manner")
        said = [self._saying(phase) for _ in range(chance.randint(*self._persona.manner.sentences))]
        if phase.objections and self._raised < len(self._objections):
            said[0] = self._objections[self._raised]
            self._raised += 1
        text = " ".join(said)
        interrupts = chance.random() < self._persona.manner.interrupts and self._turn < self._turns
        return Line(text, phase.name, chat=text, interrupts=interrupts, silence=self._silence())

    def _saying(self, phase: Phase) -> str:
        sayings = self._sayings[phase.name]
        turn, at = divmod(self._said[phase.name], len(sayings))
        self._said[phase.name] += 1
        if not turn:
            return sayings[at]
        return f"{self._tongue.once_more.format(ordinal=self._tongue.ordinal(turn + 1))} {sayings[at]}"

    def _silence(self) -> float:
        manner = self._persona.manner
        every = manner.long_pause_every
        return manner.long_pause if every and self._turn % every == 0 else 0.0

    def _chance(self, what: str) -> random.Random:
        """Choices of this turn alone."""
        return random.Random(f"{self._persona.name}/{self._seed}/{what}/{self._turn}")  # noqa: S311 - a script


def _sayings(phase: Phase, topics: Sequence[str], chance: random.Random) -> list[str]:
    """Everything that can be said in a phase, each once, shuffled."""
    said = {line.replace(TOPIC, topic) for line, topic in product(phase.lines, topics)}
    return chance.sample(sorted(said), k=len(said))

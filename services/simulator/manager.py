"""A sales manager who goes by rules, a YAML document that anyone can write.

A manager reads along, and says after a turn what the agent should mind in its next one. How that reaches the agent it
does not know: that is `advising`'s. Another one is a Gemini text model, `modelmanager`'s.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from services.simulator import documents
from services.simulator.documents import Fields, Reader
from services.simulator.record import Turn

SHIPPED: Final = Path(__file__).parent / "managers"
KIND: Final = "manager"
DEFAULT: Final = "default"


class Manager(Protocol):
    """Somebody who reads along."""

    async def advise(self, turns: Sequence[Turn]) -> str:
        """Advice for the turn after these; empty for none. Safe to cancel.

        Args:
            turns: The talk so far, the newest last; at least one.

        Raises:
            TextModelError: A model gave no answer.
        """
        ...


@dataclass(frozen=True, slots=True)
class Condition:
    """When a rule fits the newest turn; what is empty or 0 does not matter.

    Attributes:
        phase: The turn's phase.
        words: One of these was said by the prospect.
        agent_words: One of these was said by the agent.
        every: The turn's number is a multiple of it.
        since: The turn's number is at least this.
    """

    phase: str = ""
    words: tuple[str, ...] = ()
    agent_words: tuple[str, ...] = ()
    every: int = 0
    since: int = 0

    def fits(self, turn: Turn) -> bool:
        """Whether all of it is true of a turn."""
        return (
            self.phase in {"", turn.phase}
            and (not self.words or _said_one(turn.prospect, self.words))
            and (not self.agent_words or _said_one(turn.agent, self.agent_words))
            and (not self.every or turn.number % self.every == 0)
            and turn.number >= self.since
        )


@dataclass(frozen=True, slots=True)
class Rule:
    """Advice, and when it is due."""

    when: Condition
    advice: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RulesManager:
    """Goes by rules: the first that fits the newest turn speaks. What it says depends on the turns alone.

    Attributes:
        name: What the document calls it.
        rules: In order.
    """

    name: str
    rules: tuple[Rule, ...]

    async def advise(self, turns: Sequence[Turn]) -> str:
        """Advice for the turn after these."""
        newest = turns[-1]
        rule = self._speaking(newest)
        if rule is None:
            return ""
        spoken = sum(self._speaking(turn) is rule for turn in turns[:-1])
        return rule.advice[spoken % len(rule.advice)].replace("{turn}", str(newest.number + 1))

    def _speaking(self, turn: Turn) -> Rule | None:
        return next((rule for rule in self.rules if rule.when.fits(turn)), None)


def shipped() -> list[str]:
    """The names of the rules that come with the simulator."""
    return documents.shipped(SHIPPED)


def load(name: str, document: str = "") -> RulesManager:
    """A manager by shipped rules, or by those in `document`, called `name` in errors.

    Raises:
        DocumentError: There are none of that name, or they cannot be used.
    """
    return parse(document or documents.text_of(KIND, SHIPPED, name), name)


def parse(text: str, source: str) -> RulesManager:
    """Read a manager's rules from YAML.

    Raises:
        DocumentError: They cannot be used; it names everything that is wrong.
    """
    reader = Reader(KIND, source)
    given = reader.load(text)
    given.only("name", "rules")
    manager = RulesManager(given.text("name"), tuple(_rule(item) for item in given.mappings("rules")))
    reader.check()
    return manager


def _rule(given: Fields) -> Rule:
    given.only("when", "advice")
    when = given.fields("when", required=False)
    when.only("phase", "words", "agent_words", "every", "from")
    condition = Condition(
        phase=when.text("phase", ""),
        words=when.texts("words", required=False),
        agent_words=when.texts("agent_words", required=False),
        every=when.integer("every", 0, low=1, high=1_000_000),
        since=when.integer("from", 0, low=1, high=1_000_000),
    )
    return Rule(condition, given.texts("advice"))


def _said_one(text: str, words: Sequence[str]) -> bool:
    return any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE) for word in words)

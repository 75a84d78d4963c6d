"""How facts are told and asked for, by language: data, so that a persona of another language needs a row and no code.

An agent that is to be checked must understand these sentences; the emulator does.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class Language:
    """One language.

    Attributes:
        phrase: What a fact's phrase must look like, where that is more than a few words.
        phrase_hint: What to write, for whoever did not.
        statement: How a fact is told, of ``{phrase}`` and ``{value}``.
        question: How it is asked for.
        again: What comes before a question that was asked before, of ``{ordinal}``.
        once_more: What comes before a line that was said before.
        ordinal: The n-th.
        fact_shaped: What an agent would take for a fact, or for a question for one.
        copula: The word that no phrase and no value may hold.
    """

    phrase: re.Pattern[str]
    phrase_hint: str
    statement: str
    question: str
    again: str
    once_more: str
    ordinal: Callable[[int], str]
    fact_shaped: re.Pattern[str]
    copula: str

    def tell(self, phrase: str, value: str) -> str:
        """The sentence that tells a fact."""
        sentence = self.statement.format(phrase=phrase, value=value)
        return sentence[0].upper() + sentence[1:]

    def ask(self, phrase: str) -> str:
        """The sentence that asks for it."""
        return self.question.format(phrase=phrase)


def english_ordinal(number: int) -> str:
    """``1st``, ``2nd``, ``3rd``, ``4th``, ..., ``11th``."""
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th") if number % 100 not in (11, 12, 13) else "th"
    return f"{number}{ending}"


LANGUAGES: Final[Mapping[str, Language]] = MappingProxyType(
    {
        "en": Language(
            phrase=re.compile(r".+"),
            phrase_hint="must be a noun phrase such as 'monthly budget'",
            statement="My {phrase} is {value}.",
            question="What is my {phrase}?",
            again="I ask for the {ordinal} time.",
            once_more="For the {ordinal} time.",
            ordinal=english_ordinal,
            fact_shaped=re.compile(r"\bmy\b[^.?!]*\bis\b|\bwhat(?:\s+is|'s)\s+my\b", re.IGNORECASE),
            copula="is",
        ),
        "it": Language(
            phrase=re.compile(r"(?:il mio|la mia) .+"),
            phrase_hint="must begin with 'il mio' or 'la mia'",
            statement="{phrase} è {value}.",
            question="Qual è {phrase}?",
            again="Lo chiedo per la {ordinal} volta.",
            once_more="Per la {ordinal} volta.",
            ordinal=lambda number: f"{number}ª",
            fact_shaped=re.compile(
                r"\b(?:il mio|la mia)\b[^.?!]*\bè\b|\bqual\s+è\s+(?:il mio|la mia)\b", re.IGNORECASE
            ),
            copula="è",
        ),
    }
)
"""Every language, by its BCP-47 code without a region."""

"""The agent: scripted, deterministic, and forgetful of nothing but what is not in its context.

It exists to make lost context visible. It greets once, so a second greeting means a lost context; it answers questions
about facts from its context alone, so a wrong answer means lost words; and every other answer counts the turns. It says
which advice it follows: the newest that its context or its instruction holds, and how much of it there is.
"""

import random
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from services.emulator.context import SPOKEN, Context, Kind, Role, Turn

ADVICE: Final = "[SALES_MANAGER_INSTRUCTION]"
"""What begins with it is private advice, not the user's words."""

_INSTRUCTED: Final = re.compile(rf"{re.escape(ADVICE)}[ \t]*([^\n]+)")
_INSTRUCTED_LINE: Final = re.compile(rf"{re.escape(ADVICE)}[^\n]*")
_ADVICE_LENGTH: Final = 80
_NAME: Final = re.compile(r"\bYour name is ([^.\n]+)\.", re.IGNORECASE)
_COMPANY: Final = re.compile(r"\bYou work for ([^.\n]+)\.", re.IGNORECASE)
_FACT: Final = re.compile(
    r"\b(?:my\s+(?P<en>[^.?!]+?)\s+is|(?P<it>(?:il mio|la mia)\s+[^.?!]+?)\s+è)\s+(?P<value>[^?!]+?)\.(?=\s|$)",
    re.IGNORECASE,
)
_QUESTION: Final = re.compile(
    r"\b(?:what(?:\s+is|'s)\s+my\s+(?P<en>[^.?!]+?)|qual\s+è\s+(?P<it>(?:il mio|la mia)\s+[^.?!]+?))\s*\?",
    re.IGNORECASE,
)
_TOLD: Final = {"en": "You told me your {} is {}.", "it": "Mi ha detto che {} è {}."}
_NOT_TOLD: Final = {
    "en": "I am sorry, I do not think you told me your {}.",
    "it": "Mi dispiace, non credo che mi abbia detto quale è {}.",
}
_USE: Final = re.compile(r"\buse (?:the )?tool (\w+)(?: with ([^.?!]*))?", re.IGNORECASE)
_ARGUMENT: Final = re.compile(r"(\w+) (?:is|as|=) (.+?)(?: and |$)", re.IGNORECASE)
_SUMMARISES: Final = re.compile(r"\s*summari[sz]e\b", re.IGNORECASE)
"""An instruction that begins so wants the facts that were told, and nothing else."""
_UNKNOWN: Final = re.compile(r"\(unknown speech, [\d.]+ s\)")
_SUBJECT_LENGTH: Final = 40
_SHORT_WORD: Final = 3
_COMMON_WORDS: Final = (
    "about also because been could does from have here just know like more most much need only over please should "
    "some tell than that their them then there they this very want what when where which will with would your"
)
_COMMON: Final = frozenset(_COMMON_WORDS.split())
_REPLIES: Final = (
    "Point {n} is clear: {subject}. Let me write that down; what should we look at next?",
    "Thank you, that is point {n}. On {subject}, most of our clients begin small. How do you see it?",
    "I understand. For point {n}, {subject}, we have a plan that fits. Shall I go on?",
    "Good to know. As point {n} I have noted {subject}. Who else in your team cares about it?",
)


@dataclass(frozen=True, slots=True)
class Call:
    """A tool the agent wants to use."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the agent does next: it speaks, or calls tools first."""

    text: str
    greeting: bool = False
    calls: tuple[Call, ...] = ()


@dataclass(frozen=True, slots=True)
class Brain:
    """The script. `seed` chooses among wordings, nothing else."""

    seed: int = 0

    def answer(self, context: Context, tools: Container[str] = (), *, greets: bool = True) -> Answer:
        """The answer to what the user said last, with these tools at hand. It depends on these and the seed alone."""
        unanswered = [turn for turn in _unanswered(context.turns) if not is_advice(turn.text)]
        said = " ".join(turn.text for turn in unanswered if turn.kind in SPOKEN).strip()
        calls = tuple(Call(match[1], _arguments(match[2] or "")) for match in _USE.finditer(said) if match[1] in tools)
        if calls:
            return Answer("", calls=calls)
        words = " ".join(filter(None, (self._words(unanswered, said, context), following(advice(context)))))
        if context.answered or not greets:
            return Answer(words)
        return Answer(f"{greeting(context.instruction)} {words}", greeting=True)

    def _words(self, unanswered: list[Turn], said: str, context: Context) -> str:
        if _SUMMARISES.match(context.instruction):
            known = facts(context.turns)
            return " ".join(f"My {subject} is {value}." for subject, value in known.items()) or "Nothing."
        results = " ".join(turn.text for turn in unanswered if turn.kind is Kind.TOOL)
        if results and unanswered[-1].kind is Kind.TOOL:
            return f"The tool has answered. {results}"
        return self._recall(said, facts(context.turns)) or self._reply(said, context.answers + 1)

    def _recall(self, said: str, known: Mapping[str, str]) -> str:
        asked = [(match.lastgroup or "", _plain(match[match.lastgroup or 0])) for match in _QUESTION.finditer(said)]
        return " ".join(
            _TOLD[language].format(subject, known[subject.lower()])
            if subject.lower() in known
            else _NOT_TOLD[language].format(subject)
            for language, subject in asked
        )

    def _reply(self, said: str, number: int) -> str:
        if not _UNKNOWN.sub("", said).strip() and said:
            return f"I heard you, {said.strip('()')}, but not the words. That was point {number}; please say it again."
        choice = random.Random(f"{self.seed}/{number}/{said}")  # noqa: S311 - a wording, not a secret
        return choice.choice(_REPLIES).format(n=number, subject=_subject(said))


def greeting(instruction: str) -> str:
    """How the agent introduces itself, under that system instruction."""
    name, company = _NAME.search(instruction), _COMPANY.search(instruction)
    return f"Hello, this is {name[1] if name else 'Filo'} from {company[1] if company else 'the emulator'}."


def facts(turns: Iterable[Turn]) -> dict[str, str]:
    """What the user told about themselves, by noun phrase in lower case; the newest statement wins."""
    return {
        _plain(match["en"] or match["it"]).lower(): _plain(match["value"])
        for turn in turns
        if turn.role is Role.USER and turn.kind in SPOKEN and not is_advice(turn.text)
        for match in _FACT.finditer(turn.text)
    }


def advice(context: Context) -> list[str]:
    """All advice that the model knows: what its instruction holds (to the end of each line), then turn by turn."""
    instructed = [_plain(match[1]) for match in _INSTRUCTED.finditer(context.instruction)]
    told = [turn.text.lstrip().removeprefix(ADVICE) for turn in context.turns if is_advice(turn.text)]
    return [*instructed, *map(_plain, told)]


def advice_lines(instruction: str) -> list[str]:
    """The parts of an instruction that are advice: each from its mark to the end of the line."""
    return _INSTRUCTED_LINE.findall(instruction)


def following(advice: Sequence[str]) -> str:
    """How the agent shows that it follows advice: the newest, cut to 80 characters, and how much it knows of."""
    if not advice:
        return ""
    return f"As advised ({len(advice)}): {advice[-1][:_ADVICE_LENGTH].rstrip('. ')}."


def is_advice(text: str) -> bool:
    """Whether it is the sales manager's, not the user's."""
    return text.lstrip().startswith(ADVICE)


def _unanswered(turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
    last = max((at for at, turn in enumerate(turns) if turn.role is Role.MODEL), default=-1)
    return turns[last + 1 :]


def _arguments(text: str) -> dict[str, str]:
    return {match[1]: match[2].strip() for match in _ARGUMENT.finditer(text)}


def _plain(text: str) -> str:
    return " ".join(text.split())


def _subject(said: str) -> str:
    words = [word for word in re.findall(r"[\w'-]+", said) if len(word) > _SHORT_WORD and word.lower() not in _COMMON]
    longest = sorted(dict.fromkeys(words), key=len, reverse=True)[:3]
    return (
        " ".join(word for word in dict.fromkeys(words) if word in longest)[:_SUBJECT_LENGTH].strip() or "what you said"
    )

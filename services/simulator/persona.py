"""Personas: who the prospect is, what it plants and what it talks about, as a YAML file that anyone can write.

A file that cannot be used is told about whole, every mistake with its place in the file, before a run begins.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

SHIPPED: Final = Path(__file__).parent / "personas"
FEWEST_FACTS: Final = 8
TOPIC: Final = "{topic}"

_FACT_SHAPED: Final = re.compile(r"\bmy\b[^.?!]*\bis\b|\bwhat(?:\s+is|'s)\s+my\b", re.IGNORECASE)
_SENTENCE_END: Final = re.compile(r"[.?!]")


class PersonaError(Exception):
    """A persona that cannot be used.

    Args:
        source: Which one.
        problems: One sentence each, with the place in the file.
    """

    def __init__(self, source: str, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(f"persona {source}: {'; '.join(problems)}")


@dataclass(frozen=True, slots=True)
class Fact:
    """Something the prospect tells early and asks for later.

    Attributes:
        phrase: A noun phrase, ``company``.
        value: What is true, ``Brightwater``.
        lead: A sentence said before it, ``Thank you for the call.``
    """

    phrase: str
    value: str
    lead: str

    @property
    def statement(self) -> str:
        """How it is told."""
        return f"My {self.phrase} is {self.value}."

    @property
    def question(self) -> str:
        """How it is asked for."""
        return f"What is my {self.phrase}?"


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of the talk; it gives way to the next after its share of the run."""

    name: str
    share: float
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Persona:
    """Who the prospect is.

    Attributes:
        name: What a run's spec calls it.
        identity: Name, role and company.
        goals: What the prospect wants, in sentences.
        facts: At least `FEWEST_FACTS`.
        topics: What `{topic}` in a line may stand for.
        phases: In order; their shares make 1.
    """

    name: str
    identity: Mapping[str, str]
    goals: tuple[str, ...]
    facts: tuple[Fact, ...]
    topics: tuple[str, ...]
    phases: tuple[Phase, ...]


def shipped() -> list[str]:
    """The names of the personas that come with the simulator."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def load(name: str) -> Persona:
    """Read a shipped persona.

    Raises:
        PersonaError: There is none of that name, or it cannot be used.
    """
    if name not in shipped():
        raise PersonaError(name, [f"there is none; shipped are {', '.join(shipped())}"])
    return parse((SHIPPED / f"{name}.yaml").read_text(encoding="utf-8"), name)


def parse(text: str, source: str) -> Persona:
    """Read a persona from YAML.

    Args:
        text: The file's content.
        source: What it is called in an error.

    Raises:
        PersonaError: It cannot be used; it names everything that is wrong.
    """
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise PersonaError(source, [f"is not YAML: {' '.join(str(error).split())}"]) from error
    if not isinstance(data, dict):
        raise PersonaError(source, ["must be a mapping with name, identity, goals, facts, topics and phases"])
    reader = _Reader()
    persona = reader.persona(data)
    if reader.problems:
        raise PersonaError(source, reader.problems)
    return persona


@dataclass
class _Reader:
    """Reads what can be read and notes what cannot."""

    problems: list[str] = field(default_factory=list)

    def persona(self, data: dict[str, Any]) -> Persona:
        known = {"name", "identity", "goals", "facts", "topics", "phases"}
        self.problems += [f"{key}: is not a field of a persona" for key in data if key not in known]
        persona = Persona(
            name=self.text(data.get("name"), "name"),
            identity=self.identity(data.get("identity")),
            goals=tuple(self.texts(data.get("goals"), "goals")),
            facts=tuple(self.fact(item, f"facts[{at}]") for at, item in enumerate(self.items(data, "facts"))),
            topics=tuple(self.line(topic, f"topics[{at}]") for at, topic in enumerate(self.items(data, "topics"))),
            phases=tuple(self.phase(item, f"phases[{at}]") for at, item in enumerate(self.items(data, "phases"))),
        )
        self.judge(persona)
        return persona

    def judge(self, persona: Persona) -> None:
        """What only the whole can tell."""
        if len(persona.facts) < FEWEST_FACTS:
            self.problems.append(f"facts: there must be at least {FEWEST_FACTS}, there are {len(persona.facts)}")
        told = Counter(fact.phrase.lower() for fact in persona.facts)
        self.problems += [f"facts: {phrase!r} is told twice" for phrase, count in told.items() if phrase and count > 1]
        lines = Counter(line for phase in persona.phases for line in phase.lines)
        self.problems += [f"phases: {line!r} is there {count} times" for line, count in lines.items() if count > 1]
        total = sum(phase.share for phase in persona.phases)
        if persona.phases and not math.isclose(total, 1.0, abs_tol=0.001):
            self.problems.append(f"phases: the shares must make 1, they make {total:g}")

    def identity(self, value: object) -> dict[str, str]:
        given = value if isinstance(value, dict) else {}
        return {key: self.text(given.get(key), f"identity.{key}") for key in ("name", "role", "company")}

    def fact(self, value: object, where: str) -> Fact:
        given = value if isinstance(value, dict) else {}
        phrase, told, lead = (self.text(given.get(key), f"{where}.{key}") for key in ("phrase", "value", "lead"))
        for key, text in (("phrase", phrase), ("value", told)):
            if _SENTENCE_END.search(text) or " is " in f" {text} ":
                self.problems.append(f"{where}.{key}: {text!r} must not hold the word 'is' nor end a sentence")
        return Fact(phrase, told, self.line(lead, f"{where}.lead"))

    def phase(self, value: object, where: str) -> Phase:
        given = value if isinstance(value, dict) else {}
        share = given.get("share")
        if not isinstance(share, int | float) or isinstance(share, bool) or not 0 < share <= 1:
            self.problems.append(f"{where}.share: must be a number above 0, at most 1")
            share = 0.0
        lines = tuple(
            self.line(line, f"{where}.lines[{at}]") for at, line in enumerate(self.items(given, "lines", where))
        )
        return Phase(self.text(given.get("name"), f"{where}.name"), float(share), lines)

    def line(self, value: object, where: str) -> str:
        """Something said that must not look like a fact or a question for one."""
        text = self.text(value, where)
        if _FACT_SHAPED.search(text):
            self.problems.append(f"{where}: {text!r} looks like a fact or asks for one; those belong to facts")
        if "{" in text.replace(TOPIC, "") or "}" in text.replace(TOPIC, ""):
            self.problems.append(f"{where}: {text!r} has a placeholder other than {TOPIC}")
        return text

    def items(self, data: Mapping[str, Any], key: str, where: str = "") -> list[object]:
        value = data.get(key)
        if isinstance(value, list) and value:
            return value
        self.problems.append(f"{f'{where}.' if where else ''}{key}: must be a list with at least one item")
        return []

    def texts(self, value: object, where: str) -> list[str]:
        return [self.text(item, f"{where}[{at}]") for at, item in enumerate(self.items({where: value}, where))]

    def text(self, value: object, where: str) -> str:
        if isinstance(value, str) and value.strip():
            return value.strip()
        self.problems.append(f"{where}: must be a text that is not empty")
        return ""

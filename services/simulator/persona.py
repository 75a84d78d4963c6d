"""Personas: who the prospect is, how it speaks and what about, as a YAML file that anyone can write.

docs/personas.md has every field with an example. A file that cannot be used is told about whole, before a run begins.
"""

import math
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.simulator import documents
from services.simulator import manager as managers
from services.simulator.documents import Fields, Reader
from services.simulator.languages import LANGUAGES, Language

SHIPPED: Final = Path(__file__).parent / "personas"
KIND: Final = "persona"
FEWEST_FACTS: Final = 8
TOPIC: Final = "{topic}"
FACTS_TOLD: Final = "facts_told"
OBJECTIONS_RAISED: Final = "objections_raised"
MOVES: Final = ("share", FACTS_TOLD, OBJECTIONS_RAISED)
"""What moves a prospect on from a phase: its share of the run is over, or earlier, one of the others."""

_SENTENCE_END: Final = re.compile(r"[.?!]")
_MOST_SENTENCES: Final = 8


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


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of the talk; it gives way to the next after its share of the run, or when `until` says so.

    Attributes:
        name: ``discovery``, ``demo``, ...
        share: Of the run's turns.
        until: One of `MOVES`.
        lines: What is said in it.
        objections: Whether the persona's objections are raised in it.
    """

    name: str
    share: float
    until: str
    lines: tuple[str, ...]
    objections: bool = False


@dataclass(frozen=True, slots=True)
class Manner:
    """How the prospect speaks; times are at the pace of real speech.

    Attributes:
        pace: Relative to ordinary speech.
        pause: Seconds of thinking before a line; None for the simulator's own.
        long_pause: Seconds of a long silence, now and then.
        long_pause_every: Turns from one long silence to the next; 0 for none.
        sentences: The fewest and the most sentences in a turn.
        interrupts: The chance that it speaks into an answer.
    """

    pace: float = 1.0
    pause: float | None = None
    long_pause: float = 0.0
    long_pause_every: int = 0
    sentences: tuple[int, int] = (1, 1)
    interrupts: float = 0.0


@dataclass(frozen=True, slots=True)
class Persona:
    """Who the prospect is.

    Attributes:
        name: What a run's spec calls it.
        language: A key of `LANGUAGES`.
        identity: Name, role and company.
        character: A few sentences for whoever plays it.
        goals: What the prospect wants, in sentences.
        objections: What it holds against it, in sentences.
        manner: How it speaks.
        facts: At least `FEWEST_FACTS`.
        topics: What `{topic}` in a line may stand for.
        phases: In order; their shares make 1.
        manager: The shipped rules by which a sales manager advises the agent; empty for no manager.
    """

    name: str
    language: str
    identity: dict[str, str]
    character: str
    goals: tuple[str, ...]
    objections: tuple[str, ...]
    manner: Manner
    facts: tuple[Fact, ...]
    topics: tuple[str, ...]
    phases: tuple[Phase, ...]
    manager: str = ""

    @property
    def tongue(self) -> Language:
        """How its language tells and asks."""
        return LANGUAGES[self.language]


def shipped() -> list[str]:
    """The names of the personas that come with the simulator."""
    return documents.shipped(SHIPPED)


def load(name: str, document: str = "") -> Persona:
    """A shipped persona, or the one in `document`, called `name` in errors.

    Raises:
        DocumentError: There is none of that name, or it cannot be used.
    """
    return parse(document or documents.text_of(KIND, SHIPPED, name), name)


def parse(text: str, source: str) -> Persona:
    """Read a persona from YAML.

    Args:
        text: The file's content.
        source: What it is called in an error.

    Raises:
        DocumentError: It cannot be used; it names everything that is wrong.
    """
    reader = Reader(KIND, source)
    persona = _persona(reader.load(text))
    reader.check()
    return persona


_FIELDS: Final = (
    "name",
    "language",
    "identity",
    "character",
    "goals",
    "objections",
    "manner",
    "facts",
    "topics",
    "phases",
    "manager",
)


def _persona(given: Fields) -> Persona:
    given.only(*_FIELDS)
    language = given.choice("language", tuple(LANGUAGES), "en")
    lines = _Lines(LANGUAGES[language])
    persona = Persona(
        name=given.text("name"),
        language=language,
        identity=_identity(given.fields("identity")),
        character=given.text("character", ""),
        goals=given.texts("goals"),
        objections=tuple(lines.line(given, *item) for item in given.items("objections", required=False)),
        manner=_manner(given.fields("manner", required=False)),
        facts=tuple(_fact(item, lines) for item in given.mappings("facts")),
        topics=tuple(lines.line(given, *item) for item in given.items("topics")),
        phases=tuple(_phase(item, lines) for item in given.mappings("phases")),
        manager=given.choice("manager", managers.shipped(), ""),
    )
    _judge(given, persona)
    return persona


def _judge(given: Fields, persona: Persona) -> None:
    """What only the whole can tell."""
    if given.has("facts") and len(persona.facts) < FEWEST_FACTS:
        given.wrong("facts", f"there must be at least {FEWEST_FACTS}, there are {len(persona.facts)}")
    told = Counter(fact.phrase.lower() for fact in persona.facts)
    for phrase, count in told.items():
        if phrase and count > 1:
            given.wrong("facts", f"{phrase!r} is told twice; give each fact a phrase of its own")
    said = Counter([*(line for phase in persona.phases for line in phase.lines), *persona.objections])
    for line, count in said.items():
        if line and count > 1:
            given.wrong("phases", f"{line!r} is there {count} times; each line must be said once")
    names = Counter(phase.name for phase in persona.phases)
    for name, count in names.items():
        if name and count > 1:
            given.wrong("phases", f"{name!r} is the name of {count} phases; give each a name of its own")
    total = sum(phase.share for phase in persona.phases)
    if persona.phases and not math.isclose(total, 1.0, abs_tol=0.001):
        given.wrong("phases", f"the shares must make 1, they make {total:g}")
    if any(phase.objections for phase in persona.phases) and not persona.objections:
        given.wrong("objections", "a phase raises objections, and there are none")


def _identity(given: Fields) -> dict[str, str]:
    given.only("name", "role", "company")
    return {key: given.text(key) for key in ("name", "role", "company")}


def _manner(given: Fields) -> Manner:
    given.only("pace", "pause", "long_pause", "long_pause_every", "sentences", "interrupts")
    fewest, most = 1, 1
    if given.has("sentences"):
        both = given.data["sentences"]
        if isinstance(both, list) and len(both) == 2 and all(type(n) is int for n in both):  # noqa: PLR2004 - a pair
            fewest, most = both
        if not 1 <= fewest <= most <= _MOST_SENTENCES or both != [fewest, most]:
            given.wrong("sentences", f"must be the fewest and the most, such as [1, 3], from 1 to {_MOST_SENTENCES}")
    return Manner(
        pace=given.number("pace", 1.0, low=0.25, high=4),
        pause=given.number("pause", None, low=0, high=600),
        long_pause=given.number("long_pause", 0.0, low=0, high=3600),
        long_pause_every=given.integer("long_pause_every", 0, low=0, high=1000),
        sentences=(fewest, most),
        interrupts=given.number("interrupts", 0.0, low=0, high=1),
    )


def _fact(given: Fields, lines: "_Lines") -> Fact:
    given.only("phrase", "value", "lead")
    phrase, value = given.text("phrase"), given.text("value")
    copula = lines.language.copula
    for key, text in (("phrase", phrase), ("value", value)):
        if _SENTENCE_END.search(text) or f" {copula} " in f" {text} ":
            given.wrong(key, f"{text!r} must not hold the word {copula!r} nor end a sentence")
    if phrase and not lines.language.phrase.fullmatch(phrase):
        given.wrong("phrase", f"{phrase!r} {lines.language.phrase_hint}")
    return Fact(phrase, value, lines.line(given, "lead", given.data.get("lead")))


def _phase(given: Fields, lines: "_Lines") -> Phase:
    given.only("name", "share", "until", "lines", "objections")
    return Phase(
        name=given.text("name"),
        share=given.number("share", low=0.001, high=1),
        until=given.choice("until", MOVES, MOVES[0]),
        lines=tuple(lines.line(given, *item) for item in given.items("lines")),
        objections=given.flag("objections", default=False),
    )


@dataclass(frozen=True, slots=True)
class _Lines:
    """Reads what is said."""

    language: Language

    def line(self, given: Fields, place: str, value: object) -> str:
        """Something said that must not look like a fact or a question for one."""
        text = given.one_text(place, value)
        if self.language.fact_shaped.search(text):
            given.wrong(place, f"{text!r} looks like a fact or asks for one; those belong to facts")
        if "{" in text.replace(TOPIC, "") or "}" in text.replace(TOPIC, ""):
            given.wrong(place, f"{text!r} has a placeholder other than {TOPIC}")
        return text

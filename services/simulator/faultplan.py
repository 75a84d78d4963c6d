"""Fault plans: what is broken on purpose, where, when and how often, as a YAML file that anyone can write.

A plan is turned into a schedule before the run begins (`schedule`): which fault is due in which turn, decided by the
seed alone. What is due at a second or in a phase of the talk waits for it.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from services.simulator import documents
from services.simulator.documents import Fields, Reader

SHIPPED: Final = Path(__file__).parent / "faultplans"
KIND: Final = "fault plan"
MOST_TURNS: Final = 10_000
LONGEST: Final = 86_400.0
"""Seconds."""


class Target(StrEnum):
    """Who breaks it."""

    EMULATOR = "emulator"
    """Gemini's stand-in, for this conversation alone."""
    NETWORK = "network"
    """A proxy between the client and the relay."""
    CLIENT = "client"
    """The simulator's own socket."""
    SERVICE = "service"
    """Whoever started the services."""


PLACES: Final = ("pause", "speech", "wait", "answer")
"""Moments of a turn: before the prospect speaks, in the middle of its line, after it, when the agent is first heard."""

MOMENTS: Final = (
    "setup", "resume", "open", "resumed", "activity", "heard", "answer", "turn", "tool_call", "update", "goaway"
)  # fmt: skip
"""Moments of a session, as the emulator knows them (docs/emulator.md)."""

SERVICES: Final = ("relay", "handles", "emulator", "simulator")


@dataclass(frozen=True, slots=True)
class Knob:
    """A field of one kind of fault: a number within bounds, a text, or one of a few words."""

    low: float = 0.0
    high: float = LONGEST
    words: tuple[str, ...] = ()
    text: bool = False
    required: bool = True


_SECONDS: Final = Knob()
_OPTIONAL: Final = Knob(required=False)

KNOBS: Final[Mapping[tuple[Target, str], Mapping[str, Knob]]] = MappingProxyType(
    {
        (Target.EMULATOR, "close"): {"code": Knob(1000, 4999), "reason": Knob(text=True, required=False)},
        (Target.EMULATOR, "cut"): {},
        (Target.EMULATOR, "stall"): {"seconds": _OPTIONAL},
        (Target.EMULATOR, "pongs"): {"seconds": _SECONDS},
        (Target.EMULATOR, "forget"): {"what": Knob(words=("audio", "all"))},
        (Target.EMULATOR, "suppress"): {},
        (Target.EMULATOR, "goaway"): {"time_left": _OPTIONAL, "ends_in": _OPTIONAL},
        (Target.NETWORK, "cut"): {},
        (Target.NETWORK, "refuse"): {"seconds": _SECONDS},
        (Target.NETWORK, "stall"): {"seconds": _SECONDS},
        (Target.NETWORK, "slow"): {"seconds": _SECONDS, "delay": Knob(0.0, 60.0)},
        (Target.CLIENT, "cut"): {},
        (Target.SERVICE, "kill"): {"service": Knob(words=SERVICES), "back_after": _OPTIONAL},
        (Target.SERVICE, "restart"): {"service": Knob(words=SERVICES), "back_after": _OPTIONAL},
    }
)
"""Every kind of fault with its own fields; durations are in seconds."""

_COMMON: Final = ("at", "do", "when", "turn", "turns", "every", "from", "second", "phase", "chance", "times")
_EMULATED: Final = ("after", "spread", "strikes")


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    Attributes:
        target: Who breaks it.
        kind: What is done; a key of `KNOBS` with `target`.
        moment: When within the turn: one of `PLACES`, or of `MOMENTS` for the emulator.
        knobs: The kind's own fields.
        turns: In which turns.
        every: Or in every so manieth turn, from the turn `since` on; 0 for none.
        since: The first of these.
        second: Or so many seconds after the first turn began.
        phase: Or in the first turn of this phase.
        chance: The chance that it is done when it is due.
        times: How often at most; 0 for always.
        name: What it is called in its plan: ``fault 2``.
    """

    target: Target
    kind: str
    moment: str
    knobs: Mapping[str, Any] = field(default_factory=dict)
    turns: tuple[int, ...] = ()
    every: int = 0
    since: int = 1
    second: float | None = None
    phase: str = ""
    chance: float = 1.0
    times: int = 0
    name: str = ""

    def label(self, turn: int) -> str:
        """What it is called where it is due in a turn: one promise of the plan, unlike any other."""
        if self.second is not None or self.phase:
            return self.name
        return f"{self.name}, turn {turn}"

    def wanted(self, turns: int) -> list[int]:
        """The turns of a run of so many in which it may be due; what waits for a second or a phase has none."""
        asked = (*self.turns, *(range(self.since, turns + 1, self.every) if self.every else ()))
        return sorted(turn for turn in asked if turn <= turns)

    @property
    def detail(self) -> str:
        """Its own fields, for a person."""
        return ", ".join(
            f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in self.knobs.items()
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """The faults of a run, by a name."""

    name: str
    faults: tuple[Fault, ...] = ()

    @property
    def targets(self) -> frozenset[Target]:
        """Who has to break something."""
        return frozenset(fault.target for fault in self.faults)


@dataclass(frozen=True, slots=True)
class Schedule:
    """What is due when.

    Attributes:
        turns: By turn, in the plan's order.
        seconds: What waits for a second.
        phases: What waits for a phase of the talk.
    """

    turns: Mapping[int, tuple[Fault, ...]]
    seconds: tuple[Fault, ...] = ()
    phases: tuple[Fault, ...] = ()

    @property
    def targets(self) -> frozenset[Target]:
        """Who has to break something."""
        due = [fault for faults in self.turns.values() for fault in faults]
        return frozenset(fault.target for fault in (*due, *self.seconds, *self.phases))


NOTHING: Final = Plan("")


def shipped() -> list[str]:
    """The names of the fault plans that come with the simulator."""
    return documents.shipped(SHIPPED)


def load(name: str, document: str = "") -> Plan:
    """A shipped plan, or the one in `document`, called `name` in errors; nothing is broken where both are empty.

    Raises:
        DocumentError: There is none of that name, or it cannot be used.
    """
    if not name and not document:
        return NOTHING
    return parse(document or documents.text_of(KIND, SHIPPED, name), name)


def parse(text: str, source: str) -> Plan:
    """Read a fault plan from YAML.

    Raises:
        DocumentError: It cannot be used; it names everything that is wrong.
    """
    reader = Reader(KIND, source)
    given = reader.load(text)
    given.only("name", "faults")
    faults = (_fault(item, f"fault {number}") for number, item in enumerate(given.mappings("faults"), start=1))
    plan = Plan(given.text("name"), tuple(faults))
    reader.check()
    return plan


def schedule(plan: Plan, seed: int, turns: int) -> Schedule:
    """Decide what is due when, in a run of so many turns. The same seed decides the same."""
    due: dict[int, list[Fault]] = {}
    waiting: list[Fault] = []
    for number, fault in enumerate(plan.faults):
        chance = random.Random(f"{plan.name}/{number}/{seed}")  # noqa: S311 - repeatable on purpose
        chosen = [turn for turn in fault.wanted(turns) if chance.random() < fault.chance]
        for turn in chosen[: fault.times or None]:
            due.setdefault(turn, []).append(fault)
        if (fault.second is not None or fault.phase) and chance.random() < fault.chance:
            waiting.append(fault)
    return Schedule(
        {turn: tuple(faults) for turn, faults in sorted(due.items())},
        tuple(fault for fault in waiting if fault.second is not None),
        tuple(fault for fault in waiting if fault.phase),
    )


def _fault(given: Fields, name: str) -> Fault:
    target = Target(given.choice("at", tuple(Target)))
    kinds = [kind for at, kind in KNOBS if at is target]
    kind = given.choice("do", kinds)
    emulated = target is Target.EMULATOR
    knobs = KNOBS[target, kind]
    given.only(*_COMMON, *knobs, *(_EMULATED if emulated else ()))
    _check_when(given)
    read = {name: _knob(given, name, knob) for name, knob in knobs.items() if knob.required or given.has(name)}
    if emulated:
        read |= {name: given.number(name, low=0, high=LONGEST) for name in ("after", "spread") if given.has(name)}
        if given.has("strikes"):
            read["strikes"] = given.integer("strikes", low=1, high=MOST_TURNS)
    return Fault(
        target=target,
        kind=kind,
        moment=given.choice("when", MOMENTS if emulated else PLACES),
        knobs=read,
        turns=_turns(given),
        every=given.integer("every", 0, low=1, high=MOST_TURNS),
        since=given.integer("from", 1, low=1, high=MOST_TURNS),
        second=given.number("second", None, low=0, high=LONGEST),
        phase=given.text("phase", ""),
        chance=given.number("chance", 1.0, low=0, high=1),
        times=given.integer("times", 0, low=1, high=MOST_TURNS),
        name=name,
    )


def _check_when(given: Fields) -> None:
    said = [key for key in ("turn", "turns", "every", "second", "phase") if given.has(key)]
    if len(said) != 1:
        given.wrong(
            "turn", f"say when with exactly one of turn, turns, every, second and phase, not {len(said)} of them"
        )
    if given.has("from") and not given.has("every"):
        given.wrong("from", "says where 'every' begins, and there is no 'every'")


def _turns(given: Fields) -> tuple[int, ...]:
    if given.has("turn"):
        return (given.integer("turn", low=1, high=MOST_TURNS),)
    if not given.has("turns"):
        return ()
    places = given.items("turns")
    for place, turn in places:
        if type(turn) is not int or not 1 <= turn <= MOST_TURNS:
            given.wrong(place, f"must be a turn, 1 to {MOST_TURNS}, not {turn!r}")
    return tuple(turn for _, turn in places if type(turn) is int)


def _knob(given: Fields, name: str, knob: Knob) -> Any:  # noqa: ANN401 - as the kind has it
    if knob.words:
        return given.choice(name, knob.words)
    if knob.text:
        return given.text(name)
    if name == "code":
        return given.integer(name, low=int(knob.low), high=int(knob.high))
    return given.number(name, low=knob.low, high=knob.high)

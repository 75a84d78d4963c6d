"""Suites: many runs in one YAML file, each the product of personas, agents, fault plans and seeds. No I/O but reading.

A suite also says which stack it is made for: how long emulated connections live, and how fast both sides speak.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, Final

from filo.handles.v1.resources_pb2 import FeedbackPolicy
from filo.simulator.v1 import simulator_pb2 as pb
from services.common.config import parse_duration
from services.simulator import agent, faultplan, judge, persona, verdicts
from services.simulator.documents import DocumentError, Fields, Reader
from services.simulator.faultplan import Target
from services.simulator.spec import FASTEST, LARGEST_SEED, LEAST_SEED, MOST_TURNS, SLOWEST

KIND: Final = "suite"
NONE: Final = "none"
ALL: Final = "all"

_RUN: Final = (
    "name", "persona", "agent", "faults", "seeds", "turns", "channel", "rotation", "chaos", "prospect", "judge",
    "thresholds", "cut_client_at_turns", "speed", "model", "manager", "feedback_policy",
)  # fmt: skip


BACKENDS: Final = ("developer", "vertex")


@dataclass(frozen=True, slots=True)
class Stack:
    """What a suite runs in; durations in seconds.

    Attributes:
        connection_lifetime: Of emulated connections.
        goaway_lead: How long before its end it is announced.
        speed: How much faster than real time both sides speak.
        window: Of the context in tokens; 0 for each model's own.
        backend: Whose API the emulator plays, `developer` or `vertex`.
    """

    connection_lifetime: float = 6.0
    goaway_lead: float = 2.0
    speed: float = 12.0
    window: int = 0
    backend: str = BACKENDS[0]


@dataclass(frozen=True, slots=True)
class Planned:
    """One run of a suite.

    Attributes:
        title: Unique within the suite.
        spec: What to run.
        fault_plan: The plan's name; empty without one.
        exclusive: It breaks services, which others lean on: it runs alone.
    """

    title: str
    spec: pb.RunSpec
    fault_plan: str = ""
    exclusive: bool = False


@dataclass(frozen=True, slots=True)
class Suite:
    """What is to be run, in which stack."""

    name: str
    stack: Stack
    runs: tuple[Planned, ...]


def load(path: Path, *, no_resume: bool = False) -> Suite:
    """Read a suite and every document that it names; their paths are relative to it.

    Args:
        path: The file.
        no_resume: Run everything in the world before Filo.

    Raises:
        DocumentError: It cannot be used, or one of its documents cannot; names everything that is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DocumentError(
            KIND, str(path), [f"cannot be read: {getattr(error, 'strerror', None) or error}"]
        ) from error
    reader = Reader(KIND, str(path))
    given = reader.load(text)
    given.only("name", "stack", "defaults", "runs")
    defaults = given.fields("defaults", required=False)
    defaults.only(*_RUN)
    maker = _Maker(path.parent, no_resume=no_resume)
    runs = [planned for entry in given.mappings("runs") for planned in maker.expand(entry, defaults)]
    for title, count in Counter(planned.title for planned in runs).items():
        if count > 1:
            given.wrong("runs", f"{title!r} is there {count} times; give one of them a 'name'")
    suite = Suite(given.text("name"), _stack(given.fields("stack", required=False)), tuple(runs))
    reader.problems += maker.problems
    reader.check()
    return suite


def reference(text: str, base: Path, kind: str, load: Callable[[str, str], Any]) -> tuple[str, str]:
    """A document that is given by name or by path: what it is called, and its text if it is no shipped one.

    Args:
        text: The name of a shipped one, or the path of a file.
        base: What a relative path is relative to.
        kind: What it should be.
        load: Reads it.

    Raises:
        DocumentError: It cannot be used.
    """
    if not text.endswith((".yaml", ".yml")):
        load(text, "")
        return text, ""
    path = base / text
    try:
        document = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DocumentError(
            kind, str(path), [f"cannot be read: {getattr(error, 'strerror', None) or error}"]
        ) from error
    load(str(path), document or "\n")  # an empty text would mean the shipped one of that name
    return str(path), document


@dataclass
class _Maker:
    """Makes specs of entries; what is wrong with the documents they name is told once."""

    base: Path
    no_resume: bool
    problems: list[str] = field(default_factory=list)
    _read: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)

    def expand(self, entry: Fields, defaults: Fields) -> list[Planned]:
        """Every run of an entry."""
        entry.only(*_RUN)
        merged = Fields(entry.reader, {**defaults.data, **entry.data}, entry.where)
        common, name = _common(merged), merged.text("name", "")
        combinations = product(
            _several(merged, "persona", persona.shipped(), "enthusiastic"),
            _several(merged, "agent", agent.shipped(), "ada"),
            _several(merged, "faults", faultplan.shipped(), NONE),
            _seeds(merged),
        )
        return [self._plan(name, common, merged, *chosen) for chosen in combinations]

    def _plan(
        self, name: str, common: pb.RunSpec, entry: Fields, who: str, seller: str, faults: str, seed: int
    ) -> Planned:
        spec = pb.RunSpec()
        spec.CopyFrom(common)
        spec.persona, spec.persona_document = self._document(persona.KIND, who, persona.load)
        spec.agent, spec.agent_document = self._document(agent.KIND, seller, agent.load)
        exclusive = False
        if faults != NONE:
            spec.fault_plan, spec.fault_plan_document = self._document(faultplan.KIND, faults, faultplan.load)
            exclusive = self._breaks_services(spec)
        parts = [Path(who).stem, Path(seller).stem, Path(faults).stem, f"seed {seed}"]
        if len({*_listed(entry, "agent")}) <= 1 and seller == "ada":
            del parts[1]
        spec.title = f"{name}: {', '.join(parts)}" if name else ", ".join(parts)
        spec.seed, spec.no_resume = seed, self.no_resume
        return Planned(spec.title, spec, "" if faults == NONE else Path(faults).stem, exclusive)

    def _breaks_services(self, spec: pb.RunSpec) -> bool:
        try:
            return Target.SERVICE in faultplan.load(spec.fault_plan, spec.fault_plan_document).targets
        except DocumentError:
            return False  # told already

    def _document(self, kind: str, text: str, load: Callable[[str, str], Any]) -> tuple[str, str]:
        if (kind, text) not in self._read:
            try:
                self._read[kind, text] = reference(text, self.base, kind, load)
            except DocumentError as error:
                self.problems += [f"{kind} {line}" for line in error.lines]
                self._read[kind, text] = (text, "")
        return self._read[kind, text]


def _stack(given: Fields) -> Stack:
    given.only("connection_lifetime", "goaway_lead", "speed", "window", "backend")
    default = Stack()
    return Stack(
        connection_lifetime=_duration(given, "connection_lifetime", default.connection_lifetime),
        goaway_lead=_duration(given, "goaway_lead", default.goaway_lead),
        speed=given.number("speed", default.speed, low=SLOWEST, high=FASTEST),
        window=given.integer("window", 0, low=1, high=10_000_000),
        backend=given.choice("backend", BACKENDS) if given.has("backend") else default.backend,
    )


def _duration(given: Fields, key: str, default: float) -> float:
    if not given.has(key):
        return default
    try:
        return parse_duration(str(given.data[key]))
    except ValueError as error:
        given.wrong(key, str(error))
        return default


def _common(given: Fields) -> pb.RunSpec:
    """What all runs of an entry have in common."""
    spec = pb.RunSpec(
        turns=given.integer("turns", 14, low=1, high=MOST_TURNS),
        chaos=given.number("chaos", 0.0, low=0, high=1),
        judge=given.flag("judge", default=False),
        speed=given.number("speed", 0.0, low=SLOWEST, high=FASTEST),
        model=given.text("model", ""),
        thresholds=_thresholds(given.fields("thresholds", required=False)),
    )
    enums: Mapping[str, Any] = {
        "channel": pb.Channel, "rotation": pb.Rotation, "prospect": pb.ProspectKind, "manager": pb.ManagerKind,
        "feedback_policy": FeedbackPolicy,
    }  # fmt: skip
    for key, kind in enums.items():
        if given.has(key):
            setattr(spec, key, _enum(given, key, kind))
    for place, turn in given.items("cut_client_at_turns", required=False):
        if type(turn) is int and 1 <= turn <= spec.turns:
            spec.cut_client_at_turns.append(turn)
        else:
            given.wrong(place, f"{turn!r} is not a turn of this run, which has {spec.turns}")
    return spec


def _enum(given: Fields, key: str, kind: Any) -> int:  # noqa: ANN401 - protobuf's enums have no common type
    names = {name.lower(): value for name, value in kind.items() if value}
    prefix = _common_prefix(list(names))
    words = {name.removeprefix(prefix): value for name, value in names.items()}
    return int(words[given.choice(key, tuple(words))])


def _common_prefix(names: list[str]) -> str:
    first = names[0]
    ends = [
        at + 1
        for at, char in enumerate(first)
        if char == "_" and all(name.startswith(first[: at + 1]) for name in names)
    ]
    return first[: ends[-1]] if ends else ""


def _thresholds(given: Fields) -> dict[str, float]:
    given.only(*sorted(verdicts.NAMES | judge.NAMES))
    return {str(key): given.number(str(key), low=0, high=1e12) for key in given.data}


def _listed(given: Fields, key: str) -> list[Any]:
    value = given.data.get(key)
    return value if isinstance(value, list) else [] if value is None else [value]


def _several(given: Fields, key: str, shipped: list[str], default: str) -> list[str]:
    """One name, a list of them, or all that are shipped."""
    if not given.has(key):
        return [default]
    listed = _listed(given, key)
    if listed == [ALL]:
        return shipped
    return [given.one_text(f"{key}[{at}]", item) for at, item in enumerate(listed)] or [default]


def _seeds(given: Fields) -> list[int]:
    if not given.has("seeds"):
        return [0]
    listed = _listed(given, "seeds")
    for at, seed in enumerate(listed):
        if type(seed) is not int:
            given.wrong(f"seeds[{at}]", f"must be a whole number, not {seed!r}")
        elif not LEAST_SEED <= seed <= LARGEST_SEED:
            given.wrong(f"seeds[{at}]", f"must be a whole number of 64 bits, not {seed}")
    return [seed for seed in listed if type(seed) is int and LEAST_SEED <= seed <= LARGEST_SEED] or [0]

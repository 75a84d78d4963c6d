"""What a run is asked for: checked, its defaults filled in, and its documents read."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import cycle
from typing import Any, Final, TypeVar

from filo.handles.v1.resources_pb2 import FeedbackPolicy
from filo.simulator.v1 import simulator_pb2 as pb
from services.common.errors import ServiceError, invalid
from services.simulator import agent, chaos, faultplan, judge, manager, persona, promises, verdicts
from services.simulator.agent import Agent
from services.simulator.config import Settings
from services.simulator.documents import DocumentError
from services.simulator.faultplan import Fault, Plan, Schedule, Target
from services.simulator.manager import RulesManager
from services.simulator.persona import Persona
from services.simulator.promises import Promise

T = TypeVar("T")

MOST_TURNS: Final = 10_000
DEFAULT_TURNS: Final = 20
DEFAULT_PERSONA: Final = "enthusiastic"
DEFAULT_AGENT: Final = "ada"
SLOWEST: Final = 0.1
FASTEST: Final = 1000.0
LEAST_SEED: Final = -(2**63)
LARGEST_SEED: Final = 2**63 - 1
LONGEST_TITLE: Final = 200
LARGEST: Final = {
    "persona_document": 256 * 1024,
    "agent_document": 1024 * 1024,
    "fault_plan_document": 256 * 1024,
    "manager_document": 256 * 1024,
}
"""Bytes of a document."""

KINDS: Final[dict[str, Any]] = {
    "rotation": pb.Rotation,
    "channel": pb.Channel,
    "prospect": pb.ProspectKind,
    "manager": pb.ManagerKind,
    "feedback_policy": FeedbackPolicy,
}
"""The fields that take one of a few values."""

CHANNELS: Final = {"voice": pb.CHANNEL_VOICE, "text": pb.CHANNEL_TEXT}


@dataclass(frozen=True, slots=True)
class Cast:
    """Who takes part in a run, and what is broken in it."""

    persona: Persona
    agent: Agent
    plan: Plan
    rules: RulesManager

    def schedule(self, spec: pb.RunSpec) -> Schedule:
        """What is due when: of the plan, of chaos, and cuts of the client's socket."""
        faults = (*self.plan.faults, *_cuts(spec))
        planned = faultplan.schedule(replace(self.plan, faults=faults), spec.seed, spec.turns)
        if not spec.chaos:
            return planned
        more = faultplan.schedule(chaos.plan(spec.chaos, spec.seed, spec.turns), spec.seed, spec.turns).turns
        both = {turn: (*planned.turns.get(turn, ()), *more.get(turn, ())) for turn in sorted({*planned.turns, *more})}
        return replace(planned, turns=both)

    def promises(self, spec: pb.RunSpec) -> list[Promise]:
        """What must be broken in a run that is to prove anything; chaos promises nothing."""
        faults = (*self.plan.faults, *_cuts(spec))
        return promises.of(faults, spec.turns, [phase.name for phase in self.persona.phases])


def complete(asked: pb.RunSpec, settings: Settings) -> pb.RunSpec:
    """The spec of a run with nothing left open.

    Raises:
        ServiceError: INVALID_ARGUMENT that names the field.
    """
    spec = pb.RunSpec()
    spec.CopyFrom(asked)
    spec.persona = asked.persona or DEFAULT_PERSONA
    spec.agent = asked.agent or DEFAULT_AGENT
    spec.turns = asked.turns or DEFAULT_TURNS
    spec.rotation = asked.rotation or pb.ROTATION_RELAY
    spec.channel = asked.channel or CHANNELS[settings.channel]
    spec.speed = asked.speed or settings.speed
    spec.prospect = asked.prospect or pb.PROSPECT_KIND_SCRIPTED
    spec.text_model = asked.text_model or settings.text_model
    spec.cut_client_at_turns[:] = sorted(set(asked.cut_client_at_turns))
    if spec.no_resume:
        spec.rotation = pb.ROTATION_CLIENT
    _check(spec)
    cast = read(spec)
    by_rules = asked.manager_document or cast.persona.manager
    spec.manager = asked.manager or (pb.MANAGER_KIND_RULES if by_rules else pb.MANAGER_KIND_NONE)
    spec.model = asked.model or cast.agent.model or settings.model
    _check_possible(spec, cast, settings)
    return spec


def read(spec: pb.RunSpec) -> Cast:
    """Read the documents of a spec.

    Raises:
        ServiceError: INVALID_ARGUMENT that names the field, with everything that is wrong.
    """
    who = _read(spec, "persona", persona.load)
    return Cast(
        who,
        _read(spec, "agent", agent.load),
        _read(spec, "fault_plan", faultplan.load),
        _read(spec, "manager", manager.load, who.manager or manager.DEFAULT),
    )


def _read(spec: pb.RunSpec, field: str, load: Callable[[str, str], T], name: str | None = None) -> T:
    document = getattr(spec, f"{field}_document")
    try:
        return load(getattr(spec, field) if name is None else name, document)
    except DocumentError as error:
        where = f"spec.{field}_document" if document else f"spec.{field}"
        raise invalid(where, "; ".join(error.lines)) from error


def _cuts(spec: pb.RunSpec) -> list[Fault]:
    """Cuts of the client's socket in these turns: in its own speech and in the answer by turns."""
    places = cycle(("answer",) if spec.channel == pb.CHANNEL_TEXT else ("speech", "answer"))
    return [
        Fault(Target.CLIENT, "cut", place, turns=(turn,), name="cut of the client")
        for turn, place in zip(spec.cut_client_at_turns, places, strict=False)
    ]


def _check(spec: pb.RunSpec) -> None:
    if not 1 <= spec.turns <= MOST_TURNS:
        raise invalid("spec.turns", f"must be 1 to {MOST_TURNS}, not {spec.turns}")
    if not math.isfinite(spec.speed) or not SLOWEST <= round(spec.speed, 6) <= FASTEST:
        raise invalid("spec.speed", f"must be {SLOWEST:g} to {FASTEST:g}, not {spec.speed:g}")
    for field, kind in KINDS.items():
        if getattr(spec, field) not in kind.values():
            raise invalid(f"spec.{field}", f"{getattr(spec, field)} is not a {kind.DESCRIPTOR.name}")
    outside = [turn for turn in spec.cut_client_at_turns if not 1 <= turn <= spec.turns]
    if outside:
        raise invalid("spec.cut_client_at_turns", f"{outside[0]} is not a turn of this run, which has {spec.turns}")
    _check_more(spec)


def _check_more(spec: pb.RunSpec) -> None:
    if not 0 <= spec.chaos <= 1:
        raise invalid("spec.chaos", f"must be 0 to 1, not {spec.chaos:g}")
    if len(spec.title) > LONGEST_TITLE:
        raise invalid("spec.title", f"must have at most {LONGEST_TITLE} characters")
    for field, most in LARGEST.items():
        if len(getattr(spec, field).encode()) > most:
            raise invalid(f"spec.{field}", f"must have at most {most:,} bytes")
    unknown = sorted(set(spec.thresholds) - verdicts.NAMES - judge.NAMES)
    if unknown:
        known = ", ".join(sorted(verdicts.NAMES | judge.NAMES))
        raise invalid("spec.thresholds", f"there is no check {unknown[0]!r}; there are {known}")
    endless = sorted(name for name, allowed in spec.thresholds.items() if not math.isfinite(allowed))
    if endless:
        raise invalid("spec.thresholds", f"{endless[0]} must be a number that is finite")


def _check_possible(spec: pb.RunSpec, cast: Cast, settings: Settings) -> None:
    """Refuse what this simulator has no means for."""
    targets = cast.schedule(spec).targets
    if Target.EMULATOR in targets and not settings.emulator_url:
        raise _impossible("spec.fault_plan", "breaks the emulator, and this simulator knows of none")
    if Target.NETWORK in targets and not settings.relay_client_url.startswith("ws:"):
        raise _impossible("spec.fault_plan", "breaks the network, which is possible only before a relay without TLS")
    wanted = {
        "spec.judge": spec.judge,
        "spec.prospect": spec.prospect == pb.PROSPECT_KIND_GEMINI,
        "spec.manager": spec.manager == pb.MANAGER_KIND_GEMINI,
    }
    for field in (field for field, wants in wanted.items() if wants and not settings.api_key):
        raise _impossible(field, "needs a Gemini text model, and this simulator has no GEMINI_API_KEY")


def _impossible(field: str, what: str) -> ServiceError:
    return invalid(field, what)

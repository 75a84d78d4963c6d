"""What a fault plan promises: every fault that must strike, or a run proves nothing about it. Pure.

A fault that is certain (no `chance`) is promised once for each turn of the run in which it is due, or once where it
waits for a second or a phase. One that can never be due (its turns are beyond the run's end, its phase is none of the
persona's) is promised too, be it by chance, and broken by that. What chance alone brings is promised by nobody.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from services.simulator.faultplan import Fault


@dataclass(frozen=True, slots=True)
class Promise:
    """One fault that must strike.

    Attributes:
        label: What it is called, unlike any other of the run (`Fault.label`).
        what: The fault, and when it is due, in words.
        turn: In which turn; 0 where it waits for a second or a phase, or can never strike.
        never: Why it can never strike; empty where it can.
    """

    label: str
    what: str
    turn: int = 0
    never: str = ""


def of(faults: Iterable[Fault], turns: int, phases: Collection[str]) -> list[Promise]:
    """What these faults promise in a run of so many turns with a persona of these phases."""
    return [promise for fault in faults for promise in _of(fault, turns, phases)]


def _of(fault: Fault, turns: int, phases: Collection[str]) -> list[Promise]:
    what = f"{fault.name} ({fault.target}: {fault.kind} at {fault.moment})"
    never = _never(fault, turns, phases)
    if never and fault.chance:
        return [Promise(fault.label(0), what, never=never)]
    if fault.chance < 1 or never:
        return []
    if fault.second is not None:
        return [Promise(fault.label(0), f"{what} at second {fault.second:g}")]
    if fault.phase:
        return [Promise(fault.label(0), f"{what} in phase {fault.phase}")]
    due = fault.wanted(turns)[: fault.times or None]
    return [Promise(fault.label(turn), f"{what} in turn {turn}", turn) for turn in due]


def _never(fault: Fault, turns: int, phases: Collection[str]) -> str:
    if fault.phase and fault.phase not in phases:
        return f"the persona has no phase {fault.phase}"
    if fault.second is None and not fault.phase and not fault.wanted(turns):
        first = min(fault.turns, default=fault.since)
        return f"it is due in turn {first} at the earliest, and the run has {turns}"
    return ""

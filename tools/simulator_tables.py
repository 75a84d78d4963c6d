"""The tables of the simulator's pages: personas, faults, checks, the judge's rubric, and what runs cost."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

from services.simulator import faultplan, judge, persona, verdicts
from services.simulator.faultplan import Knob
from services.simulator.languages import english_ordinal
from services.simulator.persona import Manner, Persona

RESULTS: Final = Path(__file__).resolve().parent.parent / "bench/results/runs.json"
"""What `make bench-runs` found."""

Markdown = Callable[[Sequence[str], Iterable[Sequence[object]]], str]


def tables(markdown: Markdown) -> Mapping[str, Callable[[], str]]:
    """Every table of the simulator by the name that pages use."""
    return MappingProxyType(
        {
            "simulator-personas": lambda: markdown(
                ("persona", "who", "how it speaks", "phases"), map(_persona, _loaded())
            ),
            "simulator-faults": lambda: markdown(("at", "do", "its own fields"), _faults()),
            "simulator-checks": lambda: markdown(("check", "what it measures", "allowed"), _checks()),
            "simulator-rubric": lambda: markdown(
                ("check", "what is judged"), ((f"`{name}`", what) for name, what in judge.RUBRIC.items())
            ),
            "runs-bench": lambda: _bench(markdown),
        }
    )


def _loaded() -> list[Persona]:
    return [persona.load(name) for name in persona.shipped()]


def _persona(who: Persona) -> tuple[str, str, str, str]:
    title = f"{who.identity['name']}, {who.identity['role']}, {who.identity['company']}"
    return f"`{who.name}`", title, _manner(who), ", ".join(phase.name for phase in who.phases)


def _manner(who: Persona) -> str:
    manner, usual = who.manner, Manner()
    said = [] if who.language == "en" else [f"speaks `{who.language}`"]
    if manner.sentences != usual.sentences:
        said.append(f"{manner.sentences[0]} to {manner.sentences[1]} sentences a line")
    if manner.interrupts:
        said.append(f"speaks into {manner.interrupts:.0%} of the answers")
    if manner.long_pause_every:
        often = english_ordinal(manner.long_pause_every)
        said.append(f"is silent for {manner.long_pause:g} s before every {often} line")
    if manner.pace != usual.pace:
        said.append(f"at {manner.pace:g} times the usual pace")
    if who.objections:
        said.append(f"{len(who.objections)} objections")
    return "; ".join(said) or "one sentence a line"


def _faults() -> Iterable[tuple[str, str, str]]:
    for (target, kind), knobs in faultplan.KNOBS.items():
        yield f"`{target}`", f"`{kind}`", ", ".join(_knob(name, knob) for name, knob in knobs.items())


def _knob(name: str, knob: Knob) -> str:
    what = f" ({' or '.join(f'`{word}`' for word in knob.words)})" if knob.words else ""
    return f"`{name}`{what}{'' if knob.required else ' (optional)'}"


def _checks() -> Iterable[tuple[str, str, str]]:
    for name, check in verdicts.CHECKS.items():
        yield f"`{name}`", check.title, f"{'at least' if check.least else 'at most'} {check.threshold:g}"


def _bench(markdown: Markdown) -> str:
    found = json.loads(RESULTS.read_text(encoding="utf-8"))
    return markdown(("what was measured", ""), found["rows"])

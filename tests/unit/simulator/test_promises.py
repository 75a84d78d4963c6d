"""What a fault plan promises: certainty does, chance does not, and what can never strike is told either way."""

from dataclasses import replace

import pytest

from filo.simulator.v1 import simulator_pb2 as pb
from services.simulator import faultplan, promises, spec
from services.simulator.faultplan import Fault, Plan, Target

CUT = Fault(Target.CLIENT, "cut", "wait", name="fault 1")


def told(fault: Fault) -> list[tuple[str, int, str]]:
    """Its promises in a run of 20 turns from discovery to demo."""
    return [(made.label, made.turn, made.never) for made in promises.of([fault], 20, ("discovery", "demo"))]


@pytest.mark.parametrize(
    ("when", "promised"),
    [
        ({"turns": (3, 9)}, [("fault 1, turn 3", 3, ""), ("fault 1, turn 9", 9, "")]),
        ({"turns": (3, 50)}, [("fault 1, turn 3", 3, "")]),
        ({"every": 8, "since": 2, "times": 2}, [("fault 1, turn 2", 2, ""), ("fault 1, turn 10", 10, "")]),
        ({"second": 4.0}, [("fault 1", 0, "")]),
        ({"phase": "demo"}, [("fault 1", 0, "")]),
        ({"turns": (3,), "chance": 0.5}, []),
        ({"second": 4.0, "chance": 0.5}, []),
        ({"turns": (50,), "chance": 0.0}, []),
    ],
)
def test_what_is_certain_is_promised(when: dict[str, object], promised: list[tuple[str, int, str]]) -> None:
    """Once for each of its turns in the run, once where it waits; what chance may bring is no promise."""
    assert told(replace(CUT, **when)) == promised  # type: ignore[arg-type]  # fields of a fault


@pytest.mark.parametrize(
    ("when", "why"),
    [
        ({"turns": (50, 60)}, "it is due in turn 50 at the earliest, and the run has 20"),
        ({"every": 5, "since": 30}, "it is due in turn 30 at the earliest, and the run has 20"),
        ({"turns": (50,), "chance": 0.1}, "it is due in turn 50 at the earliest, and the run has 20"),
        ({"phase": "bargaining"}, "the persona has no phase bargaining"),
    ],
)
def test_what_can_never_strike_is_a_broken_promise(when: dict[str, object], why: str) -> None:
    """With the reason; no run of that length and persona can keep it."""
    ((_, turn, never),) = told(replace(CUT, **when))  # type: ignore[arg-type]  # fields of a fault
    assert (turn, never) == (0, why)


def test_the_labels_are_those_under_which_faults_are_noted() -> None:
    """Every promise that can be kept is due under its label, in a shipped plan with cuts of the client's socket."""
    asked = pb.RunSpec(
        turns=14, fault_plan="both-sides", cut_client_at_turns=[3, 7], persona="enthusiastic", agent="ada"
    )
    cast = spec.read(asked)
    due = cast.schedule(asked)
    labels = {fault.label(turn) for turn, faults in due.turns.items() for fault in faults}
    labels |= {fault.label(0) for fault in (*due.seconds, *due.phases)}
    made = cast.promises(asked)
    assert {promise.label for promise in made} == labels
    assert len(made) == len(labels) == 7


def test_what_waits_for_a_second_or_a_phase_has_its_chance_too() -> None:
    """Drawn by the seed once a run: never at 0, always at 1, sometimes between."""
    waiting = (replace(CUT, second=1.0), replace(CUT, phase="demo"))
    for chance, least, most in ((0.0, 0, 0), (1.0, 80, 80), (0.5, 20, 60)):
        plan = Plan("p", tuple(replace(fault, chance=chance) for fault in waiting))
        drawn = [faultplan.schedule(plan, seed, 20) for seed in range(40)]
        assert least <= sum(len(due.seconds) + len(due.phases) for due in drawn) <= most

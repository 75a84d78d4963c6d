"""Fault plans say what is due when, by the seed alone; what cannot be used is told whole."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.emulator import faults as emulator
from services.simulator import chaos, faultplan
from services.simulator.documents import DocumentError
from services.simulator.faultplan import KNOBS, MOMENTS, PLACES, Fault, Plan, Target
from services.simulator.trouble import for_emulator


@pytest.mark.parametrize("name", faultplan.shipped())
def test_every_shipped_plan_can_be_used(name: str) -> None:
    """It loads under its own name, breaks something in a run of 14 turns, and the emulator takes its faults."""
    plan = faultplan.load(name)
    assert plan.name == name
    due = faultplan.schedule(plan, seed=1, turns=14)
    assert due.turns
    assert [fault.name for fault in plan.faults] == [f"fault {number + 1}" for number in range(len(plan.faults))]
    for fault in plan.faults:
        if fault.target is Target.EMULATOR:
            as_json = msgspec.json.encode(for_emulator(fault, "(training runs/1)", "fault 1"))
            (taken,) = emulator.read(as_json)
            assert (taken.instruction, taken.label) == ("(training runs/1)", "fault 1")


def test_the_emulators_moments_are_the_emulators() -> None:
    """The plan's words for them are exactly those that the emulator knows."""
    assert set(MOMENTS) == {str(moment) for moment in emulator.Moment}


def test_every_mistake_is_told_at_once() -> None:
    """All of them come in one error, each with its place."""
    text = """
    name: bad
    colour: red
    faults:
      - {at: moon, do: cut, when: speech, turn: 1}
      - {at: network, do: close, when: speech, turn: 1}
      - {at: network, do: stall, when: answered, turn: 0}
      - {at: emulator, do: close, when: answer, turn: 1, turns: [2], code: 99, from: 3}
      - {at: client, do: cut, when: speech}
      - {at: service, do: kill, when: speech, service: database, turn: 3, chance: 2, seconds: 3}
    """
    with pytest.raises(DocumentError) as raised:
        faultplan.parse(text, "mine.yaml")
    told = "\n".join(raised.value.lines)
    for expected in (
        "mine.yaml: colour: is not a field",
        "faults[0].at: must be one of emulator, network, client, service, not 'moon'",
        "faults[1].do: must be one of cut, refuse, stall, slow, not 'close'",
        "faults[2].when: must be one of pause, speech, wait, answer, not 'answered'",
        "faults[2].seconds: must be a number",
        "faults[3].turn: say when with exactly one of turn, turns, every, second and phase, not 2",
        "faults[3].code: must be a whole number from 1000 to 4999, not 99",
        "faults[3].from: says where 'every' begins",
        "faults[4].turn: say when with exactly one",
        "faults[5].service: must be one of relay, handles, emulator, simulator, not 'database'",
        "faults[5].chance: must be a number from 0 to 1, not 2",
        "faults[5].seconds: is not a field of this",
    ):
        assert expected in told


def test_a_schedule_follows_the_plan() -> None:
    """Turns, every so manieth, at most so often; what waits for a second or a phase waits."""
    cut = Fault(Target.CLIENT, "cut", "speech", turns=(3, 30))
    often = Fault(Target.NETWORK, "cut", "answer", every=4, since=2, times=3)
    later = Fault(Target.CLIENT, "cut", "wait", second=9.0)
    demo = Fault(Target.CLIENT, "cut", "wait", phase="demo")
    due = faultplan.schedule(Plan("p", (cut, often, later, demo)), seed=5, turns=20)
    assert {turn: list(faults) for turn, faults in due.turns.items()} == {
        2: [often], 3: [cut], 6: [often], 10: [often]
    }  # fmt: skip
    assert (due.seconds, due.phases) == ((later,), (demo,))
    assert due.targets == {Target.CLIENT, Target.NETWORK}


@given(seed=st.integers(0, 1000), chance=st.floats(0, 1))
def test_chance_is_drawn_by_the_seed(seed: int, chance: float) -> None:
    """The same seed gives the same schedule, a certain fault always strikes, an impossible one never."""
    plan = Plan("p", (Fault(Target.CLIENT, "cut", "speech", every=1, chance=chance),))
    due = faultplan.schedule(plan, seed, 40)
    assert due == faultplan.schedule(plan, seed, 40)
    assert chance > 0 or not due.turns
    assert chance < 1 or len(due.turns) == 40


@given(seed=st.integers(0, 1000), probability=st.floats(0, 1), turns=st.integers(1, 60))
def test_chaos_is_repeatable_and_leaves_the_ends_alone(seed: int, probability: float, turns: int) -> None:
    """The same seed draws the same faults; the first and the last turn are spared; no service is killed."""
    drawn = chaos.plan(probability, seed, turns)
    assert drawn == chaos.plan(probability, seed, turns)
    assert all(1 < turn < turns for fault in drawn.faults for turn in fault.turns)
    assert Target.SERVICE not in drawn.targets
    assert probability < 1 or len(drawn.faults) == max(0, turns - 2)


def test_chaos_draws_what_a_plan_may_hold() -> None:
    """Every kind in the catalogue is one of the contract, at a moment of its target, and comes up sooner or later."""
    for fault in chaos.CATALOGUE:
        assert (fault.target, fault.kind) in KNOBS
        assert fault.moment in (MOMENTS if fault.target is Target.EMULATOR else PLACES)
    drawn = chaos.plan(1.0, 1, 400).faults
    assert {(fault.target, fault.kind, fault.moment) for fault in drawn} == {
        (fault.target, fault.kind, fault.moment) for fault in chaos.CATALOGUE
    }

"""The prospect's script: facts early, questions after each cut, every fact asked for in the end, no line twice."""

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.emulator.brain import facts as emulator_facts
from services.emulator.context import Role, text_turn
from services.simulator import persona
from services.simulator.languages import english_ordinal as ordinal
from services.simulator.prospect import Line, Prospect

PERSONA = persona.load("enthusiastic")


def talk(turns: int, seed: int = 1, cuts: frozenset[int] | set[int] = frozenset()) -> list[Line]:
    """A whole run, with a connection replaced before each turn of `cuts`."""
    prospect = Prospect(PERSONA, seed, turns)
    so_far = accumulate(turn in cuts for turn in range(1, turns + 1))
    return [prospect.speak(disturbances) for disturbances in so_far]


def questions(lines: list[Line]) -> list[str]:
    """What is asked for, in order."""
    return [fact.phrase for line in lines for fact in line.asked]


def told(lines: list[Line]) -> list[str]:
    """What is told, in order."""
    return [fact.phrase for line in lines for fact in line.told]


@given(turns=st.integers(3, 120), seed=st.integers(-(2**63), 2**63 - 1), cuts=st.sets(st.integers(1, 120)))
def test_every_fact_told_is_asked_for_by_the_end(turns: int, seed: int, cuts: set[int]) -> None:
    """Whatever is cut and when: all facts of the run are told once, before they are asked for, and none is left out."""
    lines = talk(turns, seed, cuts)
    facts = [fact.phrase for fact in Prospect(PERSONA, seed, turns).facts]
    assert told(lines) == facts
    assert set(questions(lines)) == set(facts)
    for at, line in enumerate(lines):
        assert set(questions([line])) <= set(told(lines[:at]))


@given(turns=st.integers(3, 400), seed=st.integers(0, 1000), cuts=st.sets(st.integers(1, 400)))
def test_no_line_is_said_twice(turns: int, seed: int, cuts: set[int]) -> None:
    """A turn can be found by its text, in any run."""
    lines = [line.text for line in talk(turns, seed, cuts)]
    assert len(set(lines)) == turns


def test_the_longest_run_has_no_line_twice() -> None:
    """10,000 turns with a cut every seventh."""
    lines = talk(10_000, cuts=set(range(1, 10_001, 7)))
    assert len({line.text for line in lines}) == 10_000
    assert [lines[0].phase, lines[-1].phase] == ["discovery", "demo"]


@given(seed=st.integers(0, 100), cuts=st.sets(st.integers(12, 48)))
def test_a_question_follows_each_cut(seed: int, cuts: set[int]) -> None:
    """Once facts are told and while there are turns to spare, the very next line after a cut asks for one."""
    lines = talk(80, seed, cuts)
    for cut in cuts:
        assert questions([lines[cut - 1]]), lines[cut - 1]


@given(seed=st.integers(0, 100), cuts=st.lists(st.integers(0, 2), min_size=40, max_size=40), at=st.integers(1, 39))
def test_whoever_takes_over_says_what_the_first_would_have(seed: int, cuts: list[int], at: int) -> None:
    """A cut may come between the choice of a line and its first word: in its turn's count, but no reason for it."""
    first, second = Prospect(PERSONA, seed, 40), Prospect(PERSONA, seed, 40)
    chosen_at = list(accumulate(cuts))
    lines = [first.speak(disturbances) for disturbances in chosen_at[:at]]
    counted = chosen_at[1 : at + 1]
    said = zip(counted, lines, strict=True)
    assert [second.speak(disturbances, asks=bool(line.asked)) for disturbances, line in said] == lines
    afterwards = [disturbances + 100 for disturbances in chosen_at[at:]]
    assert [second.speak(disturbances) for disturbances in afterwards] == [first.speak(more) for more in afterwards]


def test_questions_go_round() -> None:
    """The fact asked for least often is asked for next: with enough cuts, each is asked for equally often."""
    lines = talk(200, cuts=set(range(21, 121)))
    asked = questions(lines)
    assert {asked.count(phrase) for phrase in set(asked)} == {10}


def test_the_same_seed_says_the_same_and_another_does_not() -> None:
    """Deterministic by seed."""
    assert talk(40, seed=5, cuts={9, 17}) == talk(40, seed=5, cuts={9, 17})
    assert talk(40, seed=5) != talk(40, seed=6)


@pytest.mark.parametrize("turns", [1, 2, 3, 10_000])
def test_the_shortest_and_the_longest_run_are_possible(turns: int) -> None:
    """Every length of the contract works; a single turn tells a fact and asks for none."""
    lines = talk(turns)
    assert len(lines) == turns
    assert len(told(lines)) >= 1


def test_the_agent_learns_exactly_what_is_told() -> None:
    """By the emulator's own ears: nothing but the facts looks like a fact, in any line of a long run."""
    lines = talk(600, cuts=set(range(30, 600, 5)))
    prospect = Prospect(PERSONA, 1, 600)
    learnt = emulator_facts([text_turn(Role.USER, line.text) for line in lines])
    assert learnt == {fact.phrase: fact.value for fact in prospect.facts}


def test_ordinals() -> None:
    """English, the teens included."""
    assert [ordinal(n) for n in (1, 2, 3, 4, 11, 12, 13, 21, 112)] == (
        ["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "112th"]
    )

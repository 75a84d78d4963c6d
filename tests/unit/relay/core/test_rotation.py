"""When an upstream is replaced, and how often it may be dialled."""

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.relay.core.model import Policy, RotationReason
from services.relay.core.rotation import (
    OPTIONAL,
    DialBudget,
    RotationDue,
    Successor,
    due_by_age,
    due_by_goaway,
    oldest,
    wanted_when_cut,
)
from services.relay.core.turns import Stage

DUE = RotationDue(RotationReason.GO_AWAY, soon=10.0, latest=20.0)


@pytest.mark.parametrize(
    ("now", "stage", "tool_pending", "covered", "begins"),
    [
        (0.0, Stage.QUIET, False, True, True),
        (0.0, Stage.QUIET, True, True, False),
        (0.0, Stage.QUIET, False, False, False),
        (9.9, Stage.LISTENING, False, True, False),
        (10.0, Stage.LISTENING, False, True, True),
        (10.0, Stage.LISTENING, False, False, False),
        (10.0, Stage.LISTENING, True, True, False),
        (0.0, Stage.ANSWERING, False, True, False),
        (19.9, Stage.ANSWERING, False, True, False),
        (20.0, Stage.ANSWERING, True, False, True),
        (20.0, Stage.LISTENING, False, False, True),
        (99.0, Stage.QUIET, True, False, True),
    ],
)
def test_the_moment(now: float, stage: Stage, tool_pending: bool, covered: bool, begins: bool) -> None:  # noqa: FBT001
    """Between turns at once, into speech from `soon` on, both only covered and with no tool pending; at last always."""
    assert DUE.may_begin(now, stage, tool_pending=tool_pending, covered=covered) is begins


@pytest.mark.parametrize(
    ("time_left", "soon", "latest"),
    [(60.0, 129.5, 159.0), (2.5, 100.75, 101.5), (1.0, 100.0, 100.0), (0.0, 100.0, 100.0), (None, 102.0, 104.0)],
)
def test_goaway_sets_the_time(time_left: float | None, soon: float, latest: float) -> None:
    """It waits for the time left but a margin; where Gemini does not say, for the assumed time."""
    policy = Policy(goaway_margin=1.0, goaway_unknown=5.0)
    assert due_by_goaway(100.0, time_left, policy) == RotationDue(RotationReason.GO_AWAY, soon, latest)


def test_age_sets_the_time() -> None:
    """An old connection waits for the policy's patience."""
    assert due_by_age(100.0, Policy(age_patience=60.0)) == RotationDue(RotationReason.AGE, 130.0, 160.0)


def test_the_first_dial_is_at_once_then_the_wait_doubles() -> None:
    """0, then the base, doubling up to the cap."""
    budget = DialBudget(Policy(retry_base=0.25, retry_cap=1.5, dials_a_drop=9))
    assert [budget.dial(planned=False) for _ in range(6)] == [0.0, 0.25, 0.5, 1.0, 1.5, 1.5]


def test_progress_begins_a_new_drop() -> None:
    """A connection that proved itself makes the next loss a first one; the life is counted on."""
    budget = DialBudget(Policy(retry_base=0.25, dials_a_drop=2, dials_a_life=3))
    for _ in range(2):
        budget.dial(planned=False)
    assert budget.spent
    budget.progress()
    assert not budget.spent
    assert budget.dial(planned=False) == 0.0
    budget.progress()
    assert budget.spent


def test_planned_dials_cost_nothing_of_the_life() -> None:
    """A conversation may be rotated for ever, as long as each connection is good for something."""
    budget = DialBudget(Policy(dials_a_drop=2, dials_a_life=1))
    for _ in range(1000):
        assert budget.dial(planned=True) == 0.0
        budget.progress()
    assert not budget.spent


def test_planned_dials_without_progress_wait_and_end() -> None:
    """A connection that is replaced again and again without being good for anything is given up."""
    budget = DialBudget(Policy(retry_base=0.25, dials_a_drop=3))
    assert [budget.dial(planned=True) for _ in range(3)] == [0.0, 0.25, 0.5]
    assert budget.spent


@example(waits=[False] * 5000)
@given(st.lists(st.booleans(), max_size=60))
def test_waits_are_bounded(waits: list[bool]) -> None:
    """However long it goes on, the wait is between 0 and the cap, and never shrinks within a drop."""
    budget = DialBudget(Policy(retry_base=0.25, retry_cap=8.0, dials_a_drop=10**6, dials_a_life=10**6))
    bounds = [budget.dial(planned=planned) for planned in waits]
    assert all(0.0 <= bound <= 8.0 for bound in bounds)
    assert bounds == sorted(bounds)
    assert all(bound > 0 for bound in bounds[1:])


@pytest.mark.parametrize(("now", "begins"), [(0.0, False), (9.9, False), (10.0, True), (20.0, True)])
def test_the_next_connection_is_waited_for_half_the_time(now: float, begins: bool) -> None:  # noqa: FBT001
    """A rotation between two turns waits until the next connection stands ready, but only up to `soon`."""
    asked = Successor.ASKED
    assert DUE.may_begin(now, Stage.QUIET, tool_pending=False, covered=True, successor=asked) is begins


@pytest.mark.parametrize("successor", [Successor.ASKED, Successor.REFUSED])
@pytest.mark.parametrize("reason", sorted(OPTIONAL))
@pytest.mark.parametrize("now", [0.0, 10.0, 20.0, 1000.0])
def test_an_old_connection_that_works_is_kept_until_another_stands_ready(
    now: float, reason: RotationReason, successor: Successor
) -> None:
    """Nothing forces the relay to replace it; it does so as soon as it can."""
    due = RotationDue(reason, soon=10.0, latest=20.0)
    assert not due.may_begin(now, Stage.QUIET, tool_pending=False, covered=True, successor=successor)
    assert due.may_begin(now, Stage.QUIET, tool_pending=False, covered=True, successor=Successor.PREPARED)


@pytest.mark.parametrize(("now", "begins"), [(0.0, False), (10.0, False), (19.9, False), (20.0, True)])
def test_one_that_will_end_is_used_to_its_end_while_no_other_can_be_had(now: float, begins: bool) -> None:  # noqa: FBT001
    """No good moment is good enough to have none at all."""
    refused = Successor.REFUSED
    assert DUE.may_begin(now, Stage.QUIET, tool_pending=False, covered=True, successor=refused) is begins
    assert DUE.may_begin(now, Stage.LISTENING, tool_pending=False, covered=True, successor=refused) is begins


@pytest.mark.parametrize(
    ("due", "stage", "wanted"),
    [
        (DUE, Stage.QUIET, 20.0),
        (DUE, Stage.LISTENING, 10.0),
        (DUE, Stage.ANSWERING, 10.0),
        (RotationDue(RotationReason.REBASE, math.inf, math.inf), Stage.QUIET, 60.0),
    ],
)
def test_by_when_the_next_connection_is_wanted(due: RotationDue, stage: Stage, wanted: float) -> None:
    """Before time is up; where somebody speaks, by the moment that would do; where nothing hurries, in a minute."""
    assert due.wanted_by(0.0, stage) == wanted


def test_no_connection_is_wanted_before_now() -> None:
    """Time was up already: a connection that could not be had is asked for again."""
    assert DUE.wanted_by(25.0, Stage.QUIET) == 25.0


def test_whoever_has_no_connection_is_in_a_hurry() -> None:
    """Most of all where somebody speaks, or waits for an answer; even the idle one before any that can wait."""
    wanted = [wanted_when_cut(5.0, stage) for stage in (Stage.ANSWERING, Stage.LISTENING, Stage.QUIET)]
    assert wanted == [5.0, 5.0, 6.0]


@pytest.mark.parametrize(
    ("max_age", "place", "age"),
    [
        (540.0, 0.0, 540.0),
        (540.0, 0.5, 480.0),
        (540.0, 1.0, 420.0),
        (100.0, 1.0, 75.0),
        (3.2, 1.0, 3.0),
        (2.0, 1.0, 2.0),
        (0.0, 0.7, 0.0),
    ],
)
def test_conversations_that_began_together_grow_old_apart(max_age: float, place: float, age: float) -> None:
    """Each has an age of its own: never more than the setting, never too short to be stable."""
    assert oldest(place, Policy(max_age=max_age, age_spread=120.0, stable_after=3.0)) == pytest.approx(age)


def test_what_was_not_geminis_fault_costs_nothing() -> None:
    """But the waits grow: whoever is late is not helped by more dials."""
    budget = DialBudget(Policy(retry_base=0.25, retry_cap=1.5, dials_a_drop=3, dials_a_life=4))
    waits = []
    for _ in range(6):
        waits.append(budget.dial(planned=False))
        budget.forgive()
    assert waits == [0.0, 0.25, 0.5, 1.0, 1.5, 1.5]
    assert not budget.spent
    for _ in range(3):
        assert not budget.spent
        budget.dial(planned=True)
    assert budget.spent
    budget.progress()
    assert budget.dial(planned=True) == 0.0

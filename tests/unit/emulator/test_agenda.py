"""An agenda gives its steps in order of time, then of planning, and forgets what is cancelled."""

from hypothesis import given
from hypothesis import strategies as st

from services.emulator.agenda import Agenda


@given(planned=st.lists(st.tuples(st.integers(0, 5), st.sampled_from("abc")), max_size=30))
def test_steps_come_in_order(planned: list[tuple[int, str]]) -> None:
    """Sorted by time, in the order of planning where the time is the same, without the cancelled group."""
    agenda: Agenda[int] = Agenda()
    for number, (due, group) in enumerate(planned):
        agenda.at(due, number, group)
    assert agenda.cancel("b") == [number for _, number in ordered(planned, "b")]
    assert agenda.cancel("b") == []
    came = []
    while (step := agenda.pop(9)) is not None:
        came.append(step)
    assert came == [*sorted(ordered(planned, "a") + ordered(planned, "c"))]
    assert agenda.due is None


def ordered(planned: list[tuple[int, str]], group: str) -> list[tuple[float, int]]:
    """The steps of a group as (time, number), in order."""
    return sorted((due, number) for number, (due, name) in enumerate(planned) if name == group)


def test_what_is_not_due_stays() -> None:
    """Nothing comes early."""
    agenda: Agenda[str] = Agenda()
    agenda.at(2.0, "later")
    assert agenda.pop(1.9) is None
    assert agenda.due == 2.0
    assert agenda.pop(2.0) == (2.0, "later")

"""The tables that decide cannot be wrong in one row without a unit test that says so."""

from services.relay.core import states
from tools import mutations
from tools.mutations import Mutation


def test_every_mutation_of_every_row_is_caught() -> None:
    """Whatever one changes in one row, a test of the table fails."""
    found = list(mutations.every())
    assert len(found) > 100
    assert [f"{m.table} {m.row}: {m.change}" for m in found if mutations.caught_by(m) is None] == []


def test_a_table_that_is_right_fails_no_test() -> None:
    """What catches a mutation is the mutation."""
    seen: dict[str, Mutation] = {mutation.tests: mutation for mutation in mutations.every()}
    for mutation in seen.values():
        right = getattr(mutation.module, mutation.table)
        same = Mutation(mutation.module, mutation.table, "", "", right, mutation.tests)
        assert mutations.caught_by(same) is None


def test_the_table_is_as_it_was_afterwards() -> None:
    """A mutation is gone when it has been tried."""
    before = states.TRANSITIONS
    mutations.caught_by(next(mutations.every()))
    assert states.TRANSITIONS is before

"""Tokens by category."""

from hypothesis import given
from hypothesis import strategies as st

from services.relay.core.ledger import Ledger
from services.relay.core.model import Usage


def counts(ledger: Ledger) -> tuple[int, int, int, int, int]:
    """Context, billed, instruction, user, model."""
    return ledger.context, ledger.billed, ledger.instruction, ledger.user, ledger.model


USAGES = st.builds(Usage, st.integers(0, 10**6), st.integers(0, 10**5))


def test_the_first_prompt_is_instruction_and_user() -> None:
    """The instruction's share is estimated from its length, the rest is what the client said."""
    assert counts(Ledger().count(Usage(120, 30), 400)) == (150, 150, 100, 20, 30)


def test_an_instruction_longer_than_the_prompt() -> None:
    """The estimate is only an estimate: never more than the prompt."""
    assert counts(Ledger().count(Usage(50, 5), 4000)) == (55, 55, 50, 0, 5)


def test_later_prompts_grow_by_what_the_user_said() -> None:
    """What the prompt grew by, less the last answer, is the user's; every prompt is billed whole."""
    first = Ledger().count(Usage(120, 30), 400)
    assert counts(first.count(Usage(190, 10), 400)) == (200, 350, 100, 60, 40)


def test_a_shrunk_prompt_shrinks_the_talk_in_proportion() -> None:
    """Compression takes from user and model alike; the instruction stays."""
    before = Ledger(context=1000, billed=1000, instruction=100, user=600, model=300)
    assert counts(before.count(Usage(400, 20), 400)) == (420, 1420, 100, 200, 120)


def test_a_prompt_smaller_than_the_instruction() -> None:
    """Then the estimate was wrong, and there is no talk in it."""
    before = Ledger(context=1000, billed=0, instruction=500, user=300, model=200)
    assert counts(before.count(Usage(200, 10), 2000)) == (210, 210, 200, 0, 10)


def test_a_shrunk_prompt_without_talk() -> None:
    """Nothing to share out: what is beyond the instruction is the user's."""
    before = Ledger(context=100, billed=100, instruction=100)
    assert counts(before.count(Usage(90, 5), 400)) == (95, 195, 90, 0, 5)


@given(st.lists(USAGES, min_size=1, max_size=20), st.integers(0, 100_000))
def test_categories_add_up(usages: list[Usage], instruction_characters: int) -> None:
    """The categories are the context, none is negative, and every prompt and answer is billed once."""
    ledger = Ledger()
    for usage in usages:
        ledger = ledger.count(usage, instruction_characters)
        assert ledger.context == usage.prompt + usage.response
        assert ledger.instruction + ledger.user + ledger.model == ledger.context
        assert min(ledger.instruction, ledger.user, ledger.model) >= 0
    assert ledger.billed == sum(usage.prompt + usage.response for usage in usages)

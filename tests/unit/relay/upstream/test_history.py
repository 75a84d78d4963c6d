"""What a connection without a handle is told of the transcript."""

from collections.abc import AsyncIterator

from services.relay.core import effects as do
from services.relay.core.model import Told, Turn
from services.relay.upstream.history import Budget, History, cost


def turn(number: int, length: int = 40) -> Turn:
    """A turn of so many characters on each side."""
    return Turn(number, "u" * length, "a" * length)


class Transcript:
    """A store of turns that notes from where it was asked."""

    def __init__(self, *turns: Turn) -> None:
        self.turns = turns
        self.asked: list[int] = []

    async def after(self, number: int) -> AsyncIterator[Turn]:
        """The turns after one."""
        self.asked.append(number)
        for stored in self.turns:
            if stored.number > number:
                yield stored


async def numbers(history: History, effect: do.OpenUpstream) -> tuple[list[int], Told]:
    """The turns that are sent, and what is told of them."""
    turns, told = await history.content(effect)
    return [turn.number for turn in turns], told


async def test_without_a_budget_all_is_told() -> None:
    """The stored turns up to the asked one, then those that the store does not have."""
    transcript = Transcript(turn(1), turn(2), turn(3))
    effect = do.OpenUpstream(None, 2, (turn(3),), 0.0)
    assert await numbers(History(transcript.after), effect) == ([1, 2, 3], Told(120, 120, 3, 0))


async def test_a_handle_is_told_what_it_does_not_cover() -> None:
    """Whatever the budget is: the turns are few, and nobody else knows them."""
    transcript = Transcript(turn(1))
    effect = do.OpenUpstream("h1", 0, (turn(8), turn(9)), 0.0)
    assert await numbers(History(transcript.after), effect) == ([8, 9], Told(80, 80, 2, 0))
    assert transcript.asked == []


async def test_the_budget_drops_the_oldest() -> None:
    """And does not ask for them again."""
    transcript = Transcript(*(turn(number) for number in range(1, 11)))
    history = History(transcript.after)
    effect = do.OpenUpstream(None, 9, (turn(10),), 0.0, history_budget=60)
    assert await numbers(history, effect) == ([8, 9, 10], Told(120, 120, 3, 7))
    assert await numbers(history, effect) == ([8, 9, 10], Told(120, 120, 3, 7))
    assert transcript.asked == [0, 7]


async def test_turns_without_a_word_are_not_sent() -> None:
    """Content must not be empty."""
    effect = do.OpenUpstream(None, 0, (Turn(1, "", ""), turn(2)), 0.0)
    assert await numbers(History(Transcript().after), effect) == ([2], Told(40, 40, 1, 0))


def test_the_newest_turn_is_always_told() -> None:
    """However small the budget."""
    budget = Budget(1)
    for number in (1, 2):
        budget.add(turn(number))
    assert ([kept.number for kept in budget.kept], budget.left_out) == ([2], 1)
    assert cost(turn(1)) == 20

"""What a connection without a handle is told of the transcript."""

from collections.abc import AsyncIterator
from dataclasses import replace

from services.relay.core import effects as do
from services.relay.core.model import Told, Turn
from services.relay.core.pieces import text_tokens
from services.relay.upstream.history import Budget, History, cost
from services.relay.upstream.summaries import MARK, SummaryError, prompt


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
    assert await numbers(History(transcript.after), effect) == ([1, 2, 3], Told(30, 30, 3, 0))


async def test_a_handle_is_told_what_it_does_not_cover() -> None:
    """Whatever the budget is: the turns are few, and nobody else knows them."""
    transcript = Transcript(turn(1))
    effect = do.OpenUpstream("h1", 0, (turn(8), turn(9)), 0.0)
    assert await numbers(History(transcript.after), effect) == ([8, 9], Told(20, 20, 2, 0))
    assert transcript.asked == []


async def test_the_budget_drops_the_oldest() -> None:
    """And does not ask for them again."""
    transcript = Transcript(*(turn(number) for number in range(1, 11)))
    history = History(transcript.after)
    effect = do.OpenUpstream(None, 9, (turn(10),), 0.0, history_budget=60)
    assert await numbers(history, effect) == ([8, 9, 10], Told(30, 30, 3, 7))
    assert await numbers(history, effect) == ([8, 9, 10], Told(30, 30, 3, 7))
    assert transcript.asked == [0, 7]


async def test_turns_without_a_word_are_not_sent() -> None:
    """Content must not be empty."""
    effect = do.OpenUpstream(None, 0, (Turn(1, "", ""), turn(2)), 0.0)
    assert await numbers(History(Transcript().after), effect) == ([2], Told(10, 10, 1, 0))


def test_the_newest_turn_is_always_told() -> None:
    """However small the budget."""
    budget = Budget(1)
    assert [len(budget.add(turn(number))) for number in (1, 2)] == [0, 1]
    assert [kept.number for kept in budget.kept] == [2]
    assert cost(turn(1)) == 20


class Model:
    """A text model that notes what it was asked, and repeats it in short."""

    def __init__(self, *, broken: bool = False) -> None:
        self.asked: list[str] = []
        self.broken = broken

    async def ask(self, words: str) -> str:
        """The numbers of the turns, as far as their words tell."""
        self.asked.append(words)
        if self.broken:
            raise SummaryError("it said nothing")
        return f"summary {len(self.asked)}"


def numbered(count: int) -> list[Turn]:
    """Turns of ten tokens, each with words of its own."""
    return [Turn(number, f"question {number:02}".ljust(20, "."), "a" * 20) for number in range(1, count + 1)]


REBUILD = do.OpenUpstream(None, 10, (), 0.0, history_budget=30)


async def test_what_is_left_out_is_summarised() -> None:
    """Once each: the summary grows by what the next turns add to it."""
    transcript, model = Transcript(*numbered(10)), Model()
    history = History(transcript.after, 30, model.ask)
    await history.prepare()
    (asked,) = model.asked
    assert "question 01" in asked
    assert "question 07" in asked
    assert "question 08" not in asked
    turns, told = await history.content(REBUILD)
    assert [turn.number for turn in turns] == [0, 8, 9, 10]
    assert turns[0].user_text == f"{MARK} summary 1"
    assert told == Told(15 + text_tokens(len(turns[0].user_text)), 15, 4, 7)
    await history.prepare()
    assert len(model.asked) == 1, "there is nothing new"
    transcript.turns = tuple(numbered(12))
    await history.prepare()
    assert model.asked[1].startswith("So far: summary 1")
    assert "question 07" not in model.asked[1]
    assert "question 09" in model.asked[1]


async def test_what_is_not_summarised_yet_is_told_in_full() -> None:
    """The budget waits for the summary, not the talk."""
    transcript, model = Transcript(*numbered(6)), Model()
    history = History(transcript.after, 30, model.ask)
    await history.prepare()
    transcript.turns = tuple(numbered(10))
    turns, _ = await history.content(REBUILD)
    assert [turn.number for turn in turns] == [0, 4, 5, 6, 7, 8, 9, 10]


async def test_a_rebuild_that_nobody_expected_is_summarised_first() -> None:
    """The connection was lost, and nothing was prepared."""
    model = Model()
    history = History(Transcript(*numbered(10)).after, 30, model.ask)
    turns, _ = await history.content(REBUILD)
    assert [turn.number for turn in turns] == [0, 8, 9, 10]


async def test_a_model_that_gives_no_summary() -> None:
    """Then the turns are dropped, as without one."""
    history = History(Transcript(*numbered(10)).after, 30, Model(broken=True).ask)
    await history.prepare()
    turns, told = await history.content(REBUILD)
    assert ([turn.number for turn in turns], told.left_out) == ([8, 9, 10], 7)


async def test_a_model_that_comes_back_is_asked_again() -> None:
    """What it failed to summarise is in the next summary, and until then it holds nothing up."""
    transcript, model = Transcript(*numbered(10)), Model(broken=True)
    history = History(transcript.after, 30, model.ask)
    turns, _ = await history.content(REBUILD)
    assert [turn.number for turn in turns] == [8, 9, 10]
    await history.content(REBUILD)
    assert len(model.asked) == 1, "a rebuild waits for it once"
    model.broken = False
    transcript.turns = tuple(numbered(11))
    await history.prepare()
    assert "question 01" in model.asked[1]
    assert "question 08" in model.asked[1]
    turns, _ = await history.content(replace(REBUILD, history_through=11))
    assert [turn.number for turn in turns] == [0, 9, 10, 11]


async def test_nothing_is_asked_where_nothing_is_left_out() -> None:
    """Without a budget, or within it."""
    model = Model()
    for budget in (0, 1000):
        await History(Transcript(*numbered(10)).after, budget, model.ask).prepare()
    await History(Transcript(*numbered(10)).after, 30).prepare()
    assert model.asked == []


def test_what_the_model_is_asked() -> None:
    """Who said what, and what was said before; turns without a word are passed over."""
    turns = [Turn(1, "Hello", "Hi."), Turn(2, "", "Still there?")]
    assert prompt("", turns) == "Client: Hello\nAgent: Hi.\nAgent: Still there?"
    assert prompt("They met.", turns[:1]).startswith("So far: They met.\nClient: Hello")

"""The log against a plain list."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from services.relay.log import Log

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 9)),
        st.tuples(st.just("thin"), st.integers(0, 60)),
        st.tuples(st.just("forget"), st.integers(0, 60)),
        st.tuples(st.just("trim"), st.integers(0, 60), st.none() | st.integers(-1, 60)),
    ),
    max_size=60,
)


class Model:
    """What the log means: every position ever given, with its item while it is held."""

    def __init__(self) -> None:
        self.held: dict[int, tuple[str | bytes, int]] = {}
        self.last = 0

    def append(self, weight: int) -> str | bytes:
        """Hold another item: expendable, bytes, if its weight is odd."""
        self.last += 1
        item: str | bytes = b"%d" % self.last if weight % 2 else f"i{self.last}"
        self.held[self.last] = (item, weight)
        return item

    def forget(self, through: int) -> None:
        """Hold nothing up to this."""
        self.held = {position: entry for position, entry in self.held.items() if position > through}

    def trim(self, heaviest: int, through: int | None) -> int:
        """Drop the oldest with a weight while it is too heavy."""
        dropped = 0
        for position in sorted(self.held):
            if self.weight <= heaviest or (through is not None and position > through):
                break
            if self.held[position][1]:
                del self.held[position]
                dropped += 1
        return dropped

    def thin(self, heaviest: int) -> int:
        """Drop the oldest expendable while it is too heavy."""
        dropped = 0
        for position in [at for at, (item, _) in sorted(self.held.items()) if isinstance(item, bytes)]:
            if self.weight <= heaviest:
                break
            del self.held[position]
            dropped += 1
        return dropped

    @property
    def weight(self) -> int:
        """All of it."""
        return sum(weight for _, weight in self.held.values())


@given(STEPS)
def test_it_is_a_list_with_positions(steps: list[tuple[str, int] | tuple[str, int, int | None]]) -> None:
    """Whatever is done to it, it holds what the model holds, in order, at the same positions."""
    log: Log[str | bytes] = Log(expendable=bytes)
    model = Model()
    for step in steps:
        match step:
            case ("append", int(weight)):
                assert log.append(model.append(weight), weight) == model.last
            case ("thin", int(heaviest)):
                assert log.thin(heaviest) == model.thin(heaviest)
            case ("forget", int(through)):
                model.forget(through)
                log.forget(through)
            case ("trim", int(heaviest), through):
                assert log.trim(heaviest, through) == model.trim(heaviest, through)
        assert (log.last, log.weight) == (model.last, model.weight)
        for place in range(-1, model.last + 2):
            position = min((held for held in model.held if held > place), default=None)
            expected = None if position is None else (position, model.held[position][0])
            assert log.after(place) == expected
            later = [(at, item) for at, (item, _) in sorted(model.held.items()) if at > place]
            assert list(log.items(place)) == later


def test_what_has_no_weight_is_never_trimmed() -> None:
    """A typed word among audio stays, with its position."""
    log: Log[str] = Log()
    log.append("audio", 10)
    log.append("word")
    log.append("audio", 10)
    assert log.trim(0) == 2
    assert log.after(0) == (2, "word")
    assert log.after(2) is None
    assert log.last == 3


async def test_a_waiter_is_woken() -> None:
    """By whoever says so; an item alone wakes nobody, for it may be passed on at once."""
    log: Log[str] = Log()
    waiting = asyncio.create_task(log.wait())
    await asyncio.sleep(0)
    log.append("item")
    await asyncio.sleep(0)
    assert not waiting.done()
    log.wake()
    await asyncio.wait_for(waiting, 1.0)

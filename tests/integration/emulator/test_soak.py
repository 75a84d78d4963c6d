"""Short versions of the soak; the long one is `make soak-emulator`."""

from tests.soak.emulator.soak import growth, soak
from tests.soak.emulator.waves import waves


async def test_many_conversations_at_once() -> None:
    """Thirty conversations, resumed after each turn: no error, no frame lost, one greeting each, little memory."""
    result = await soak(30, 3.0, speed=10.0, lifetime=60.0, stay=1)
    assert result.failures == []
    assert result.turns >= 90
    assert result.resumes >= 60
    assert result.footprint < 2_048


async def test_a_conversation_that_goes_on_stops_growing() -> None:
    """However often it is resumed: after some turns it takes no more blocks of Python's memory than before."""
    result = await growth(4, 36.0)
    assert result.steady, result
    assert result.failures == []


async def test_no_conversation_leaves_memory_behind() -> None:
    """Waves of conversations come and go: from the second wave to the last the emulator grows by next to nothing.

    Even if only the record of a conversation stayed behind, that would be some two hundred blocks of Python's.
    """
    result = await waves(5, 20, speed=20.0)
    assert result.failures == []
    assert (result.turns, result.resumes) == (300, 200)
    assert result.growth < 64

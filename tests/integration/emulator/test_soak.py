"""Short versions of the soak; the long one is `make soak-emulator`."""

from tests.soak.emulator.soak import soak
from tests.soak.emulator.waves import waves


async def test_many_conversations_at_once() -> None:
    """Thirty conversations, resumed after each turn: no error, no frame lost, one greeting each, little memory."""
    result = await soak(30, 3.0, speed=10.0, lifetime=60.0, stay=1)
    assert result.errors == []
    assert result.turns >= 90
    assert result.resumes >= 60
    assert result.lost == 0
    assert result.greetings == 30
    assert result.footprint < 2_048


async def test_no_conversation_leaves_memory_behind() -> None:
    """Waves of conversations come and go: from the second wave to the last the emulator grows by next to nothing.

    Even if only the record of a conversation stayed behind, that would be some two hundred blocks of Python's.
    """
    result = await waves(5, 20, speed=20.0)
    assert result.errors == []
    assert (result.turns, result.resumes) == (300, 200)
    assert abs(result.objects) < 50
    assert result.growth < 64

"""A short version of the soak; the long one is `python -m tests.soak.emulator.soak`."""

from tests.soak.emulator.soak import soak


async def test_many_conversations_at_once() -> None:
    """Forty conversations, resumed again and again: no error, no frame lost, one greeting each, no growth."""
    result = await soak(40, 5.0, speed=5.0, lifetime=2.0)
    assert result.errors == []
    assert result.turns >= 40
    assert result.resumes >= 40
    assert result.lost == 0
    assert result.greetings == 40
    assert result.growth < 256

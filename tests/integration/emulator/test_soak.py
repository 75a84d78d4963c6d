"""A short version of the soak; the long one is `python -m tests.soak.emulator.soak`."""

from tests.soak.emulator.soak import soak


async def test_many_conversations_at_once() -> None:
    """Thirty conversations, resumed after each turn: no error, no frame lost, one greeting each, little memory."""
    result = await soak(30, 3.0, speed=10.0, lifetime=60.0, stay=1)
    assert result.errors == []
    assert result.turns >= 90
    assert result.resumes >= 60
    assert result.lost == 0
    assert result.greetings == 30
    assert (
        result.footprint < 2_048
    )  # where a machine is slow, some still connect in the second half: growth needs the soak

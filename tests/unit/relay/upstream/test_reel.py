"""The replay buffer's memory against a plain list."""

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from services.relay.client.speech import Sound
from services.relay.upstream.reel import OVERHEAD, WRITTEN_OVERHEAD, Input, Reel

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("speak"), st.integers(1, 60)),
        st.tuples(st.just("write"), st.integers(1, 3)),
        st.tuples(st.just("forget"), st.integers(0, 300)),
        st.tuples(st.just("trim"), st.integers(0, 60 * (OVERHEAD + 6))),
    ),
    max_size=40,
)


def an_input(position: int, *, is_audio: bool) -> Input:
    """One that can be told apart; sizes, numbers and sounds differ."""
    sound = list(Sound)[position % 3] if is_audio else Sound.FAINT
    return Input(2 * position, position.to_bytes(4, "little") * (position % 4), is_audio, sound)


@given(STEPS)
def test_it_is_a_list_with_positions(steps: list[tuple[str, int]]) -> None:
    """Whatever is done to it, it holds what a list would hold, at the same positions; only audio is trimmed."""
    reel = Reel()
    model: dict[int, Input] = {}
    for what, number in steps:
        match what:
            case "speak" | "write":
                for _ in range(number):
                    item = an_input(reel.last + 1, is_audio=what == "speak")
                    model[reel.append(item)] = item
            case "forget":
                reel.forget(number)
                model = {position: item for position, item in model.items() if position > number}
            case _:
                dropped = 0
                for position in [at for at, item in model.items() if item.is_audio]:
                    if sum(item.weight for item in model.values()) > number:
                        del model[position]
                        dropped += 1
                assert reel.trim(number) == dropped
        assert reel.weight == sum(item.weight for item in model.values())
        written = [len(item.payload) for item in model.values() if not item.is_audio]
        assert reel.written == sum(written) + len(written) * WRITTEN_OVERHEAD
        for after in (0, number, reel.last // 2, reel.last - 1, reel.last):
            held = [(position, item) for position, item in model.items() if position > after]
            assert list(reel.items(after)) == held
            assert reel.after(after) == (held[0] if held else None)


def test_a_frame_costs_little_more_than_its_bytes() -> None:
    """A twelfth; each for itself, as Python keeps objects, would be a third."""
    reel, count, size = Reel(), 1_000, 640
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(count):
            reel.append(Input(1_000_000 + number, bytes([number % 256]) * size, is_audio=True, sound=Sound.VOICE))
        spent = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert spent / count < size * 13 / 12, f"{spent / count:.0f} bytes a frame"
    reel.forget(count)
    assert reel.weight == 0
    assert reel.after(0) is None


@given(st.lists(st.integers(0, 200), max_size=4), st.integers(0, 400), st.integers(0, 60 * (OVERHEAD + 4)))
def test_silence_at_the_beginning_goes_in_whole_pieces(runs: list[int], through: int, kept: int) -> None:
    """Only what it begins with, only up to a position, only what is packed, and never so much that less is left."""
    reel = Reel()
    for number, run in enumerate(runs):
        for _ in range(run):
            reel.append(
                Input(reel.last + 1, bytes(4), is_audio=True, sound=(Sound.VOICE, Sound.SILENCE)[number % 2 == 0])
            )
    before = list(reel.items(0))
    silent = next((at for at, (_, item) in enumerate(before) if item.sound is Sound.VOICE), len(before))
    reel.forget_silence(through, kept)
    after = list(reel.items(0))
    gone = len(before) - len(after)
    assert before[gone:] == after
    assert reel.weight == sum(item.weight for _, item in after)
    assert gone <= min(silent, through)
    assert not gone or (silent - gone) * (OVERHEAD + 4) >= kept, "so much of it stays"
    assert (min(silent, through) - gone) * (OVERHEAD + 4) < kept + 2 * 25 * (OVERHEAD + 4), (
        "no more than a piece or two"
    )

"""The replay buffer and its feeder, with an upstream that only remembers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.relay.client.speech import Sound
from services.relay.core.model import START, Mark
from services.relay.upstream import wire
from services.relay.upstream.connection import Upstream
from services.relay.upstream.inputs import SILENCE_KEPT, Inputs, cancelled
from services.relay.upstream.reel import Reel


class Memory:
    """An upstream that takes everything, or, when it is stuck, nothing."""

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.takes = asyncio.Event()
        self.takes.set()

    def send_now(self, message: bytes) -> bool:
        """Remember it, unless that would have to wait."""
        if self.takes.is_set():
            self.got.append(message)
        return self.takes.is_set()

    async def send(self, message: bytes) -> None:
        """Remember it."""
        await self.takes.wait()
        self.got.append(message)


@asynccontextmanager
async def feeding(inputs: Inputs, memory: Memory) -> AsyncIterator[None]:
    """Feed it while the block runs."""
    task = asyncio.create_task(inputs.feed(cast("Upstream", memory)))
    try:
        yield
    finally:
        await cancelled(task)


async def settle() -> None:
    """Let the feeder do all that it can."""
    for _ in range(400):
        await asyncio.sleep(0)


def frame(number: int) -> bytes:
    """A frame that can be told apart."""
    return number.to_bytes(2, "little") * 320


def said(*numbers: int) -> list[bytes]:
    """Frames as Gemini gets them."""
    return [wire.audio(frame(number)) for number in numbers]


def with_frames(*numbers: int, seconds: float = 10.0) -> Inputs:
    """Inputs that hold these."""
    inputs = Inputs(0, seconds)
    for number in numbers:
        inputs.take(frame(number), number, is_audio=True)
    return inputs


def take(inputs: Inputs, sound: Sound, frames: int) -> list[int]:
    """The client sends so many frames that sound like this; gives their numbers."""
    numbers = list(range(inputs.last_seq + 1, inputs.last_seq + 1 + frames))
    for number in numbers:
        inputs.take(frame(number), number, is_audio=True, sound=sound)
    return numbers


async def sent_again(inputs: Inputs, after: Mark, *, heard: bool = False) -> list[bytes]:
    """What the next connection gets."""
    memory = Memory()
    inputs.stop()
    inputs.connected(already=0, transparent=False)
    inputs.start(after, heard=heard)
    async with feeding(inputs, memory):
        await settle()
    return memory.got


async def test_nothing_is_sent_before_the_start() -> None:
    """Inputs wait for a connection whose setup is complete."""
    inputs, memory = with_frames(1, 2), Memory()
    async with feeding(inputs, memory):
        await settle()
        assert memory.got == []
        inputs.start(Mark(0, 0))
        await settle()
        assert memory.got == said(1, 2)
        assert inputs.sent == Mark(2, 2)
        inputs.take(b"typed", 3, is_audio=False)
        await settle()
        assert memory.got[2:] == [b"typed"]


async def test_replaying_is_going_back() -> None:
    """The next connection is sent what comes after the mark, then what is new, in order, once."""
    inputs, first, second = with_frames(1, 2, 3, 4), Memory(), Memory()
    inputs.start(Mark(0, 0))
    async with feeding(inputs, first):
        await settle()
    inputs.stop()
    inputs.take(frame(5), 5, is_audio=True)
    inputs.forget(2)
    inputs.start(Mark(2, 2))
    async with feeding(inputs, second):
        await settle()
    assert first.got == said(1, 2, 3, 4)
    assert second.got == said(3, 4, 5)


async def test_a_stop_holds_what_comes() -> None:
    """Nothing goes into a connection that is being closed."""
    inputs, memory = with_frames(1), Memory()
    inputs.start(Mark(0, 0))
    async with feeding(inputs, memory):
        await settle()
        inputs.stop()
        inputs.take(frame(2), 2, is_audio=True)
        inputs.send_control(b"later")
        inputs.stop()
        await settle()
        assert memory.got == said(1)


async def test_a_tools_answer_goes_before_what_waits() -> None:
    """It is not the client's input, and the model waits for it."""
    inputs, memory = with_frames(1, 2), Memory()
    memory.takes.clear()
    inputs.start(Mark(0, 0))
    async with feeding(inputs, memory):
        await settle()
        inputs.send_control(b"tool")
        memory.takes.set()
        await settle()
    assert memory.got == [*said(1), b"tool", *said(2)]


async def test_a_slow_upstream_slows_the_feeder() -> None:
    """One message is on its way, the rest is kept here."""
    inputs, memory = with_frames(1, 2, 3), Memory()
    memory.takes.clear()
    inputs.start(Mark(0, 0))
    async with feeding(inputs, memory):
        await settle()
        assert (memory.got, inputs.sent) == ([], Mark(1, 1))


async def test_audio_is_bounded_and_words_are_not() -> None:
    """The oldest audio goes first and is counted; a typed word among it is never lost."""
    inputs, memory = Inputs(0, 0.04), Memory()
    assert inputs.take(frame(1), 1, is_audio=True) == 0
    assert inputs.take(b"typed", 2, is_audio=False) == 0
    assert inputs.take(frame(3), 3, is_audio=True) == 0
    assert inputs.take(frame(4), 4, is_audio=True) == 1
    inputs.start(Mark(0, 0))
    async with feeding(inputs, memory):
        await settle()
    assert memory.got == [b"typed", *said(3, 4)]


async def test_positions_and_the_clients_numbers() -> None:
    """Each input keeps the client's number; one that is not replayed only moves the count."""
    inputs, memory = Inputs(40, 10.0), Memory()
    assert (inputs.last_seq, inputs.sent) == (40, Mark(0, 40))
    inputs.take(frame(1), 41, is_audio=True)
    inputs.skip(42)
    assert inputs.last_seq == 42
    inputs.take(frame(2), 43, is_audio=True)
    inputs.start(inputs.sent)
    async with feeding(inputs, memory):
        await settle()
    assert inputs.sent == Mark(2, 43)


async def test_cancelling_nothing() -> None:
    """There may be no task yet."""
    await cancelled(None)


async def test_a_replay_lets_others_have_their_turn() -> None:
    """However much a fast connection takes, what else waits in the relay is not held up by it."""
    inputs, memory = Inputs(0, 60.0), Memory()
    for number in range(1, 101):
        inputs.take(frame(number), number, is_audio=True)
    inputs.start(Mark(0, 0))
    async with feeding(inputs, memory):
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert 0 < len(memory.got) < 20
        await settle()
        assert memory.got == said(*range(1, 101))


# Silence.

KEPT = round(SILENCE_KEPT * 50)


async def test_silence_that_was_sent_is_not_sent_again() -> None:
    """After a long silence a replay is short: the last two seconds of it."""
    inputs = Inputs(0, 120.0)
    silence = take(inputs, Sound.SILENCE, 1000)
    assert await sent_again(inputs, START) == said(*silence)
    assert await sent_again(inputs, START) == said(*silence[-KEPT:])
    assert inputs.sent == Mark(1000, 1000)


async def test_a_beginning_keeps_the_silence_before_it() -> None:
    """Two seconds before the first frame that sounds; from there on nothing is left out, further silence included."""
    inputs = Inputs(0, 120.0)
    before, spoken = take(inputs, Sound.SILENCE, 300), take(inputs, Sound.VOICE, 50)
    after = take(inputs, Sound.SILENCE, 300)
    await sent_again(inputs, START)
    assert await sent_again(inputs, START) == said(*before[-KEPT:], *spoken, *after)


async def test_a_faint_sound_is_no_silence() -> None:
    """It may be a soft voice."""
    inputs = Inputs(0, 120.0)
    faint, silence = take(inputs, Sound.FAINT, 1), take(inputs, Sound.SILENCE, 300)
    await sent_again(inputs, START)
    assert await sent_again(inputs, START) == said(*faint, *silence)


async def test_a_typed_word_is_no_silence() -> None:
    """Nothing is passed over that is no audio."""
    inputs = Inputs(0, 120.0)
    inputs.take(b"typed", 1, is_audio=False)
    silence = take(inputs, Sound.SILENCE, 300)
    await sent_again(inputs, START)
    assert await sent_again(inputs, START) == [b"typed", *said(*silence)]


async def test_what_gemini_has_heard_is_no_silence() -> None:
    """It has a finer ear than the relay: where it heard a voice in what seems all silent, all of it is sent again."""
    inputs = Inputs(0, 120.0)
    silence = take(inputs, Sound.SILENCE, 300)
    await sent_again(inputs, START)
    assert await sent_again(inputs, START, heard=True) == said(*silence)
    spoken = take(inputs, Sound.VOICE, 1)
    await sent_again(inputs, START)
    assert await sent_again(inputs, START, heard=True) == said(*silence[-KEPT:], *spoken)


async def test_silence_that_was_never_sent_is_sent() -> None:
    """What came while there was no connection is not left out, silent or not."""
    inputs = Inputs(0, 120.0)
    old = take(inputs, Sound.SILENCE, 200)
    await sent_again(inputs, START)
    inputs.stop()
    new = take(inputs, Sound.SILENCE, 200)
    assert await sent_again(inputs, START) == said(*old[-KEPT:], *new)


async def test_only_what_follows_the_mark_is_looked_at() -> None:
    """Sounds of turns that are over do not matter, and less silence than is kept is sent whole."""
    inputs = Inputs(10, 120.0)
    take(inputs, Sound.VOICE, 20)
    silence = take(inputs, Sound.SILENCE, 150)
    await sent_again(inputs, Mark(0, 10))
    inputs.forget(20)
    assert await sent_again(inputs, Mark(20, 30)) == said(*silence[-KEPT:])
    assert await sent_again(inputs, Mark(100, 110)) == said(*silence[80:])


TALK = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(list(Sound)), st.integers(1, 900)),
        st.tuples(st.just("write"), st.just(0)),
        st.tuples(st.just("turn over"), st.integers(0, 400)),
        st.tuples(st.just("cut"), st.booleans()),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(TALK)
def test_silence_that_is_let_go_is_never_missed(talk: list[tuple[Sound | str, int]]) -> None:
    """Whatever is said and cut, each connection is sent what it would be sent if nothing were ever let go."""
    asyncio.run(play(talk, Inputs(0, 120.0, heard=lambda: True), Inputs(0, 120.0, heard=lambda: False)))


async def play(talk: list[tuple[Sound | str, int]], whole: Inputs, lean: Inputs) -> None:
    """The same happens to both; after each cut both send the same."""
    boundary = START
    for inputs in (whole, lean):
        take(inputs, Sound.VOICE, 60)
        await sent_again(inputs, START)
    for what, number in talk:
        if isinstance(what, Sound):
            take(whole, what, number)
            take(lean, what, number)
        elif what == "write":
            for inputs in (whole, lean):
                inputs.take(b"typed", inputs.last_seq + 1, is_audio=False)
        elif what == "turn over":
            boundary = max(boundary, Mark(max(0, whole.sent.position - number), max(0, whole.sent.seq - number)))
            whole.forget(boundary.position)
            lean.forget(boundary.position)
        else:
            was = [await sent_again(inputs, boundary) for inputs in (whole, lean)]
            assert was[0] == was[1]
            assert whole.sent == lean.sent
        assert lean.weight <= whole.weight
        assert lean.written == whole.written


async def relayed(inputs: Inputs, sound: Sound, seconds: float) -> None:
    """The client sends so much to a connection that takes everything."""
    inputs.start(inputs.newest)
    async with feeding(inputs, Memory()):
        await settle()
        take(inputs, sound, round(seconds * 50))
    inputs.stop()


SECOND = 50 * (640 + 64)


async def test_a_minute_of_silence_is_not_kept() -> None:
    """A client whose microphone stays open while the agent speaks costs some seconds, not the whole answer."""
    inputs = Inputs(0, 120.0, heard=lambda: False)
    await relayed(inputs, Sound.VOICE, 2.0)
    inputs.forget(inputs.newest.position)
    heaviest = 0
    for _ in range(60):
        await relayed(inputs, Sound.SILENCE, 1.0)
        heaviest = max(heaviest, inputs.weight)
    assert 10 * SECOND <= inputs.weight <= heaviest <= 14 * SECOND
    assert await sent_again(inputs, Mark(100, 100)) == said(*range(3100 - KEPT + 1, 3101))


async def test_silence_of_an_answer_goes_when_the_turn_is_over() -> None:
    """Until then it stands behind the voice that is answered."""
    inputs = Inputs(0, 120.0, heard=lambda: False)
    await relayed(inputs, Sound.VOICE, 3.0)
    await relayed(inputs, Sound.SILENCE, 20.0)
    assert inputs.weight == 23 * SECOND
    inputs.forget(150)
    assert 10 * SECOND <= inputs.weight <= 11 * SECOND


async def test_silence_in_which_gemini_hears_something_is_kept() -> None:
    """All that was said since the turn before, for as long as it has not answered it."""
    heard = False
    inputs = Inputs(0, 120.0, heard=lambda: heard)
    await relayed(inputs, Sound.VOICE, 2.0)
    inputs.forget(100)
    await relayed(inputs, Sound.SILENCE, 4.0)
    heard = True
    await relayed(inputs, Sound.SILENCE, 30.0)
    assert inputs.weight == 34 * SECOND
    assert len(await sent_again(inputs, Mark(100, 100), heard=True)) == 34 * 50


async def test_a_full_buffer_is_not_looked_through_for_every_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller on hold in a noisy room: nothing of it is silence, and each frame drives out an old one."""
    looks = 0

    def count(*_: object) -> None:
        nonlocal looks
        looks += 1

    monkeypatch.setattr(Reel, "forget_silence", count)
    inputs = Inputs(0, 10.0, heard=lambda: False)
    await relayed(inputs, Sound.VOICE, 2.0)
    inputs.forget(100)
    before = looks
    await relayed(inputs, Sound.FAINT, 60.0)
    assert inputs.weight <= 10 * SECOND
    assert looks - before <= 60 / 2


async def test_of_a_client_whose_voice_was_never_heard_all_is_kept() -> None:
    """Its microphone may be so faint that its voice is silence to this relay; a bang is no voice."""
    inputs = Inputs(0, 120.0, heard=lambda: False)
    await relayed(inputs, Sound.VOICE, 0.2)
    inputs.forget(10)
    await relayed(inputs, Sound.SILENCE, 30.0)
    assert inputs.weight == 30 * SECOND


async def test_silence_that_no_connection_has_got_is_kept() -> None:
    """What comes while there is none is sent, silent or not."""
    inputs = Inputs(0, 120.0, heard=lambda: False)
    await relayed(inputs, Sound.VOICE, 2.0)
    inputs.forget(100)
    take(inputs, Sound.SILENCE, 30 * 50)
    assert inputs.weight == 30 * SECOND


async def test_the_clients_voice_is_counted_for_each_connection() -> None:
    """In seconds, replay included; what is not clearly a voice does not count."""
    inputs = Inputs(0, 120.0)
    take(inputs, Sound.SILENCE, 50)
    take(inputs, Sound.VOICE, 100)
    take(inputs, Sound.FAINT, 50)
    for _ in range(2):
        await sent_again(inputs, START)
        assert round(inputs.spoken, 2) == 2.0


async def test_whether_advice_was_consumed() -> None:
    """By the index of the message that brought it; of another connection's nothing is known."""
    inputs, memory = with_frames(1), Memory()
    inputs.connected(already=1, transparent=True)
    inputs.start(Mark(0, 0))
    async with feeding(inputs, memory):
        await settle()
        inputs.send_control(b"tool")
        inputs.send_control(b"advice", advice=True)
        await settle()
        inputs.take(frame(2), 2, is_audio=True)
        await settle()
    assert memory.got == [*said(1), b"tool", b"advice", *said(2)]
    assert inputs.consumed(3) == (Mark(1, 1), False)
    assert inputs.consumed(4) == (Mark(1, 1), True)
    assert inputs.consumed(5) == (Mark(2, 2), True)
    inputs.connected(already=1, transparent=True)
    assert inputs.consumed(9) == (Mark(0, 0), False)

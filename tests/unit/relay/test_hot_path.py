"""A guard on the price of a frame: it counts work, not time, so it says the same on every machine.

The real sockets, inputs and outbox, with a transport that only remembers. A frame that needs a task, a queue, a second
write, one call more than today, a look at each of its bytes, a second parse, another copy, or a place where it stays
fails here long before anybody measures it.
"""

import sys
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any, Final, cast

import pytest
from picows import WSMsgType
from websockets.frames import Frame, Opcode

from services.relay.core import events as on
from tests.unit.relay.relayed import REPLY, VOICE, PicowsWire, Relayed, answer, picows_frame, picows_socket
from tests.unit.relay.work import RUNS, Price, allocations, price

FRAMES: Final = 1_200
"""More than there are masks drawn at once, so that all that is drawn now and then has been."""
PING: Final = 0x89
"""How a ping's frame begins."""
UP: Final = Price(calls=46.54, steps=688.6, parses=0, held=5227)
DOWN: Final = Price(calls=31.71, steps=468.5, parses=1, held=3846)
UP_PICOWS: Final = Price(calls=36.54, steps=540.6, parses=0, held=3363)
DOWN_PICOWS: Final = Price(calls=24.23, steps=366.2, parses=1, held=2869)
"""What one frame costs on its way to Gemini, and on its way to the client; on picows, what is compiled counts as one
call. Measured: who changes what a frame does looks at the new numbers and writes them here, or does it otherwise."""
MOST_ASKED: Final = RUNS * len(REPLY) // (32 * 1024)
"""How often a client is asked, at most, what it has got."""
LOST: Final = 1024
"""Bytes that may be held after many frames beyond what is meant to be kept: not one for each."""
pinned = pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the numbers are those of CPython 3.11")


@pytest.fixture
async def relayed() -> AsyncIterator[Relayed]:
    """A conversation under way."""
    conversation = Relayed()
    async with conversation.running():
        yield conversation


@pinned
async def test_a_frame_to_gemini(relayed: Relayed) -> None:
    """It leaves before the read that brought it returns: one write, no task woken, and it costs no more than it did."""
    spent = price(partial(relayed.client.data_received, relayed.spoken()))
    assert len(relayed.upstream_wire.written) == RUNS, "one write a frame, at once"
    assert relayed.inputs.sent == relayed.inputs.newest
    assert [type(event) for event in relayed.posted] == [on.SpeechBegan], (
        "the core hears of an utterance, not of frames"
    )
    assert not spent.above(UP)


@pinned
async def test_a_frame_to_the_client(relayed: Relayed) -> None:
    """The same downwards; it is the agent's bytes as they are, and now and then it is asked what it has got."""
    said = len(relayed.client_wire.written)
    spent = price(partial(relayed.gemini.data_received, relayed.answered()))
    written = relayed.client_wire.written[said:]
    asked = [frame for frame in written if frame[0] == PING]
    assert 1 <= len(asked) <= MOST_ASKED
    written = [frame for frame in written if frame[0] != PING]
    assert len(written) == RUNS, "one write a frame, at once"
    assert all(frame.endswith(REPLY) for frame in written)
    assert [type(event) for event in relayed.posted] == [on.AnswerBegan], "once an answer, not once a frame"
    assert not spent.above(DOWN)


@pinned
async def test_the_same_on_picows() -> None:
    """Both ways, without what is compiled."""
    wires = [PicowsWire() for _ in range(2)]
    ours, gemini = (picows_socket(wire) for wire in wires)
    spoken, answered = picows_frame(WSMsgType.BINARY, VOICE), picows_frame(WSMsgType.TEXT, answer())
    async with Relayed().running(ours, gemini):
        for socket, out, frame, was in (
            (ours, wires[1], spoken, UP_PICOWS),
            (gemini, wires[0], answered, DOWN_PICOWS),
        ):
            said = len(out.sent)
            spent = price(partial(socket.on_ws_frame, cast("Any", None), frame))
            assert len(out.sent) - said == RUNS, "one write a frame, at once"
            assert not spent.above(was)
    assert 1 <= wires[0].pings <= MOST_ASKED


async def test_what_is_kept_of_a_frame(relayed: Relayed) -> None:
    """Each frame of the client's is kept once, for a replay; of the agent's, no more than may still be on its way."""
    for _ in range(FRAMES):
        relayed.client.data_received(relayed.spoken())
        relayed.gemini.data_received(relayed.answered())
    assert relayed.inputs.weight <= FRAMES * (len(VOICE) + 64)
    assert 400 * 1024 < relayed.outbox.weight <= 545 * 1024, "a client that gives no sign"


def brought(relayed: Relayed, bring: Callable[[], None], count: int) -> None:
    """Frames have come, and what they were sent on as is gone."""
    for _ in range(count):
        bring()
        relayed.client_wire.written.clear()
        relayed.upstream_wire.written.clear()


async def test_nothing_else_is_kept_of_the_clients_voice(relayed: Relayed) -> None:
    """What is held is what is said to be kept; once a turn has covered it, nothing is."""
    bring = partial(relayed.client.data_received, relayed.spoken())
    with allocations() as held:
        brought(relayed, bring, FRAMES)
        relayed.inputs.forget(relayed.inputs.newest.position)
        before = held()
        brought(relayed, bring, FRAMES)
        assert held() - before <= relayed.inputs.weight
        relayed.inputs.forget(relayed.inputs.newest.position)
        assert relayed.inputs.weight == 0
        assert held() - before <= LOST


async def test_nothing_else_is_kept_of_the_agents_voice(relayed: Relayed) -> None:
    """The same downwards; what the client has got is let go, but for the newest of it."""
    bring = partial(relayed.gemini.data_received, relayed.answered())
    with allocations() as held:
        brought(relayed, bring, FRAMES)
        relayed.outbox.got(relayed.outbox.last)
        before, kept = held(), relayed.outbox.weight
        brought(relayed, bring, FRAMES)
        more = relayed.outbox.weight - kept
        assert held() - before <= more + more // len(REPLY) * 192, "each with what Python needs to hold it"
        relayed.outbox.got(relayed.outbox.last)
        assert relayed.outbox.weight == kept
        assert held() - before <= LOST


async def test_what_the_client_has_got_is_kept_no_longer(relayed: Relayed) -> None:
    """A client that answers pings, as every WebSocket does, costs a second of the agent's voice, not ten."""
    heaviest = 0
    for _ in range(800):
        relayed.gemini.data_received(relayed.answered())
        heaviest = max(heaviest, relayed.outbox.weight)
        newest = relayed.client_wire.written[-1]
        if newest[0] == PING:
            relayed.client.data_received(Frame(Opcode.PONG, newest[2:]).serialize(mask=True))
    assert 16 * 1024 <= heaviest <= 50 * 1024
    assert relayed.outbox.after(relayed.outbox.last - 10) is not None, "the newest is there, for one who comes back"


async def test_a_forged_sign_takes_nothing_that_was_not_sent(relayed: Relayed) -> None:
    """A pong for what was never sent lets go of what was, at most; one without a number is none."""
    relayed.gemini.data_received(relayed.answered())
    for sign in (b"filo", b"filo" + bytes(8), b"filo" + b"\xff" * 100, b"other"):
        relayed.client.data_received(Frame(Opcode.PONG, sign).serialize(mask=True))
    relayed.gemini.data_received(relayed.answered())
    assert relayed.outbox.last >= 2
    assert relayed.outbox.after(relayed.outbox.last - 2) is not None

"""What a client is told, by number, and what one that comes back is told again."""

import asyncio
import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.relay.client.outbox import Outbox
from services.relay.client.protocol import Seen


def pong(text: str) -> dict[str, Any]:
    """A message that can be told apart."""
    return {"type": "pong", "text": text}


def read(outbox: Outbox, place: int) -> list[dict[str, Any] | bytes]:
    """Everything after a place, as a client would read it."""
    messages: list[dict[str, Any] | bytes] = []
    while (found := outbox.after(place)) is not None:
        place, ready = found
        messages += [item if isinstance(item, bytes) else json.loads(item) for item in ready]
    return messages


def test_numbers_within_an_epoch() -> None:
    """JSON carries epoch and number, with its type first; a binary message is the number after the one before."""
    outbox = Outbox(7, 10_000)
    assert outbox.tell(pong("a")) == 1
    outbox.play(b"\1\2")
    outbox.tell(pong("b"))
    assert read(outbox, 0) == [
        {"type": "pong", "epoch": 7, "n": 1, "text": "a"},
        b"\1\2",
        {"type": "pong", "epoch": 7, "n": 3, "text": "b"},
    ]
    assert outbox.last == 3
    assert read(outbox, 2) == [{"type": "pong", "epoch": 7, "n": 3, "text": "b"}]


@pytest.mark.parametrize(
    ("seen", "first_here", "place"),
    [
        (None, True, 0),
        (None, False, 3),
        (Seen(7, 2), False, 2),
        (Seen(7, 2), True, 2),
        (Seen(7, 99), False, 3),
        (Seen(6, 2), True, 0),
        (Seen(6, 2), False, 0),
        (Seen(8, 1), False, 0),
    ],
)
def test_where_a_client_takes_up(seen: Seen | None, first_here: bool, place: int) -> None:  # noqa: FBT001
    """After the newest it has seen of this epoch; one that counts gets all of it, one that does not what comes."""
    outbox = Outbox(7, 10_000)
    for text in "abc":
        outbox.tell(pong(text))
    assert outbox.place_of(seen, first_here=first_here) == place


def test_what_was_dropped_is_owned_up_to() -> None:
    """The oldest go first; the next message says how many are missing, and the numbers stay right."""
    outbox = Outbox(1, 100)
    for _ in range(5):
        outbox.play(bytes(50))
    assert read(outbox, 0) == [{"type": "skipped", "epoch": 1, "n": 3, "messages": 3}, bytes(50), bytes(50)]


def test_audio_goes_before_notices() -> None:
    """A notice older than the audio stays while there is audio to drop; then the oldest notices go; all is counted."""
    lost: list[int] = []
    outbox = Outbox(1, 1000, lost.append)
    outbox.tell(pong("a"))
    for _ in range(10):
        outbox.play(bytes(200))
    assert [type(message) for message in read(outbox, 0)] == [dict, dict, *[bytes] * 4]
    assert read(outbox, 0)[:2] == [
        {"type": "pong", "epoch": 1, "n": 1, "text": "a"},
        {"type": "skipped", "epoch": 1, "n": 7, "messages": 6},
    ]
    assert lost == [1] * 6
    for text in "bcdefghijklmnop":
        outbox.tell(pong(text))
    held = read(outbox, 0)
    assert held[0] == {"type": "skipped", "epoch": 1, "n": outbox.last - len(held) + 1, "messages": sum(lost)}
    assert [message["text"] for message in held[1:] if isinstance(message, dict)] == list(
        "bcdefghijklmnop"[-len(held) + 1 :]
    )


@given(st.lists(st.one_of(st.integers(1, 400), st.text(max_size=200)), max_size=60), st.integers(1, 3000))
def test_what_is_lost_is_counted_and_bounded(items: list[int | str], most: int) -> None:
    """The weight is that of the memory; what is held and what was counted is everything."""
    lost: list[int] = []
    outbox = Outbox(1, most, lost.append)
    held: list[str | bytes] = []
    for item in items:
        outbox.play(bytes(item)) if isinstance(item, int) else outbox.tell(pong(item))
        held, place = [], 0
        while (found := outbox.after(place)) is not None:
            place, ready = found
            held.append(ready[-1])
        weights = [len(one) if isinstance(one, bytes) else sys.getsizeof(one) for one in held]
        assert outbox.weight == sum(weights)
        assert outbox.weight <= most or not any(isinstance(one, bytes) for one in held)
        assert sum(weights[:-1]) <= most
    assert len(held) + sum(lost) == len(items)


def test_a_notice_weighs_what_it_holds() -> None:
    """Long texts to a client that is away take no more than the bound; the newest is kept, however long."""
    outbox = Outbox(1, 64 * 1024)
    for number in range(100):
        outbox.tell(pong(f"{number}" + "x" * 10_000))
        assert outbox.weight <= 64 * 1024
    assert len(read(outbox, 0)) == 1 + 6
    outbox.tell(pong("\N{GRINNING FACE}" * 100_000))
    assert len(read(outbox, 0)) == 1 + 1
    assert outbox.weight >= 400_000, "a text takes four bytes a character, if one of them needs them"


def test_what_was_sent_is_kept_only_as_long_as_it_may_be_on_its_way() -> None:
    """Half a megabyte behind the place of the socket; nothing that was not sent is dropped for it."""
    outbox = Outbox(1, 10_000_000)
    for _ in range(30):
        outbox.play(bytes(100_000))
    outbox.sent(20)
    assert outbox.after(20) == (21, [bytes(100_000)])
    first = outbox.after(0)
    assert first is not None
    assert first[0] == 21
    outbox.sent(30)
    first = outbox.after(0)
    assert first is not None
    assert first[0] == 26


@given(st.lists(st.one_of(st.binary(min_size=1, max_size=300), st.text(max_size=5)), max_size=40), st.integers(1, 3000))
def test_nothing_is_told_twice_or_silently_lost(items: list[bytes | str], most: int) -> None:
    """What a client reads plus what it is told was skipped is everything, in order."""
    outbox = Outbox(1, most)
    for item in items:
        outbox.play(item) if isinstance(item, bytes) else outbox.tell(pong(item))
    items.append("the last one, which says what was lost before it")
    outbox.tell(pong(str(items[-1])))
    n = 0
    for message in read(outbox, 0):
        if isinstance(message, bytes):
            n += 1
            assert items[n - 1] == message
        elif message["type"] == "skipped":
            n += message["messages"]
            assert message["n"] == n
        else:
            n += 1
            assert (message["n"], message["text"]) == (n, items[n - 1])
    assert n == len(items)


async def test_a_reader_waits_for_news() -> None:
    """By a message or a wake."""
    outbox = Outbox(1, 1000)
    for rouse in (lambda: outbox.tell(pong("a")), outbox.wake):
        waiting = asyncio.create_task(outbox.wait())
        await asyncio.sleep(0)
        rouse()
        await asyncio.wait_for(waiting, 1.0)


def test_what_a_client_has_got_is_let_go() -> None:
    """It is asked each 32 KiB; of what it has got the newest 16 KiB stay, and what came later stays whole."""
    outbox = Outbox(1, 1 << 20)
    asked = []
    for n in range(1, 81):
        outbox.play(bytes(1024))
        if outbox.sent(n):
            asked.append(n)
    assert asked == [32, 64]
    outbox.got(64)
    assert outbox.weight == 16 * 1024
    assert read(outbox, 64) == [bytes(1024)] * 16
    outbox.got(80)
    assert read(outbox, 64) == [bytes(1024)] * 16
    outbox.play(bytes(1024))
    outbox.got(80)
    assert len(read(outbox, 80)) == 1, "what was not sent is never let go"


def test_a_client_that_gives_no_sign_is_bounded() -> None:
    """Half a MiB may be on its way; it is asked again and again."""
    outbox = Outbox(1, 1 << 20)
    asks = 0
    for n in range(1, 2001):
        outbox.play(bytes(1024))
        asks += outbox.sent(n)
        assert outbox.weight <= 544 * 1024
    assert asks > 50

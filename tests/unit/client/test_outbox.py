"""The outbox is a window over the inputs: what is not covered is there, in order, under its own number."""

from hypothesis import given
from hypothesis import strategies as st

from filo.client.close_codes import Action
from filo.client.outbox import Outbox
from filo.client.policy import Policy


def taken(outbox: Outbox) -> list[str | bytes]:
    """Everything that can be sent now."""
    return [given.payload for _ in range(len(outbox) + 1) if (given := outbox.take()) is not None]


@given(count=st.integers(0, 30), covered=st.integers(-3, 40), rewound=st.integers(1, 40))
def test_a_rewind_sends_exactly_what_the_relay_does_not_have(count: int, covered: int, rewound: int) -> None:
    """After any cover and any rewind: what is both wanted and kept comes out once, and holes are counted."""
    outbox = Outbox()
    for number in range(1, count + 1):
        assert outbox.add(b"%d" % number) == number
    outbox.cover(covered)
    kept_from = max(1, min(covered, count) + 1)
    lost = outbox.rewind(rewound)
    assert lost == max(0, kept_from - rewound)
    assert taken(outbox) == [b"%d" % number for number in range(max(rewound, kept_from), count + 1)]
    assert outbox.take() is None
    assert outbox.next == max(count + 1, rewound)


def test_what_was_covered_before_it_was_sent_is_not_sent() -> None:
    """The mark never stands before the oldest input."""
    outbox = Outbox()
    for piece in (b"1", b"2", b"3"):
        outbox.add(piece)
    outbox.cover(2)
    assert taken(outbox) == [b"3"]


def test_a_full_outbox_gives_up_the_oldest_audio_and_counts_it() -> None:
    """The bound holds, and the relay's next greeting shows what it cost."""
    outbox = Outbox(capacity=2)
    for piece in (b"1", b"2", b"3"):
        outbox.add(piece)
    assert (len(outbox), outbox.next, outbox.given_up) == (2, 4, 1)
    assert outbox.rewind(1) == 1
    assert taken(outbox) == [b"2", b"3"]


def test_what_was_typed_is_never_given_up() -> None:
    """However much audio comes, text and results of tools stay, under their own numbers."""
    outbox = Outbox(capacity=1)
    for piece in (b"1", "two", b"3", b"4", "five"):
        outbox.add(piece)
    assert [(given.number, given.payload) for _ in range(3) if (given := outbox.take())] == [
        (2, "two"),
        (4, b"4"),
        (5, "five"),
    ]
    assert (outbox.given_up, outbox.full) == (2, True)
    assert outbox.rewind(1) == 2
    outbox.cover(4)
    assert (outbox.covered, outbox.full, taken(outbox)) == (4, False, ["five"])


@given(
    pieces=st.lists(st.sampled_from((b"", b"a", b"bb", "typed")), max_size=30),
    covered=st.integers(0, 40),
    adopted=st.none() | st.integers(1, 50),
)
def test_the_bound_holds_whatever_comes(pieces: list[str | bytes], covered: int, adopted: int | None) -> None:
    """Never more audio than the capacity; every text is there or covered; numbers go up."""
    outbox = Outbox(capacity=3)
    for piece in pieces:
        outbox.add(piece)
    if adopted is not None:
        outbox.adopt(adopted)
    outbox.cover(covered)
    outbox.rewind(outbox.covered + 1)
    kept = [given for _ in range(len(outbox)) if (given := outbox.take()) is not None]
    numbers = [given.number for given in kept]
    assert numbers == sorted(set(numbers))
    assert sum(len(given.payload) for given in kept if isinstance(given.payload, bytes)) <= 3
    assert [given.number for given in kept if given.number <= outbox.covered] == []
    if adopted is None:
        texts = [number for number, piece in enumerate(pieces, start=1) if piece == "typed"]
        assert [given.number for given in kept if given.payload == "typed"] == [n for n in texts if n > outbox.covered]


@given(attempt=st.integers(1, 60), chance=st.floats(0, 1, exclude_max=True), action=st.sampled_from(Action))
def test_a_wait_is_within_its_bounds(attempt: int, chance: float, action: Action) -> None:
    """No wait is shorter than the first one's lower bound, nor longer than the longest."""
    policy = Policy(shortest_wait=1.0, first_wait=2.0, longest_wait=15.0)
    assert 1.0 <= policy.wait(attempt, action, chance) <= 15.0

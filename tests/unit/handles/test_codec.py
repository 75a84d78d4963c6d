"""The seam for encryption."""

import pytest

from services.handles import keyfile
from services.handles.codec import HEAD, Sealing, SpoiledError, Unread


@pytest.fixture(name="sealing")
def _sealing() -> Sealing:
    return Sealing(keyfile.new())


@pytest.mark.parametrize("value", [b"", b"\x00", b"secret", bytes(range(256)) * 5000])
def test_what_is_encrypted_opens(sealing: Sealing, value: bytes) -> None:
    """Any bytes come back as they were; what is stored shows none of them, and is never the same twice."""
    sealed = sealing.seal(value, "turns/1/1")
    assert sealing.open(sealed, "turns/1/1") == value
    assert sealing.seal(value, "turns/1/1") != sealed
    assert len(value) < 4 or value not in sealed
    assert sealing.current(sealed[:HEAD])


def test_a_row_moved_elsewhere_does_not_open(sealing: Sealing) -> None:
    """Another conversation, another turn, another table: the place is authenticated with the value."""
    sealed = sealing.seal(b"secret", "turns/1/1")
    for place in ("turns/2/1", "turns/1/2", "agents/1", ""):
        with pytest.raises(ValueError, match="was not sealed for it"):
            sealing.open(sealed, place)


def test_any_changed_bit_is_noticed(sealing: Sealing) -> None:
    """The kind, the key's number, the nonce, the text and the tag."""
    sealed = sealing.seal(b"secret", "agents/1")
    for at in range(len(sealed)):
        changed = bytearray(sealed)
        changed[at] ^= 2  # a 1 does not become the 0 of a plain value
        with pytest.raises(ValueError, match="agents/1"):
            sealing.open(bytes(changed), "agents/1")


@pytest.mark.parametrize("cut", [0, 1, 4, 5, 16, 17, 20])
def test_a_cut_value_is_refused(sealing: Sealing, cut: int) -> None:
    """At whatever byte."""
    with pytest.raises(ValueError, match="agents/1"):
        sealing.open(sealing.seal(b"secret", "agents/1")[:cut], "agents/1")


def test_nothing_is_read_that_was_not_sealed(sealing: Sealing) -> None:
    """Whoever can write the database can plant no words: neither bare, nor under a byte that names no sealing."""
    for planted in (b"words", b"\0words", b"\2words"):
        with pytest.raises(ValueError, match="agents/1 is sealed in a way") as caught:
            sealing.open(planted, "agents/1")
        assert not isinstance(caught.value, SpoiledError)  # it may be a newer version's: it is not given up


def test_what_never_opens_is_told_from_what_lacks_its_key(sealing: Sealing) -> None:
    """The one is given up, the other waits for its key."""
    sealed = sealing.seal(b"secret", "agents/1")
    for spoiled in (sealed[:-1], sealed[:HEAD], sealed[:-1] + bytes([sealed[-1] ^ 1])):
        with pytest.raises(SpoiledError):
            sealing.open(spoiled, "agents/1")
    with pytest.raises(SpoiledError):
        sealing.open(sealed, "agents/2")
    stranger = Sealing(keyfile.new().extended()).seal(b"secret", "agents/1")
    with pytest.raises(ValueError, match="key 2, which is not in the key file") as caught:
        sealing.open(stranger, "agents/1")
    assert not isinstance(caught.value, SpoiledError)


def test_who_deletes_needs_no_key() -> None:
    """Whatever is stored counts as there, and nothing can be stored through it."""
    assert Unread().open(b"anything", "agents/1") == b""
    assert Unread().current(b"")
    with pytest.raises(ValueError, match="agents/1"):
        Unread().seal(b"words", "agents/1")


def test_older_keys_open_and_the_first_one_seals() -> None:
    """As a ring grows and shrinks."""
    first = keyfile.new()
    old = Sealing(first).seal(b"secret", "agents/1")
    second = first.extended()
    sealing = Sealing(second)
    assert sealing.open(old, "agents/1") == b"secret"
    assert not sealing.current(old[:HEAD])
    new = sealing.seal(b"secret", "agents/1")
    with pytest.raises(ValueError, match="key 1, which is not in the key file"):
        Sealing(second.only(2)).open(old, "agents/1")
    assert Sealing(second.only(2)).open(new, "agents/1") == b"secret"


def test_an_unknown_key_is_looked_for_once_more() -> None:
    """Another process may have begun to seal with a new key since the ring was read."""
    first = keyfile.new()
    second = first.extended()
    sealing = Sealing(first, lambda: second)
    assert sealing.open(Sealing(second).seal(b"secret", "agents/1"), "agents/1") == b"secret"
    assert sealing.ring is second
    stranger = Sealing(second.extended()).seal(b"secret", "agents/1")
    with pytest.raises(ValueError, match="key 3"):
        sealing.open(stranger, "agents/1")

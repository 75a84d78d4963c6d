"""Secrets as keyed hashes."""

import string

import pytest

from filo.handles.v1.resources_pb2 import Owner as OwnerMessage
from services.handles.digests import Digests, mint_conversation_id, mint_resume_handle
from services.handles.records import OwnerKind

KEY = bytes(range(32))
HANDLE = "rh_" + "A" * 43
ALPHABET = set(string.ascii_letters + string.digits + "-_")


def test_a_resume_handle_has_256_random_bits() -> None:
    """43 characters of 6 bits, all of the alphabet in use, none twice."""
    handles = {mint_resume_handle() for _ in range(1000)}
    assert len(handles) == 1000
    assert {len(handle) for handle in handles} == {len(HANDLE)}
    assert {char for handle in handles for char in handle[3:]} == ALPHABET


def test_a_conversation_id_is_unguessable() -> None:
    """128 random bits."""
    ids = {mint_conversation_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert {len(made) for made in ids} == {32}


def test_a_minted_handle_can_be_looked_up() -> None:
    """What is minted has the shape that is looked up."""
    assert Digests(KEY).resume_handle(mint_resume_handle()) is not None


@pytest.mark.parametrize(
    "text",
    ["", "rh_", HANDLE[:-1], HANDLE + "A", HANDLE.replace("rh", "xx"), HANDLE[:-1] + "=", HANDLE + "\n", "é" * 46],
)
def test_what_cannot_be_a_handle_is_not_looked_up(text: str) -> None:
    """Junk costs no hash and no query."""
    assert Digests(KEY).resume_handle(text) is None


def test_the_last_character_counts_whole() -> None:
    """Base64 ignores two bits of the last character; the hash does not."""
    digests = Digests(KEY)
    assert digests.resume_handle(HANDLE) != digests.resume_handle(HANDLE[:-1] + "B")


def test_a_hash_needs_the_key() -> None:
    """Two keys give two hashes of everything."""
    one, two = Digests(KEY), Digests(KEY[::-1])
    token = OwnerMessage(share_token=HANDLE)
    assert one.resume_handle(HANDLE) != two.resume_handle(HANDLE)
    assert one.owner(token) != two.owner(token)
    assert one.key_check() != two.key_check()


def test_every_use_has_its_own_hash() -> None:
    """One text as handle, share token and request gives three hashes: none can stand for another."""
    digests = Digests(KEY)
    token = digests.owner(OwnerMessage(share_token=HANDLE)).key
    handle = digests.resume_handle(HANDLE)
    assert handle is not None
    assert len({token, handle.hex(), digests.request(HANDLE.encode()).hex(), digests.key_check().hex()}) == 4


def test_a_hash_never_changes() -> None:
    """Stored hashes must be found by later versions too."""
    assert Digests(KEY).owner(OwnerMessage(share_token="share-token")).key == (
        "a0a9396e654157c87cc1ec49bb0cdfb06ae7dd6bf39db828b1a72d4ba2513d67"
    )


def test_owners_are_shown_without_their_secret() -> None:
    """A user by id; a share token by eight digits of its keyed hash."""
    digests = Digests(KEY)
    user = digests.owner(OwnerMessage(user_id="ada"))
    shared = digests.owner(OwnerMessage(share_token="share-token"))
    assert (user.kind, str(user)) == (OwnerKind.USER, "users/ada")
    assert (shared.kind, str(shared)) == (OwnerKind.SHARE_TOKEN, f"shareTokens/{shared.key[:8]}")
    assert "share-token" not in repr(shared)


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_short_key_is_refused(length: int) -> None:
    """A key of another length is a mistake."""
    with pytest.raises(ValueError, match="32 bytes"):
        Digests(bytes(length))

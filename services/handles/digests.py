"""Secrets as the store keeps them: minted with 256 bits, remembered as keyed hashes.

A keyed hash (HMAC-SHA256) rather than a plain one, since a share token is chosen by somebody else and may be guessable:
a stolen database is worth nothing without the key file. Every use has its own domain, so that a hash of one kind can
never stand for another.
"""

import hmac
import re
import secrets
from typing import Final

from filo.handles.v1.resources_pb2 import Owner as OwnerMessage
from services.handles.records import Owner, OwnerKind

KEY_BYTES: Final = 32

_RANDOM_BYTES: Final = 32
_RESUME_HANDLE: Final = re.compile(r"rh_[A-Za-z0-9_-]{43}")


def mint_resume_handle() -> str:
    """A new resume handle: ``rh_`` and 256 random bits."""
    return f"rh_{secrets.token_urlsafe(_RANDOM_BYTES)}"


def mint_conversation_id() -> str:
    """A new conversation id: 128 random bits in hex."""
    return secrets.token_hex(16)


class Digests:
    """Keyed hashes under one key.

    Args:
        key: `KEY_BYTES` random bytes.

    Raises:
        ValueError: The key has another length.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes, this one has {len(key)}")
        self._key = key

    def resume_handle(self, handle: str) -> bytes | None:
        """The hash that a resume handle is stored under; None for a text that cannot be one."""
        if _RESUME_HANDLE.fullmatch(handle) is None:
            return None
        return self._digest(b"resume-handle", handle.encode())

    def owner(self, owner: OwnerMessage) -> Owner:
        """Who somebody is, without the secret that proves it."""
        if owner.WhichOneof("owner") == "user_id":
            return Owner(OwnerKind.USER, owner.user_id)
        return Owner(OwnerKind.SHARE_TOKEN, self._digest(b"share-token", owner.share_token.encode()).hex())

    def request(self, content: bytes) -> bytes:
        """The hash that tells whether two creations ask for the same."""
        return self._digest(b"create-request", content)

    def key_check(self) -> bytes:
        """A value that is kept in the database and tells whether a key is the one its hashes were made with."""
        return self._digest(b"key-check", b"")

    def _digest(self, domain: bytes, data: bytes) -> bytes:
        return hmac.digest(self._key, b"filo.handles/" + domain + b"\0" + data, "sha256")


def sealing_check(key: bytes) -> bytes:
    """A value that is kept in the database and tells whether an encryption key is the one it was written with."""
    return hmac.digest(key, b"filo.handles/sealing-check", "sha256")

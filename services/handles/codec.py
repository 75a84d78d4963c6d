"""The seam for encryption at rest: every secret column passes through one codec.

A stored value begins with a byte that names how it was sealed, 1 for AES-256-GCM: the number of the key (4 bytes), a
random nonce (12 bytes), the ciphertext and its tag follow. `place` is where the value stands, its table and its row: it
is authenticated with the value, so that a row copied elsewhere does not open. Nothing is read that was not sealed:
whoever can write the database can plant no words. A random nonce is safe for 2**32 values a key (NIST SP 800-38D, 8.3):
rotate before that.
"""

import secrets
from collections.abc import Callable
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.handles.keyfile import KeyRing

_SEALED: Final = b"\x01"
_ID_BYTES: Final = 4
_NONCE_BYTES: Final = 12

HEAD: Final = len(_SEALED) + _ID_BYTES
"""How many first bytes of a stored value tell how it was sealed."""


class UnreadableError(ValueError):
    """A value does not open; the text names its place, and holds nothing of it."""


class SpoiledError(UnreadableError):
    """A value will never open: it was sealed for another place, changed, or cut."""


class Codec(Protocol):
    """Turns a secret into what is stored, and back."""

    def seal(self, value: bytes, place: str) -> bytes:
        """What is stored for `value`."""
        ...

    def open(self, sealed: bytes, place: str) -> bytes:
        """The value behind what is stored.

        Raises:
            SpoiledError: It will never open.
            UnreadableError: Its key is not at hand, or it was sealed in a way that this version does not know.
        """
        ...

    def current(self, head: bytes) -> bool:
        """Whether a value that begins with `head` is sealed as `seal` would seal it today."""
        ...


class Unread:
    """For whoever deletes: what a value holds is nobody's affair, and one that does not open is no obstacle."""

    def seal(self, value: bytes, place: str) -> bytes:  # noqa: ARG002 - one of a codec's calls
        """Nothing is stored through it.

        Raises:
            ValueError: Always.
        """
        raise ValueError(f"a value for {place} is not sealed by who cannot read it")

    def open(self, sealed: bytes, place: str) -> bytes:  # noqa: ARG002 - one of a codec's calls
        """No value at all."""
        return b""

    def current(self, head: bytes) -> bool:  # noqa: ARG002 - one of a codec's calls
        """Nothing is re-encrypted through it."""
        return True


class Sealing:
    """AES-256-GCM under a ring of keys: the first one seals, each of them opens.

    Args:
        ring: The keys.
        reload: Reads the ring again; asked when a value names a key that is not in it, since another process may have
            begun to seal with a new one.
    """

    def __init__(self, ring: KeyRing, reload: Callable[[], KeyRing] | None = None) -> None:
        self._reload = reload
        self.ring = ring

    @property
    def ring(self) -> KeyRing:
        """The keys in use."""
        return self._ring

    @ring.setter
    def ring(self, ring: KeyRing) -> None:
        self._ring = ring
        self._ciphers = {number: AESGCM(key) for number, key in ring.sealing.items()}
        self._newest = ring.newest.to_bytes(_ID_BYTES, "big")
        self._cipher = self._ciphers[ring.newest]

    def seal(self, value: bytes, place: str) -> bytes:
        """What is stored for `value`: sealed with the first key."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return _SEALED + self._newest + nonce + self._cipher.encrypt(nonce, value, place.encode())

    def open(self, sealed: bytes, place: str) -> bytes:
        """The value behind what is stored.

        Raises:
            SpoiledError: It was sealed for another place, changed or cut.
            UnreadableError: It was sealed with a key that is not in the ring, or in an unknown way.
        """
        if not sealed.startswith(_SEALED):
            raise UnreadableError(f"a value in {place} is sealed in a way this codec does not know")
        cipher, nonce = self._key(sealed, place), sealed[HEAD : HEAD + _NONCE_BYTES]
        try:
            return cipher.decrypt(nonce, sealed[HEAD + _NONCE_BYTES :], place.encode())
        except (InvalidTag, ValueError) as error:  # changed, or too short to be anything
            raise SpoiledError(f"a value in {place} was not sealed for it, or was changed since") from error

    def current(self, head: bytes) -> bool:
        """Whether a value that begins with `head` is sealed with the first key."""
        return head == _SEALED + self._newest

    def _key(self, sealed: bytes, place: str) -> AESGCM:
        number = int.from_bytes(sealed[len(_SEALED) : HEAD], "big")
        if number not in self._ciphers and self._reload is not None:
            self.ring = self._reload()
        if number not in self._ciphers:
            raise UnreadableError(f"a value in {place} is sealed with key {number}, which is not in the key file")
        return self._ciphers[number]

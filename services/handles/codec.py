"""The seam for encryption at rest: every secret column passes through one codec.

`Plain` stores values as they are. A sealed value begins with a byte that names how it was sealed, so that rows written
before encryption was switched on can still be read after it. `place` is where the value stands (its table and its
conversation): a codec that authenticates binds the value to it, so that a row copied elsewhere does not open.
"""

from typing import Final, Protocol

_PLAIN: Final = b"\x00"


class Codec(Protocol):
    """Turns a secret into what is stored, and back."""

    def seal(self, value: bytes, place: str) -> bytes:
        """What is stored for `value`."""
        ...

    def open(self, sealed: bytes, place: str) -> bytes:
        """The value behind what is stored.

        Raises:
            ValueError: It was not sealed by this codec, or not for this place.
        """
        ...


class Plain:
    """Stores values as they are."""

    def seal(self, value: bytes, place: str) -> bytes:  # noqa: ARG002 - the place binds nothing here
        """What is stored for `value`."""
        return _PLAIN + value

    def open(self, sealed: bytes, place: str) -> bytes:
        """The value behind what is stored.

        Raises:
            ValueError: It was sealed in another way.
        """
        if not sealed.startswith(_PLAIN):
            raise ValueError(f"a value in {place} is sealed in a way this codec does not know")
        return sealed.removeprefix(_PLAIN)

"""One whole message as one frame, RFC 6455 section 5.2, without the steps that a library goes through for any frame.

A mask has to be unpredictable, which is to say new for each frame and from a good source (section 5.3). The kernel is
asked for many at once: a system call for each cost as much as all the rest of framing.
"""

import os
from struct import Struct
from typing import Final

from websockets.frames import apply_mask  # type: ignore[attr-defined]  # in C where there is a compiler, as in the library

_TEXT: Final = 0x81
_BINARY: Final = 0x82
_MASKED: Final = 0x80
_SHORT: Final = 126
"""From this length on it takes two bytes more."""
_LONG: Final = 65_536
"""From this length on it takes eight."""
_HEADS: Final = (Struct("!BB"), Struct("!BBH"), Struct("!BBQ"))
_MASK: Final = 4
_MASKS: Final = 1_024
"""Masks that are fetched at once."""


def frame(message: bytes, *, text: bool) -> bytes:
    """A frame of a server's."""
    return _head(len(message), _TEXT if text else _BINARY, 0) + message


def _head(length: int, first: int, masked: int) -> bytes:
    if length < _SHORT:
        return _HEADS[0].pack(first, masked | length)
    if length < _LONG:
        return _HEADS[1].pack(first, masked | 126, length)
    return _HEADS[2].pack(first, masked | 127, length)


class Masking:
    """Frames of clients. No mask is used twice."""

    def __init__(self) -> None:
        self._masks = b""
        self._at = 0

    def frame(self, message: bytes, *, text: bool) -> bytes:
        """A frame of a client's."""
        at = self._at
        if at >= len(self._masks):
            self._masks, at = os.urandom(_MASK * _MASKS), 0
        self._at = at + _MASK
        mask = self._masks[at : at + _MASK]
        return _head(len(message), _TEXT if text else _BINARY, _MASKED) + mask + apply_mask(message, mask)

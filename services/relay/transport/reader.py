"""Messages of one whole frame each, RFC 6455 section 5.2, taken straight from the bytes that a connection brings.

Nearly all that is relayed is such a frame, and a library that is ready for any other takes thirty calls for it. What
else may come (pieces, control frames, wrong ones, lengths beyond the limit) is not judged here: it is left to the
library, from its first byte on.
"""

from collections.abc import Callable
from struct import Struct
from typing import Any, Final

from websockets.frames import apply_mask  # type: ignore[attr-defined]  # in C where there is a compiler, as in the library
from websockets.protocol import Protocol
from websockets.streams import StreamReader

_TEXT: Final = 0x81
_SIMPLE: Final = frozenset({_TEXT, 0x82})
"""How a final frame of text begins, or of bytes, with no reserved bit."""
_MASKED: Final = 0x80
_MASK: Final = 4
_SHORT: Final = 126
"""A length from here on is in the next two bytes, with this in its place."""
_LONG: Final = 65_536
"""A length from here on is in the next eight, with one more than `_SHORT` in its place."""
_HEAD: Final = Struct("!BBH")
_LONG_HEAD: Final = Struct("!BBQ")
_BETWEEN: Final = StreamReader.at_eof.__code__
"""Where the library's parser waits for the first byte of a frame."""


class FrameReader:
    """Reads what one connection brings while the library is `between` two messages.

    Args:
        masked: Whether the peer must mask what it sends: a client must, a server must not.
        largest: Bytes of a message.
    """

    __slots__ = ("_kept", "_largest", "_mask", "_masked", "_whole")

    def __init__(self, *, masked: bool, largest: int) -> None:
        self._masked, self._mask = (_MASKED, _MASK) if masked else (0, 0)
        self._largest = largest
        self._kept = bytearray()  # of a frame whose rest is still to come
        self._whole = 0  # bytes of that frame

    def read(self, data: bytes, give: Callable[[bytes, bool], None]) -> bytes:
        """Give every message, and whether it is text; what has come of one that is not whole yet is kept.

        Returns:
            What is left to the library, everything after the messages.
        """
        if self._whole:
            self._kept += data
            if len(self._kept) < self._whole:
                return b""
            data = self.let_go()
        at, size = 0, len(data)
        while size - at >= _HEAD.size:
            first, second, length = _HEAD.unpack_from(data, at)
            begin = at + _HEAD.size
            if second ^ self._masked != _SHORT or length < _SHORT:
                begin, length = self._other_length(data, at)
            if length > self._largest or first not in _SIMPLE:
                break
            begin += self._mask
            end = begin + length
            if end > size:
                self._kept += data[at:]
                self._whole = end - at
                return b""
            message = data[begin:end]
            give(apply_mask(message, data[begin - _MASK : begin]) if self._mask else message, first == _TEXT)
            at = end
        return data[at:]

    def let_go(self) -> bytes:
        """What is kept, which is kept no longer."""
        data = bytes(self._kept)
        self._kept.clear()
        self._whole = 0
        return data

    def _other_length(self, data: bytes, at: int) -> tuple[int, int]:
        """Where the mask or the message begins, and its length: beyond the limit if it is none, or is not all here."""
        length = data[at + 1] ^ self._masked
        if length < _SHORT:
            return at + 2, length
        if length == _SHORT + 1 and len(data) - at >= _LONG_HEAD.size:
            length = _LONG_HEAD.unpack_from(data, at)[2]
            if length >= _LONG:
                return at + _LONG_HEAD.size, length
        return at, self._largest + 1


def between(protocol: Protocol) -> bool:
    """Whether the library has handed on all that it was fed, and what comes next is the begin of a message."""
    waits: Any = protocol.parser
    while waits.gi_yieldfrom is not None:
        waits = waits.gi_yieldfrom
    return protocol.current_size is None and bool(waits.gi_code is _BETWEEN)

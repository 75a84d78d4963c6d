"""Frames as the library would make them, and read them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from services.relay.transport.framing import Masking, frame

LENGTHS = (0, 1, 125, 126, 127, 640, 65_535, 65_536, 100_000)


def read(data: bytes, *, mask: bool) -> Frame:
    """What the library reads in it, all of it."""
    reader = StreamReader()
    reader.feed_data(data)
    parsing = Frame.parse(reader.read_exact, mask=mask, max_size=None)
    with pytest.raises(StopIteration) as done:
        next(parsing)
    assert reader.buffer == b""
    found: Frame = done.value.value
    return found


@given(st.sampled_from(LENGTHS), st.booleans())
def test_a_servers_frame_is_the_librarys(length: int, text: bool) -> None:  # noqa: FBT001 - drawn
    """To the byte, at every length at which its head changes."""
    message = bytes(range(256)) * (length // 256 + 1)
    message = message[:length]
    opcode = Opcode.TEXT if text else Opcode.BINARY
    assert frame(message, text=text) == Frame(opcode, message).serialize(mask=False)


@given(st.sampled_from(LENGTHS), st.booleans())
def test_a_clients_frame_is_read_by_the_library(length: int, text: bool) -> None:  # noqa: FBT001 - drawn
    """Whole, final, masked, of its kind."""
    message = (bytes(range(256)) * (length // 256 + 1))[:length]
    found = read(Masking().frame(message, text=text), mask=True)
    assert (found.opcode, bytes(found.data), found.fin) == (Opcode.TEXT if text else Opcode.BINARY, message, True)


def test_every_frame_has_a_mask_of_its_own() -> None:
    """Also where masks had to be fetched anew."""
    masking = Masking()
    masks = [masking.frame(b"", text=True)[2:6] for _ in range(3_000)]
    assert all(len(mask) == 4 for mask in masks)
    assert len(set(masks)) >= 2_990, "four bytes may meet by chance"

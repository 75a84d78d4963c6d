"""The seam for encryption."""

import pytest

from services.handles.codec import Plain


@pytest.mark.parametrize("value", [b"", b"\x00", b"secret", bytes(range(256))])
def test_what_is_sealed_opens(value: bytes) -> None:
    """Any bytes come back as they were."""
    assert Plain().open(Plain().seal(value, "agents/1"), "agents/1") == value


@pytest.mark.parametrize("sealed", [b"", b"\x01ciphertext"])
def test_what_another_codec_sealed_is_refused(sealed: bytes) -> None:
    """Ciphertext is not taken for a value."""
    with pytest.raises(ValueError, match="agents/1"):
        Plain().open(sealed, "agents/1")

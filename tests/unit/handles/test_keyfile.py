"""The key file."""

from pathlib import Path

import pytest

from services.common.lifecycle import StartupError
from services.handles import keyfile


def test_a_made_key_is_read_back(tmp_path: Path) -> None:
    """The same 32 bytes, in a file for its owner alone."""
    path = tmp_path / "handles.key"
    key = keyfile.create(path)
    assert len(key) == 32
    assert keyfile.load(path) == key
    assert path.stat().st_mode & 0o777 == 0o600


def test_two_keys_differ(tmp_path: Path) -> None:
    """A key is random."""
    assert keyfile.create(tmp_path / "a") != keyfile.create(tmp_path / "b")


def test_no_file_is_no_key(tmp_path: Path) -> None:
    """Whether it may be made is for the database to say."""
    assert keyfile.load(tmp_path / "handles.key") is None


def test_a_key_is_never_written_over(tmp_path: Path) -> None:
    """A second creation is refused, and the first key stays."""
    path = tmp_path / "handles.key"
    key = keyfile.create(path)
    with pytest.raises(StartupError, match="file exists"):
        keyfile.create(path)
    assert keyfile.load(path) == key


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o644, 0o666, 0o601])
def test_a_key_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    """Whatever others may do with it; the text says what to run."""
    path = tmp_path / "handles.key"
    keyfile.create(path)
    path.chmod(mode)
    with pytest.raises(StartupError, match=f"chmod 600 {path}"):
        keyfile.load(path)


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"00" * 31, b"00" * 33, b"0g" * 32, b"00" * 32 + b"\n\n", b"\xff" * 65]
)
def test_a_malformed_key_is_refused_and_not_shown(tmp_path: Path, content: bytes) -> None:
    """One line that names the file and nothing of what is in it."""
    path = tmp_path / "handles.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(StartupError) as caught:
        keyfile.load(path)
    assert str(caught.value) == f"the key file {path} does not hold a key of 64 hex digits; restore it"


def test_a_key_file_that_is_a_directory_is_refused(tmp_path: Path) -> None:
    """What the system says of it is passed on."""
    with pytest.raises(StartupError, match="is a directory"):
        keyfile.load(tmp_path)

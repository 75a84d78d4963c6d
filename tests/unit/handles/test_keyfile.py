"""The key file."""

import os
from pathlib import Path

import pytest

from services.common.lifecycle import StartupError
from services.common.secret_files import mode_problem
from services.handles import keyfile


def test_a_made_key_is_read_back(tmp_path: Path) -> None:
    """A key of hashes and one to encrypt with, in a file for its owner alone."""
    path = tmp_path / "handles.key"
    ring = keyfile.create(path)
    assert (len(ring.hashes), ring.newest, len(ring.sealing[1])) == (32, 1, 32)
    assert keyfile.load(path) == ring
    assert path.stat().st_mode & 0o777 == 0o600


def test_two_keys_differ(tmp_path: Path) -> None:
    """A key is random."""
    assert keyfile.create(tmp_path / "a") != keyfile.create(tmp_path / "b")


def test_a_ring_does_not_show_its_keys() -> None:
    """Not in a traceback, not in a log of it."""
    ring = keyfile.new()
    assert ring.hashes.hex() not in repr(ring)
    assert repr(ring.hashes) not in repr(ring)


def test_a_new_key_seals_and_the_old_ones_stay(tmp_path: Path) -> None:
    """Each addition has the next number and comes first; the file is replaced whole, for its owner alone."""
    path = tmp_path / "handles.key"
    first = keyfile.create(path)
    second = first.extended().extended()
    keyfile.replace(path, second)
    assert list(second.sealing) == [3, 2, 1]
    assert (second.newest, second.hashes, second.sealing[1]) == (3, first.hashes, first.sealing[1])
    assert keyfile.load(path) == second
    assert list(keyfile.KeyRing(second.hashes, second.sealing).only(3).sealing) == [3]
    assert [entry.name for entry in tmp_path.iterdir()] == ["handles.key"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_replaced_file_stays_its_owners(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever changes keys as root leaves user, group and mode as they are; who may not, changes nothing."""
    path = tmp_path / "handles.key"
    first = keyfile.create(path)
    path.chmod(0o400)
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    monkeypatch.setattr(os, "chown", lambda _, user, group: given.append((user, group)))
    second = first.extended()
    keyfile.replace(path, second)
    assert given == [(path.stat().st_uid, path.stat().st_gid)]
    assert path.stat().st_mode & 0o777 == 0o400

    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chown", refused)
    with pytest.raises(StartupError, match="operation not permitted"):
        keyfile.replace(path, first)
    monkeypatch.undo()
    path.chmod(0o600)
    assert keyfile.load(path) == second


def test_a_file_without_an_encryption_key_is_refused(tmp_path: Path) -> None:
    """The text says how to add one; comments and empty lines mean nothing."""
    path = tmp_path / "handles.key"
    path.write_text("# made by hand\n\n" + "ab" * 32 + "\n\n")
    path.chmod(0o600)
    with pytest.raises(StartupError, match="has no encryption key; add a line"):
        keyfile.load(path)


@pytest.mark.parametrize(
    "line", ["1", "x " + "0" * 64, "1 " + "0" * 63, "0 " + "0" * 64, "2 " + "cd" * 32, "0" * 64, "1  " + "0" * 64]
)
def test_a_malformed_encryption_key_is_refused_and_not_shown(tmp_path: Path, line: str) -> None:
    """A line cut short, a number used twice: a key that is not understood is not passed over."""
    path = tmp_path / "handles.key"
    path.write_text("ab" * 32 + "\n2 " + "cd" * 32 + f"\n{line}\n")
    path.chmod(0o600)
    with pytest.raises(StartupError, match="has a line that is not") as caught:
        keyfile.load(path)
    assert "cdcd" not in str(caught.value)


@pytest.mark.parametrize(
    ("mode", "own", "problem"),
    [
        (0o600, True, False),
        (0o400, True, False),
        (0o400, False, False),
        (0o440, True, False),
        (0o440, False, False),
        (0o640, False, False),
        (0o640, True, True),
        (0o660, False, True),
        (0o444, False, True),
        (0o404, False, True),
    ],
)
def test_a_mounted_secret_may_be_readable_by_its_group(mode: int, own: bool, problem: bool) -> None:  # noqa: FBT001
    """What Kubernetes makes of a secret with `fsGroup`: nobody writes it, or it belongs to another user."""
    assert bool(mode_problem(0o100000 | mode, own=own)) is problem


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


@pytest.mark.parametrize("content", [b"", b"\n", b"00" * 31, b"00" * 33, b"0g" * 32, b"00" * 32 + b" 1", b"\xff" * 65])
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

"""The key file: the key of the hashes, and the ring of keys that values are encrypted with.

::

    # a line of 64 hex digits: the key of the hashes; it never changes
    7c1f...
    # NUMBER and 64 hex digits: encryption keys; the first one seals, each of them opens
    2 90aa...
    1 1be4...

It is for its owner alone, or mounted by a platform as `services.common.secret_files` says.
"""

import fcntl
import os
import re
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

from services.common.lifecycle import StartupError
from services.common.secret_files import mode_problem
from services.handles.digests import KEY_BYTES

_KEY: Final = rf"[0-9a-f]{{{2 * KEY_BYTES}}}"
_HASHES: Final = re.compile(_KEY)
_SEALING: Final = re.compile(rf"(?P<number>[1-9][0-9]{{0,8}}) (?P<key>{_KEY})")
_LONGEST: Final = 65536


@dataclass(frozen=True, slots=True)
class KeyRing:
    """What a key file holds; kept out of its own ``repr``.

    Args:
        hashes: The key of the hashes.
        sealing: The encryption keys by number, the sealing one first; at least one.
    """

    hashes: bytes = field(repr=False)
    sealing: Mapping[int, bytes] = field(repr=False)

    @property
    def newest(self) -> int:
        """The number of the key that seals."""
        return next(iter(self.sealing))

    def __str__(self) -> str:
        lines = [self.hashes.hex(), *(f"{number} {key.hex()}" for number, key in self.sealing.items())]
        return "".join(f"{line}\n" for line in lines)

    def extended(self) -> "KeyRing":
        """The ring with a new key, which seals from now on."""
        number = max(self.sealing) + 1
        return KeyRing(self.hashes, MappingProxyType({number: secrets.token_bytes(KEY_BYTES), **self.sealing}))

    def only(self, number: int) -> "KeyRing":
        """The ring with no other encryption key than one."""
        return KeyRing(self.hashes, MappingProxyType({number: self.sealing[number]}))


def new() -> KeyRing:
    """Fresh keys."""
    return KeyRing(secrets.token_bytes(KEY_BYTES), MappingProxyType({1: secrets.token_bytes(KEY_BYTES)}))


def load(path: Path) -> KeyRing | None:
    """Read the keys.

    Returns:
        The keys; None when there is no such file.

    Raises:
        StartupError: The file cannot be read, others may read it, or it does not hold what it must.
    """
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            text = file.read(_LONGEST).decode("ascii", errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable(path, error) from error
    problem = mode_problem(status.st_mode, own=status.st_uid == os.geteuid())
    if problem:
        raise StartupError(f"the key file {path} {problem}; run: chmod 600 {path}")
    return _parse(path, text)


def _parse(path: Path, text: str) -> KeyRing:
    lines = [line.strip() for line in text.splitlines()]
    first, *rest = [line for line in lines if line and not line.startswith("#")] or [""]
    found = [_SEALING.fullmatch(line) for line in rest]
    if _HASHES.fullmatch(first) is None:
        raise StartupError(f"the key file {path} does not hold a key of {2 * KEY_BYTES} hex digits; restore it")
    sealing = {int(match["number"]): bytes.fromhex(match["key"]) for match in found if match}
    if len(sealing) != len(rest):
        raise StartupError(
            f"the key file {path} has a line that is not a new NUMBER and {2 * KEY_BYTES} hex digits; restore it"
        )
    if not sealing:
        raise StartupError(f'the key file {path} has no encryption key; add a line: echo "1 $(openssl rand -hex 32)"')
    return KeyRing(bytes.fromhex(first), MappingProxyType(sealing))


def create(path: Path) -> KeyRing:
    """Make new keys and store them durably.

    Raises:
        StartupError: The file exists already, or cannot be written.
    """
    ring = new()
    try:
        _write(path, ring)
        _sync_directory(path.parent)
    except OSError as error:
        raise _unusable(path, error) from error
    return ring


def replace(path: Path, ring: KeyRing) -> None:
    """Store other keys in place of a file's: the whole old file or the whole new one is there at any moment.

    It stays its owner's, with its mode: who changes keys as root does not lock the service out.

    Raises:
        StartupError: It cannot be written, or not so that its owner can still read it.
    """
    beside = path.with_name(f".{path.name}.new")
    try:
        before = path.stat()
        beside.unlink(missing_ok=True)
        _write(beside, ring)
        if (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
            os.chown(beside, before.st_uid, before.st_gid)
        beside.chmod(stat.S_IMODE(before.st_mode))
        beside.replace(path)
        _sync_directory(path.parent)
    except OSError as error:
        raise _unusable(path, error) from error


@contextmanager
def changing(path: Path) -> Iterator[None]:
    """Keep others from changing a key file between the look at it and the change: they wait.

    Raises:
        StartupError: Its directory cannot be used.
    """
    try:
        directory = os.open(path.parent, os.O_RDONLY)  # the file itself is replaced
    except OSError as error:
        raise _unusable(path, error) from error
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)


def _write(path: Path, ring: KeyRing) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(str(ring))
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    """Make a new file's name as durable as its content."""
    directory = os.open(path, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _unusable(path: Path, error: OSError) -> StartupError:
    return StartupError(f"cannot use the key file {path}: {(error.strerror or 'unknown reason').lower()}")

"""The file with the key of the hashes: one line of hex, readable by its owner alone."""

import os
import re
import secrets
from pathlib import Path
from typing import Final

from services.common.lifecycle import StartupError
from services.handles.digests import KEY_BYTES

_LINE: Final = re.compile(rb"[0-9a-f]{%d}\n?" % (2 * KEY_BYTES))
_LONGEST: Final = 1024
_OTHERS: Final = 0o077


def load(path: Path) -> bytes | None:
    """Read the key.

    Returns:
        The key; None when there is no such file.

    Raises:
        StartupError: The file cannot be read, others may read it, or it does not hold a key.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            line = file.read(_LONGEST)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable(path, error) from error
    if mode & _OTHERS:
        raise StartupError(f"the key file {path} can be read by others; run: chmod 600 {path}")
    if _LINE.fullmatch(line) is None:
        raise StartupError(f"the key file {path} does not hold a key of {2 * KEY_BYTES} hex digits; restore it")
    return bytes.fromhex(line.decode())


def create(path: Path) -> bytes:
    """Make a new key and store it durably.

    Raises:
        StartupError: The file exists already, or cannot be written.
    """
    key = secrets.token_bytes(KEY_BYTES)
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(key.hex() + "\n")
            file.flush()
            os.fsync(file.fileno())
        _sync_directory(path.parent)
    except OSError as error:
        raise _unusable(path, error) from error
    return key


def _sync_directory(path: Path) -> None:
    """Make a new file's name as durable as its content."""
    directory = os.open(path, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _unusable(path: Path, error: OSError) -> StartupError:
    return StartupError(f"cannot use the key file {path}: {(error.strerror or 'unknown reason').lower()}")

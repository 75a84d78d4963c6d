"""A SQLite file before it is opened: made for its owner alone, or found to be ours to use."""

import os
import sqlite3
from pathlib import Path

from services.common.lifecycle import StartupError


def prepare(path: Path) -> None:
    """Make the directory and the file, both for their owner alone, or see that the file is ours to use.

    Raises:
        StartupError: The directory cannot be written, or the file is not a handle store's.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise unusable(path, error.strerror or str(error)) from error
    try:
        tables = _tables(path)
    except sqlite3.Error as error:
        raise unusable(path, str(error)) from error
    if tables and "alembic_version" not in tables:
        raise unusable(path, "it holds the data of another program")


def _tables(path: Path) -> set[str]:
    connection = sqlite3.connect(path)
    try:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    finally:
        connection.close()


def unusable(path: Path, why: str) -> StartupError:
    """What to tell when the database cannot be used."""
    return StartupError(f"cannot use the database {path}: {why.lower()}; restore it, or name another one")

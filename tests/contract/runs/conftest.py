"""The databases that runs are kept in. A new one is added here, and nowhere else."""

from pathlib import Path

import pytest

from tests.support import postgres


@pytest.fixture(name="url", params=["sqlite", "postgres"])
def _url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database of each kind."""
    return runs_url(request.param, tmp_path)


def runs_url(kind: str, directory: Path) -> str:
    """The URL of an empty database."""
    return f"sqlite:///{directory / 'runs.db'}" if kind == "sqlite" else postgres.server().database()

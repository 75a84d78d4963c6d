"""The databases that runs are kept in. A new one is added here, and nowhere else."""

from pathlib import Path

import pytest

from tests.support.simulator import runs_url


@pytest.fixture(name="url", params=["sqlite", "postgres"])
def _url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database of each kind."""
    return runs_url(request.param, tmp_path)

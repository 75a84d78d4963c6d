"""The backends that the store's contract runs on. A new one is added here, and nowhere else."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from services.handles import database
from services.handles.config import Settings
from services.handles.store import Store
from tests.support.conversations import MemoryStore
from tests.support.handles import on_postgres

Open = Callable[[Path], AbstractAsyncContextManager[Store]]


@asynccontextmanager
async def _memory(_: Path) -> AsyncIterator[Store]:
    yield MemoryStore()


@asynccontextmanager
async def _sqlite(directory: Path) -> AsyncIterator[Store]:
    async with database.opened(Settings.from_env({"FILO_DATA_DIR": str(directory)})) as opened:
        yield opened.store


@asynccontextmanager
async def _postgres(directory: Path) -> AsyncIterator[Store]:
    async with database.opened(on_postgres(directory)) as opened:
        yield opened.store


BACKENDS: dict[str, Open] = {"memory": _memory, "postgres": _postgres, "sqlite": _sqlite}
DURABLE = sorted(BACKENDS.keys() - {"memory"})


@pytest.fixture(name="store", params=sorted(BACKENDS))
async def _store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """An empty store of each kind."""
    async with BACKENDS[request.param](tmp_path) as store:
        yield store


@pytest.fixture(name="open_store", params=DURABLE)
def _open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], AbstractAsyncContextManager[Store]]:
    """Opens the same store again and again, for each kind that outlives its process."""
    return lambda: BACKENDS[request.param](tmp_path)

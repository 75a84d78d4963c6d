"""Services may be started in any order: each waits for what it needs, and none falls over."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support import postgres
from tests.support.handles import postgres_environ

PATIENCE = 60.0


@asynccontextmanager
async def handles(environ: dict[str, str], *arguments: str) -> AsyncIterator[Process]:
    """`filo handles` while the context is open."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("FILO_")}
    anywhere = dict.fromkeys(("FILO_HANDLES_ADDRESS", "FILO_HANDLES_METRICS_ADDRESS"), "127.0.0.1:0")
    command = (sys.executable, "-m", "services.cli.main", "handles", *arguments)
    process = await asyncio.create_subprocess_exec(*command, env=own | anywhere | environ, stdout=PIPE, stderr=PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def waits(process: Process) -> None:
    """The process says what it waits for."""
    assert process.stderr is not None
    async with asyncio.timeout(PATIENCE):
        assert b"waiting" in await process.stderr.readline()


async def test_the_handle_store_waits_for_its_database(tmp_path: Path) -> None:
    """PostgreSQL comes after it: no crash, no loop of restarts, and then it is ready."""
    server = await asyncio.to_thread(postgres.new_server)
    await asyncio.to_thread(server.start)
    environ = await asyncio.to_thread(postgres_environ, tmp_path, server)
    async with handles(environ, "migrate") as migration:
        assert await asyncio.wait_for(migration.wait(), PATIENCE) == 0
    await asyncio.to_thread(server.stop)
    async with handles(environ) as process:
        await waits(process)
        await asyncio.to_thread(server.start)
        assert process.stdout is not None
        assert b" ready: " in await asyncio.wait_for(process.stdout.readline(), PATIENCE)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), PATIENCE) == 0


async def test_a_service_that_waits_can_be_stopped(tmp_path: Path) -> None:
    """SIGTERM ends it in order, although it never was ready."""
    environ = {
        "FILO_DATA_DIR": str(tmp_path),
        "FILO_HANDLES_DATABASE_URL": f"postgresql://postgres@/filo?host={tmp_path}",
    }
    async with handles(environ) as process:
        await waits(process)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), PATIENCE) == 0

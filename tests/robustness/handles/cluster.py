"""Several server processes on one PostgreSQL, that are killed and started again."""

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from filo.handles.v1 import handles_pb2_grpc
from services.common.config import parse_address
from services.common.grpc_client import channel

_RUN = "import os, sys; from services.handles.service import main; sys.exit(main(os.environ))"
_TIMEOUT = 30.0


class Replica:
    """One server process, and a channel to the one that runs now.

    Args:
        environ: Its settings.
        log: Where its log goes.
    """

    def __init__(self, environ: Mapping[str, str], log: Path) -> None:
        self._environ = environ
        self._log = log
        self._process: Process | None = None
        self._stack = AsyncExitStack()
        self.stub: handles_pb2_grpc.HandlesServiceAsyncStub

    async def start(self) -> None:
        """Start the process, and wait until it is ready."""
        path = os.pathsep.join(entry for entry in sys.path if entry)
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                _RUN,
                env={"PYTHONPATH": path, **self._environ},
                stdin=DEVNULL,
                stdout=PIPE,
                stderr=log,
            )
        assert self._process.stdout is not None
        line = (await asyncio.wait_for(self._process.stdout.readline(), _TIMEOUT)).decode()
        if not line:
            raise RuntimeError(self._log.read_text(encoding="utf-8"))
        address = parse_address(line.partition("grpc ")[2].partition(",")[0])
        opened = await self._stack.enter_async_context(channel(address))  # the old one may still have calls
        self.stub = handles_pb2_grpc.HandlesServiceStub(opened)

    async def kill(self) -> None:
        """End the process as a power cut would."""
        assert self._process is not None
        self._process.kill()
        await self._process.wait()

    async def stop(self) -> None:
        """Close the channels, and end the process."""
        await self._stack.aclose()
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.communicate()


@asynccontextmanager
async def replicas(number: int, environ: Mapping[str, str], directory: Path) -> AsyncIterator[list[Replica]]:
    """So many servers with the same settings, ready; gone when the context is left."""
    made = [Replica(environ, directory / f"replica-{n}.log") for n in range(number)]
    try:
        await asyncio.gather(*(replica.start() for replica in made))
        yield made
    finally:
        await asyncio.gather(*(replica.stop() for replica in made))

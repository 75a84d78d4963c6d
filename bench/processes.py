"""Servers as processes of their own, and what they cost."""

import asyncio
import os
import re
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_READY: Final = re.compile(rb"grpc (127\.0\.0\.1:\d+)")
_START: Final = 60.0
_TICK: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Server:
    """A process that answers.

    Args:
        address: Where.
        process: Which.
    """

    address: str
    process: Process

    def cpu(self) -> float:
        """Seconds of processor time that it has used, all its threads together."""
        words = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / _TICK


@asynccontextmanager
async def started(command: Sequence[str], environ: Mapping[str, str]) -> AsyncIterator[Server]:
    """Run a server while the context is open.

    Raises:
        RuntimeError: It did not get ready.
    """
    process = await asyncio.create_subprocess_exec(*command, env={**os.environ, **environ}, stdout=PIPE, stderr=DEVNULL)
    try:
        async with asyncio.timeout(_START):
            line = await process.stdout.readline() if process.stdout else b""
        found = _READY.search(line)
        if found is None:
            raise RuntimeError(f"{command[-1]} did not start: {line!r}")
        yield Server(found[1].decode(), process)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()

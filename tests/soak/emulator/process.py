"""An emulator in a process of its own, whose memory and processor time are read from /proc."""

import asyncio
import os
import signal
import ssl
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.soak.emulator.measured import SETTLED

_RUN: Final = "import sys; from tests.soak.emulator.measured import main; sys.exit(main())"
_SETTLING: Final = 20.0
"""Seconds that the emulator may take to collect its garbage."""
_LOOK: Final = 0.01
_LOOKS: Final = 5
"""A socket is closed a moment before what belonged to it is gone: the least of some looks counts."""
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass
class Process:
    """The emulator's process, and where it listens."""

    pid: int
    url: str
    control_url: str
    trust: ssl.SSLContext
    settled_file: Path

    @property
    def files(self) -> int:
        """How many files and sockets it has open."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    async def settled(self) -> tuple[int, int]:
        """Let it collect its garbage and give back what it does not use.

        Returns:
            How many blocks of memory Python then holds, and how many bytes are resident.

        Raises:
            TimeoutError: It does not answer.
        """
        self.settled_file.unlink(missing_ok=True)
        os.kill(self.pid, signal.SIGUSR1)
        async with asyncio.timeout(_SETTLING):
            while not self.settled_file.exists():  # noqa: ASYNC110 - another process tells no event
                await asyncio.sleep(_LOOK)
        return int(self.settled_file.read_text(encoding="ascii")), self.memory

    async def rested(self, files: int) -> tuple[int, int]:
        """The same once it has closed its sockets, and has nothing more to do about them.

        Args:
            files: How many files it has open when nobody is connected.

        Raises:
            TimeoutError: It does not come to rest.
        """
        async with asyncio.timeout(_SETTLING):
            while self.files > files:  # noqa: ASYNC110 - likewise
                await asyncio.sleep(_LOOK)
        looks = [await self.settled() for _ in range(_LOOKS)]
        return min(blocks for blocks, _ in looks), min(memory for _, memory in looks)

    @property
    def memory(self) -> int:
        """Bytes that are resident."""
        return int(Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()[1]) * _PAGE

    @property
    def processor(self) -> float:
        """Seconds of processor time so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS


@asynccontextmanager
async def emulator(**settings: str) -> AsyncIterator[Process]:
    """An emulator in a process of its own."""
    with tempfile.TemporaryDirectory() as directory:
        ports = {"FILO_EMULATOR_ADDRESS": "127.0.0.1:0", "FILO_EMULATOR_CONTROL_ADDRESS": "127.0.0.1:0"}
        settled = Path(directory) / "settled"
        told = {"FILO_DATA_DIR": directory, "FILO_LOG_LEVEL": "WARNING", SETTLED: str(settled)}
        environ = {"PYTHONPATH": os.pathsep.join(sys.path), **told, **ports, **settings}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _RUN, env=environ, stdout=asyncio.subprocess.PIPE
        )
        try:
            assert process.stdout is not None
            words = (await process.stdout.readline()).decode().split()
            trust = ssl.create_default_context(cafile=words[6])
            yield Process(process.pid, words[2], words[4], trust, settled)
        finally:
            process.terminate()
            await process.communicate()

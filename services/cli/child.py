"""One child process: its output, its ready line, its end."""

import asyncio
import os
import signal
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TextIO

from services.cli import lifeline

_LONGEST_LINE: Final = 1 << 20
_LINES_KEPT: Final = 20

Echo = Callable[[str, str], None]
"""Takes a child's name and one line of its output."""


class ChildError(Exception):
    """A child could not start, or ended without being asked to.

    Args:
        name: The child.
        code: Its exit code, negative for a signal; None when it runs but never said that it is ready.
        lines: Its last lines of output.
        started: Whether it had been ready before.
    """

    def __init__(self, name: str, code: int | None, lines: Sequence[str], *, started: bool) -> None:
        self.name = name
        self.code = code
        self.lines = tuple(lines)
        self.started = started
        super().__init__(f"{name} {self.what}")

    @property
    def what(self) -> str:
        """What happened, in words that follow the child's name."""
        when = "has ended" if self.started else "ended before it was ready"
        if self.code is None:
            return "did not say that it is ready in time"
        if self.code < 0:
            return f"{when}: killed by {signal.Signals(-self.code).name}"
        return f"{when}: exit code {self.code}"

    @property
    def own_words(self) -> tuple[str, ...]:
        """The lines in which it says itself why it could not start, if it did (``name: why``)."""
        return tuple(line for line in self.lines if line.startswith(f"{self.name}: "))


@dataclass
class Child:
    """A process in a group of its own, whose output goes to a file and, where wanted, to somebody who listens.

    Args:
        name: What it is called in the ready line and in the log's name.
        command: The program and its arguments.
        environ: Its whole environment; the lifeline is added.
        log: The file its output is appended to; its directory exists.
        echo: Called with every line, if anybody wants them.
    """

    name: str
    command: Sequence[str]
    environ: Mapping[str, str]
    log: Path
    echo: Echo | None = None
    _lines: deque[str] = field(default_factory=lambda: deque(maxlen=_LINES_KEPT), init=False)
    _ready: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _where: str = field(default="", init=False)
    _ended: asyncio.Task[int] | None = field(default=None, init=False)
    _process: asyncio.subprocess.Process | None = field(default=None, init=False)

    @property
    def pid(self) -> int:
        """Its process id; 0 before its start."""
        return self._process.pid if self._process else 0

    async def start(self, within: float) -> str:
        """Start it and wait until it is ready.

        Safe to cancel; the process may be running then: `tell` it to end.

        Args:
            within: Seconds it may take.

        Returns:
            What its ready line says after the colon.

        Raises:
            ChildError: It ended, or was not ready in time.
        """
        self._process = await asyncio.create_subprocess_exec(
            *self.command,
            env={**self.environ, lifeline.SUPERVISOR: str(os.getpid())},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=_LONGEST_LINE,
            process_group=0,  # a Ctrl-C in the terminal is the supervisor's business
        )
        self._ended = asyncio.create_task(self._follow(self._process), name=f"follow {self.name}")
        ready = asyncio.create_task(self._ready.wait())
        try:
            await asyncio.wait({ready, self._ended}, timeout=within, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ready.cancel()
        if self._ended.done() or not self._ready.is_set():
            raise self.error(started=False)
        return self._where

    async def ended(self) -> int:
        """Wait until it is gone and all it printed is in the log; returns the exit code. Safe to cancel."""
        return await asyncio.shield(self._ended) if self._ended else 0

    def error(self, *, started: bool) -> ChildError:
        """What to tell about its end."""
        code = self._ended.result() if self._ended and self._ended.done() else None
        return ChildError(self.name, code, tuple(self._lines), started=started)

    def tell(self, number: signal.Signals) -> None:
        """Send a signal to it and to whatever it started; nothing happens when all of that is gone."""
        if self._process and self._ended and not self._ended.done():
            with suppress(ProcessLookupError):  # its end is known to the kernel, and not yet here
                os.killpg(self._process.pid, number)

    async def _follow(self, process: asyncio.subprocess.Process) -> int:
        with self.log.open("a", encoding="utf-8", buffering=1) as log:
            async with asyncio.TaskGroup() as group:
                for stream in (process.stdout, process.stderr):
                    if stream is not None:
                        group.create_task(self._pump(stream, log))
            return await process.wait()

    async def _pump(self, stream: asyncio.StreamReader, log: TextIO) -> None:
        while raw := await _line(stream):
            line = raw.decode(errors="replace").rstrip()
            log.write(f"{line}\n")
            self._lines.append(line)
            if self.echo:
                self.echo(self.name, line)
            said, colon, where = line.partition(" ready: ")
            if colon and said == self.name:
                self._where = where
                self._ready.set()


async def _line(stream: asyncio.StreamReader) -> bytes:
    """The next line; empty at the end of the stream."""
    try:
        return await stream.readline()
    except ValueError:  # longer than any line should be: StreamReader has dropped it
        return b"(a line too long to keep)\n"

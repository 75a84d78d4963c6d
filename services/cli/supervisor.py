"""Several services as child processes: started one after the other, stopped together, none left behind."""

import asyncio
import signal
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self, TypeVar

from services.cli.child import Child, ChildError, Echo

T = TypeVar("T")

READY_TIMEOUT: Final = 60.0
"""Seconds a service may take to start, on a slow and busy machine."""

STOP_TIMEOUT: Final = 2.0
"""Seconds all children together get between SIGTERM and SIGKILL."""


class Service(NamedTuple):
    """What to run: its name in the ready line, the program with its arguments, its whole environment."""

    name: str
    command: Sequence[str]
    environ: Mapping[str, str]


class Supervisor:
    """Children that live as long as this context is open.

    Leaving the context stops them: in the reverse order of their start, so that each can still reach those it leans
    on, and within `STOP_TIMEOUT`; what is left then is killed.

    Args:
        logs: The directory for their output, one file a child; made when missing.
        echo: Called with every line they print, if anybody wants them.
    """

    def __init__(self, logs: Path, echo: Echo | None = None) -> None:
        self._logs = logs
        self._echo = echo
        self._children: list[Child] = []
        self._starting: list[Child] = []
        self._services: dict[str, Service] = {}
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Make the directory for the logs."""
        self._logs.mkdir(parents=True, exist_ok=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop what runs."""
        await self.stop()

    async def start(self, service: Service, within: float = READY_TIMEOUT) -> str:
        """Start a service and wait for its ready line.

        Safe to cancel: leaving the context stops a child that was on its way.

        Args:
            service: What to run.
            within: Seconds it may take.

        Returns:
            What the ready line says after the colon.

        Raises:
            ChildError: It ended, or was not ready in time.
        """
        child = Child(*service, self._logs / f"{service.name}.log", self._echo)
        self._services[service.name] = service
        return await self._run(child, within)

    async def _run(self, child: Child, within: float) -> str:
        """Start a child; it is watched only once it is ready, and stopped with the others in any case."""
        self._starting.append(child)
        where = await child.start(within)
        self._starting.remove(child)
        self._children.append(child)
        self._changed.set()
        return where

    def pid(self, name: str) -> int:
        """The process id of a service that runs.

        Raises:
            KeyError: None of that name does.
        """
        return {child.name: child.pid for child in self._children}[name]

    async def restart(self, name: str, number: signal.Signals, away: float) -> None:
        """End a service on purpose, and start it again. Not safe to cancel, but `stop` cleans up after it.

        Args:
            name: Which one.
            number: How: SIGKILL at once, or SIGTERM, with SIGKILL after `STOP_TIMEOUT`.
            away: Seconds between its end and its return.

        Raises:
            KeyError: There is no such service.
            ChildError: It did not come back.
        """
        service = self._services[name]
        for child in [child for child in self._children if child.name == name]:
            self._children.remove(child)
            self._starting.append(child)  # still to be stopped, no longer watched
            self._changed.set()
            child.tell(number)
            await _bounded(child, STOP_TIMEOUT)
            child.tell(signal.SIGKILL)
            await child.ended()
            self._starting.remove(child)
        await asyncio.sleep(away)
        await self._run(Child(*service, self._logs / f"{name}.log", self._echo), READY_TIMEOUT)

    async def watch(self) -> ChildError:
        """Wait until a child ends that nobody stopped; returns what to tell about it. Safe to cancel."""
        while True:
            self._changed.clear()
            ends = {asyncio.create_task(child.ended()): child for child in self._children}
            changed = asyncio.create_task(self._changed.wait())
            try:
                done, _ = await asyncio.wait({*ends, changed}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (*ends, changed):
                    task.cancel()
            gone = [ends[task] for task in done if task in ends and ends[task] in self._children]
            if gone:
                return gone[0].error(started=True)

    async def guard(self, work: Coroutine[Any, Any, T]) -> T:
        """Do `work` for as long as every child lives. Safe to cancel: the work is cancelled too.

        Raises:
            ChildError: A child ended that nobody stopped; the work was cancelled.
        """
        working, watching = asyncio.create_task(work), asyncio.create_task(self.watch())
        try:
            await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                return working.result()
            raise watching.result()
        finally:
            working.cancel()
            watching.cancel()
            await asyncio.wait({working, watching})

    async def stop(self) -> None:
        """Stop every child; none is left when this returns. Once begun, it is over within about `STOP_TIMEOUT`."""
        children = [*self._starting, *self._children[::-1]]
        self._starting, self._children = [], []
        deadline = asyncio.get_running_loop().time() + STOP_TIMEOUT
        for waiting, child in zip(range(len(children), 0, -1), children, strict=True):
            child.tell(signal.SIGTERM)
            share = (deadline - asyncio.get_running_loop().time()) / waiting
            await _bounded(child, share)
        for child in children:
            child.tell(signal.SIGKILL)
        for child in children:
            await child.ended()


async def _bounded(child: Child, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await child.ended()

"""The life of a service process: parse, start, say ready, run until told to stop, stop in order.

Exit codes: 0 after a clean stop, 2 when it could not start (bad configuration, a port in use, an unreadable file): one
line for each problem on standard error and no traceback.
"""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack

import structlog
import uvloop

from services.common.config import Address, ConfigError

EXIT_CANNOT_START = 2


class StartupError(Exception):
    """The service cannot start; the text says what is wrong and what to do."""


class NotYetError(StartupError):
    """The service cannot start yet: something that it needs is not there, and may come."""


def port_error(address: Address, error: Exception) -> StartupError:
    """What to tell when `address` cannot be listened on."""
    known = error.strerror if isinstance(error, OSError) else None
    reason = known or "in use, or not an address of this machine"
    return StartupError(f"cannot listen on {address}: {reason.lower()}; stop what uses it or choose another address")


def run(name: str, start: Callable[[], AbstractAsyncContextManager[str]]) -> int:
    """Run one service until SIGTERM or SIGINT.

    Args:
        name: The service's name, put before each line it prints.
        start: Called inside the event loop; may raise `ConfigError` or `StartupError`. Entering the context means
            that the service is ready, and gives what the ready line says; leaving it stops the service.

    Returns:
        The process's exit code.
    """
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(name, start))
    except ConfigError as error:
        return refuse(name, *error.problems)
    except StartupError as error:
        return refuse(name, str(error))
    except BaseExceptionGroup as group:  # a start that had begun tasks already
        refusals, defects = group.split((ConfigError, StartupError))
        if refusals is None or defects is not None:
            raise
        return refuse(name, *(problem for error in leaves(refusals) for problem in problems(error)))
    return 0


def leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    """The exceptions in a group, however deep."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from leaves(error)
        else:
            yield error


def problems(error: BaseException) -> tuple[str, ...]:
    """What to tell of a start that failed."""
    return error.problems if isinstance(error, ConfigError) else (str(error),)


def refuse(name: str, *problems: str) -> int:
    """Print why the service cannot start, and give the exit code for it."""
    for problem in problems:
        print(f"{name}: {problem}", file=sys.stderr)  # noqa: T201 - the one line a person reads
    return EXIT_CANNOT_START


async def _serve(name: str, start: Callable[[], AbstractAsyncContextManager[str]]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop_or_die() -> None:
        if stop.is_set():  # the second signal: whoever sends it does not want to wait
            os._exit(1)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop_or_die)
    async with AsyncExitStack() as stack:
        starting = asyncio.ensure_future(stack.enter_async_context(start()))
        told = asyncio.ensure_future(stop.wait())
        await asyncio.wait((starting, told), return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            await asyncio.wait([starting])
            return
        where = await starting
        gc.collect()
        gc.freeze()  # what is there now stays: to look through all of it again would stop every conversation for 0.1 s
        print(f"{name} ready: {where}", flush=True)  # noqa: T201 - whoever started the process waits for this line
        await told
        structlog.stdlib.get_logger("filo").info("stopping", room=name)

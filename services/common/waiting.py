"""Starting a service whose database may not be there yet, so that services may be started in any order."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, Final, TypeVar

from services.common import grpc_server, logs
from services.common.config import Address
from services.common.lifecycle import NotYetError
from services.common.readiness import Readiness

_T = TypeVar("_T")

_INTERVAL: Final = 1.0
"""Seconds between two looks for what is not there yet."""


@asynccontextmanager
async def started(
    name: str, service: str, probes: Address | None, start: Callable[[], AbstractAsyncContextManager[_T]]
) -> AsyncIterator[_T]:
    """A service that runs while the context is open; entering waits for what it needs. Safe to cancel.

    Args:
        name: The service's name, for the log.
        service: Its full name in gRPC, for health.
        probes: Where health is served in the clear, if it is: while this waits, it shows that the process lives and is
            not ready. Nothing else listens until the service does.
        start: Starts it; tried again, from the beginning, as long as it raises `NotYetError`.

    Raises:
        StartupError: No waiting helps.
    """
    async with AsyncExitStack() as stack:
        yield await _waited_for(name, service, probes, lambda: stack.enter_async_context(start()))


async def _waited_for(
    name: str, service: str, probes: Address | None, start: Callable[[], Coroutine[Any, Any, _T]]
) -> _T:
    while True:
        try:
            return await start()
        except NotYetError as error:
            logs.get(name).warning("waiting", why=str(error))
            async with _unready(service, probes):
                await asyncio.sleep(_INTERVAL)


@asynccontextmanager
async def _unready(service: str, probes: Address | None) -> AsyncIterator[None]:
    """Show whoever probes that this process lives and is not ready."""
    if probes is None:
        yield
        return
    nobody = lambda _: None  # noqa: E731 - serves nothing but health
    async with grpc_server.serving(probes, [service], nobody, readiness=Readiness(ready=False)):
        yield

"""Each transport, on both of its sides, on the event loop that the relay runs on."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest
import uvloop

from services.relay.sockets import Transport
from services.relay.transport import LIBRARIES, named
from tests.support.peer import Pair, paired


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """As in production; the other tests of the relay run on the loop of the standard library."""
    del config, item
    return {"uvloop": uvloop.new_event_loop}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that hangs is ended by a thread: uvloop does not come back for a signal."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.timeout(60, method="thread"))


@pytest.fixture(params=LIBRARIES)
def transport(request: pytest.FixtureRequest) -> Transport:
    """Each of them."""
    return named(request.param)


@pytest.fixture(params=["server", "client", "tls"])
async def pair(request: pytest.FixtureRequest, transport: Transport) -> AsyncIterator[Pair]:
    """An open socket of the relay's on each side, and the other end."""
    async with paired(transport, request.param) as both:
        yield both

"""A relay that has more to do than its core can: late with everything, and nobody is lost for it.

The event loop is blocked again and again, for much longer than a dial may take. All the while connections grow old, and
Gemini takes some away. What a dial may cost is set so low that blaming Gemini for it would end every conversation.
"""

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from services.relay.core.model import Policy
from tests.support.client import Client
from tests.support.relay import RunningRelay, running_relay
from tests.support.storm import door

_CROWD = 24
_BUSY, _FREE = 0.4, 0.03
"""Seconds that the loop is blocked, and seconds between two blocks: it is late nine tenths of the time."""
_LASTS = 6.0


async def overload(seconds: float) -> None:
    """Have something else to do than relaying."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        time.sleep(_BUSY)  # noqa: ASYNC251 - what a loop does that has too much to do: not come back
        await asyncio.sleep(_FREE)


async def arrived(relay: RunningRelay, stack: AsyncExitStack) -> list[Client]:
    """A crowd, each with a handle."""
    clients = []
    for _ in range(_CROWD):
        client = await stack.enter_async_context(Client(relay.socket(await relay.create())))
        await client.wait_handles(1)
        clients.append(client)
    return clients


def rotations(clients: list[Client]) -> int:
    """How many the clients were told of."""
    return sum(len(client.all("session:rotated")) for client in clients)


@pytest.mark.parametrize("cut", [False, True])
async def test_nobody_is_lost(tmp_path: Path, cut: bool) -> None:  # noqa: FBT001
    """Each conversation goes on, on another connection, with its context; also those whose connection is taken away."""
    policy = Policy(
        max_age=0.0 if cut else 4.0,
        age_spread=1.0,
        stable_after=0.2,
        dials_a_drop=3,
        retry_base=0.05,
        retry_cap=0.2,
        stall_after=1.0,
        grace=60.0,
    )
    async with AsyncExitStack() as stack:
        between = await stack.enter_async_context(door())
        relay = await stack.enter_async_context(
            running_relay(
                tmp_path,
                emulator={"sessions": 4 * _CROWD},
                upstream_url=f"wss://127.0.0.1:{between.port}",
                policy=policy,
                connect_timeout=0.3,
                dials=4,
            )
        )
        between.target = int(relay.emulator.url.rpartition(":")[2])
        clients = await arrived(relay, stack)
        if cut:
            between.close()
            between.shut = False
        await overload(_LASTS)
        async with asyncio.timeout(60):
            for client in clients:
                await client.wait("session:rotated")
        assert [client.closed for client in clients] == [None] * _CROWD
        assert {message["continuity"] for client in clients for message in client.all("session:rotated")} == {"handle"}
        print(rotations(clients), "rotations", relay.metric("filo_relay_upstream_dials_total", outcome="late"), "late")  # noqa: T201

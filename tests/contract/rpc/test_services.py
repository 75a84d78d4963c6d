"""The three services keep the contract, each as it really runs."""

from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest

from services.contract import checks as contract
from services.contract.methods import SERVICES
from services.contract.target import Target
from tests.support.handles import running_handles
from tests.support.relay import running_relay
from tests.support.simulator import running_simulator

HANDLES, RELAY, REPLICA, SIMULATOR = SERVICES


async def broken(target: Target, services: Iterable[str]) -> list[str]:
    """What a server does not keep."""
    found = []
    for check in contract.checks(services):
        try:
            await check.run(target)
        except contract.BrokenError as error:
            found.append(str(error))
    return found


@pytest.fixture(name="handles")
async def _handles(tmp_path: Path) -> AsyncIterator[Target]:
    async with running_handles(tmp_path) as service:
        yield Target(service.address)


async def test_handles(handles: Target) -> None:
    """The handle store keeps every check."""
    assert await broken(handles, [HANDLES]) == []


async def test_relay(tmp_path: Path) -> None:
    """The relay keeps every check of both its services, those that need a client too."""
    async with running_relay(tmp_path) as relay:
        target = Target(relay.where.control_address, f"ws://{relay.where.client_address}")
        assert await broken(target, [RELAY, REPLICA]) == []


async def test_simulator(tmp_path: Path) -> None:
    """The simulator keeps every check."""
    async with (
        running_relay(tmp_path) as relay,
        running_simulator(
            tmp_path / "runs",
            control=relay.where.control_address,
            client_url=f"ws://{relay.where.client_address}",
        ) as simulator,
    ):
        assert await broken(Target(simulator.where.address), [SIMULATOR]) == []

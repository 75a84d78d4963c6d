"""Every check of what a running server has, as tests: see `services.contract.pytest_plugin`."""

import asyncio

import grpc
import pytest

from services.contract import checks, pytest_plugin, schema
from services.contract.checks import Check
from services.contract.methods import SERVICES
from services.contract.target import Target, reached


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Ask the server what it has.

    Raises:
        UsageError: It does not say.
    """
    if "check" not in metafunc.fixturenames:
        return
    target = pytest_plugin.target(metafunc.config)
    found = checks.checks(asyncio.run(_services(target)), clients=bool(target.clients))
    metafunc.parametrize("check", found, ids=[check.title for check in found])


async def _services(target: Target) -> list[str]:
    try:
        async with reached(target) as server:
            listed = await schema.listed(server)
    except grpc.aio.AioRpcError as error:
        raise pytest.UsageError(f"{target.address} does not answer reflection: {error.details()}") from error
    known = [name for name in SERVICES if name in listed]
    if not known:
        raise pytest.UsageError(f"{target.address} has no service of the contract")
    return known


def test_contract(check: Check, contract_target: Target) -> None:
    """The server keeps the contract."""
    asyncio.run(check.run(contract_target))

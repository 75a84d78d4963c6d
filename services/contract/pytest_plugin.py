"""The contract in the tests of any project that implements a service of it.

Against a server that is running, without writing anything::

    pytest -p services.contract.pytest_plugin --pyargs services.contract.suite --target HOST:PORT

Against a server that the tests start themselves, in its own test module::

    from services.contract import pytest_plugin as contract

    @contract.checks("filo.relay.v1.RelayService")
    async def test_contract(check, my_server):
        await check.run(contract.Target(my_server.address))
"""

import os
from collections.abc import Callable
from typing import Any

import pytest

from services.common.config import parse_address
from services.contract import checks as every
from services.contract.target import Target

__all__ = ["Target", "checks", "contract_target"]


def checks(*services: str, clients: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Run a test for every check of some services; it takes the check as ``check``.

    Args:
        services: Their full names, for example ``filo.relay.v1.RelayService``.
        clients: With the checks that need a client's socket: then `Target.clients` must be given.

    Raises:
        KeyError: One is not in the contract.
    """
    found = every.checks(services, clients=clients)
    return pytest.mark.parametrize("check", found, ids=[check.title for check in found])


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what says where the server is."""
    group = parser.getgroup("contract", "a running server that is held against Filo's contract")
    group.addoption("--target", help="where its gRPC listens, HOST:PORT; FILO_API_KEY goes with every call")
    group.addoption("--clients", default="", help="the relay's client sockets, ws://HOST:PORT, for what needs a client")


@pytest.fixture(scope="session")
def contract_target(pytestconfig: pytest.Config) -> Target:
    """The server of ``--target``; a project with other needs overrides this fixture."""
    return target(pytestconfig)


def target(config: pytest.Config) -> Target:
    """What the options say.

    Raises:
        UsageError: They do not say where the server is.
    """
    where = config.getoption("--target")
    if not where:
        raise pytest.UsageError("--target is missing: where does the server's gRPC listen?")
    try:
        address = parse_address(where)
    except ValueError as error:
        raise pytest.UsageError(f"--target: {error}") from error
    return Target(address, config.getoption("--clients").rstrip("/"), os.environ.get("FILO_API_KEY", ""))

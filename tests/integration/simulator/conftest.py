"""A whole stack a test: simulator, relay, handles and emulator, in this process on free ports."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.relay import RunningRelay, running_relay
from tests.support.simulator import RunningSimulator, running_simulator

Stack = Callable[..., AbstractAsyncContextManager[tuple[RunningSimulator, RunningRelay]]]


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    """Opens stacks; for example with ``lifetime=1.5, speed=20``, giving a simulator and the relay below it."""

    @asynccontextmanager
    async def opened(
        lifetime: float = 600.0,
        emulator: Mapping[str, Any] | None = None,
        relay: Mapping[str, Any] | None = None,
        **settings: Any,  # noqa: ANN401 - any field of Settings
    ) -> AsyncIterator[tuple[RunningSimulator, RunningRelay]]:
        with_account = settings.pop("with_account", True)
        given = {"lifetime": lifetime, **(emulator or {})}
        async with (
            running_relay(tmp_path, emulator=given, **(relay or {})) as below,
            running_simulator(
                tmp_path,
                control=below.where.control_address,
                client_url=f"ws://{below.where.client_address}",
                emulator_url=below.emulator.control_url if with_account else "",
                **settings,
            ) as simulator,
        ):
            yield simulator, below

    return opened

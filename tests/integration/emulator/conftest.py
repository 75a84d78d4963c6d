"""An emulator in this process for every test that wants the usual one."""

from collections.abc import AsyncIterator

import pytest

from tests.support.emulator import RunningEmulator, running_emulator


@pytest.fixture
async def emulator() -> AsyncIterator[RunningEmulator]:
    """An emulator with long-lived connections."""
    async with running_emulator() as running:
        yield running

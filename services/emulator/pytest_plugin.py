"""Fixtures for the tests of any project that talks to Gemini Live.

In its ``conftest.py``::

    pytest_plugins = ["services.emulator.pytest_plugin"]

Tests may be asynchronous or not; the emulator runs in a thread of its own.
"""

from collections.abc import Iterator

import pytest

from services.emulator import embedded
from services.emulator.embedded import EmbeddedEmulator


@pytest.fixture(scope="session")
def gemini_live_server() -> Iterator[EmbeddedEmulator]:
    """One emulator for all tests; a project that wants other settings overrides this fixture."""
    with embedded.running() as emulator:
        yield emulator


@pytest.fixture
def gemini_live(gemini_live_server: EmbeddedEmulator) -> Iterator[EmbeddedEmulator]:
    """The emulator, without the faults that an earlier test has planned."""
    gemini_live_server.clear()
    yield gemini_live_server
    gemini_live_server.clear()

"""What holds for every test."""

import logging
import os
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import settings

# How long an example takes depends on what else the machine does, and proves nothing. The examples are the same in each
# run, so that a run tells of the change and not of its luck; `FILO_EXPLORE=1` looks for new ones.
settings.register_profile("filo", deadline=None, derandomize=not os.environ.get("FILO_EXPLORE"))
settings.load_profile("filo")


@pytest.fixture
def logging_as_before() -> Iterator[None]:
    """Leave logging as it was found."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()

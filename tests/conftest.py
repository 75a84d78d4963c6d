"""What holds for every test."""

import os

from hypothesis import settings

# How long an example takes depends on what else the machine does, and proves nothing. The examples are the same in each
# run, so that a run tells of the change and not of its luck; `FILO_EXPLORE=1` looks for new ones.
settings.register_profile("filo", deadline=None, derandomize=not os.environ.get("FILO_EXPLORE"))
settings.load_profile("filo")

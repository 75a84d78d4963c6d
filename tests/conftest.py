"""What holds for every test."""

from hypothesis import settings

# How long an example takes depends on what else the machine does, and proves nothing.
settings.register_profile("filo", deadline=None)
settings.load_profile("filo")

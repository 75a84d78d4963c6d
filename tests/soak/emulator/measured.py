"""The emulator's own command, with a way to ask how much memory it really needs.

On SIGUSR1 it collects its garbage, gives unused memory back to the system, and writes into a file how many blocks
Python then holds: a number without the noise that allocators make.
"""

import ctypes
import gc
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Final

from services.emulator import service

SETTLED: Final = "FILO_TEST_SETTLED"
"""Names the file."""


def settle(_signal: int, _frame: FrameType | None) -> None:
    """Collect, give back, and tell."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    draft = Path(os.environ[SETTLED] + ".new")
    draft.write_text(str(sys.getallocatedblocks()), encoding="ascii")
    draft.rename(os.environ[SETTLED])


def main() -> int:
    """Run the emulator until it is stopped."""
    signal.signal(signal.SIGUSR1, settle)
    return service.main(os.environ)

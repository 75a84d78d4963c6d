"""A child that dies with its parent, even when the parent is killed and can tell nobody.

The supervisor puts its process id into the child's environment; the child, first of all, asks the kernel for a SIGKILL
at its parent's death (Linux, prctl(2) PR_SET_PDEATHSIG) and looks whether it is too late already. Asking in the child
instead of between fork and exec keeps the supervisor free to use threads. On other systems only an orderly stop
reaches the children.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Mapping
from typing import Final

SUPERVISOR: Final = "FILO_SUPERVISOR_PID"
"""Environment variable: the process id of the supervisor, in its children."""

_PR_SET_PDEATHSIG: Final = 1


def hold(environ: Mapping[str, str]) -> None:
    """Tie this process's life to its supervisor's, if it has one.

    Args:
        environ: Where `SUPERVISOR` is, when a supervisor started this process.

    Raises:
        SystemExit: The supervisor is gone already.
        OSError: The kernel refuses.
    """
    supervisor = environ.get(SUPERVISOR, "")
    if not supervisor.isdecimal() or sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    if os.getppid() != int(supervisor):  # it died before the request
        raise SystemExit(1)

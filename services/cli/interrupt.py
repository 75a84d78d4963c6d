"""Ctrl-C and SIGTERM as a cancellation of what runs, once: what cleans up afterwards is not interrupted again."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
"""What a person or a process manager sends to stop a command."""


@contextmanager
def cancelled_by_signals() -> Iterator[None]:
    """While open, the first of `SIGNALS` cancels the current task; later ones do nothing.

    Whoever opens it catches the `asyncio.CancelledError` inside. Must be used in the main thread.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    asked = False

    def cancel() -> None:
        nonlocal asked
        if task and not asked:
            asked = True
            task.cancel()

    for number in SIGNALS:
        loop.add_signal_handler(number, cancel)
    try:
        yield
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)

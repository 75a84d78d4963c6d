"""The terminal: lines that stay, and one at the bottom that is written over. Plain lines where there is no terminal."""

from types import TracebackType
from typing import Final, Self

from rich.console import Console, RenderableType
from rich.status import Status

from services.cli.train_view import Line

_WIDE: Final = 200
"""Columns for tables that go into a file or a pipe: nobody wraps there."""


class Screen:
    """Shows lines as they come.

    Use it as a context manager, so that the line at the bottom goes away.

    Args:
        console: Where to write; standard output when None.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        if not self._console.is_terminal:
            self._console.width = _WIDE
        self._status: Status | None = None

    def __enter__(self) -> Self:
        """Nothing to do yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the line at the bottom away."""
        self.status("")

    def show(self, what: Line | RenderableType) -> None:
        """Show something that stays."""
        if not isinstance(what, Line):
            self._console.print(what)
        elif self._console.is_terminal:
            self._console.print(what.render())
        else:
            self._console.print(str(what), markup=False, soft_wrap=True)

    def say(self, text: str, style: str = "") -> None:
        """Show a sentence that stays."""
        self._console.print(text, style=style, markup=False, soft_wrap=not self._console.is_terminal)

    def status(self, text: str) -> None:
        """Write the bottom line over, on a terminal; an empty text takes it away."""
        if not self._console.is_terminal:
            return
        if self._status is None and text:
            self._status = self._console.status(text)
            self._status.start()
        elif self._status and text:
            self._status.update(text)
        elif self._status:
            self._status.stop()
            self._status = None

"""Whether a service should be sent new work: told by the service, shown by its health and whatever else asks."""

from collections.abc import Callable


class Readiness:
    """A truth that several show.

    Args:
        ready: How it begins.
    """

    def __init__(self, *, ready: bool = True) -> None:
        self._ready = ready
        self._told: list[Callable[[bool], None]] = []

    @property
    def ready(self) -> bool:
        """Whether new work is welcome."""
        return self._ready

    def set(self, *, ready: bool) -> None:
        """Change it; everybody who wants to know is told at once."""
        if ready is not self._ready:
            self._ready = ready
            for tell in self._told:
                tell(ready)

    def follow(self, tell: Callable[[bool], None]) -> None:
        """Be told now, and of every change."""
        self._told.append(tell)
        tell(self._ready)

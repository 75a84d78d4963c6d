"""Resumption updates: when a session tells its client a handle, and when it says that there is none."""

from functools import partial
from typing import Final

from services.emulator import replies
from services.emulator.context import Context
from services.emulator.effects import Issued, Send
from services.emulator.faults import Moment
from services.emulator.handles import HandleStore, Snapshot
from services.emulator.profiles import Backend
from services.emulator.surroundings import Surroundings

EARLIEST: Final = 0.020
LATEST: Final = 0.070
"""An update comes 20 to 70 ms after ``turnComplete`` [OBS]."""
_GROUP: Final = "bookmark"


class Bookmarks:
    """The updates of one session.

    Args:
        around: Where updates go.
        store: Where handles are kept.
        lineage: What the session belongs to.
        model: The session's model; a handle is good for no other.
        backend: Its API; a handle is good for no other.
        transparent: Whether updates tell up to which message the handle holds what the client sent.
    """

    def __init__(
        self,
        around: Surroundings,
        store: HandleStore,
        lineage: str,
        model: str,
        backend: Backend,
        *,
        transparent: bool = False,
    ) -> None:
        self._around = around
        self._store = store
        self._lineage = lineage
        self._model = model
        self._backend = backend
        self._transparent = transparent

    def plan(self, now: float, context: Context, consumed: int) -> None:
        """Tell a handle for `context`, as it is at this moment, in a little while.

        Args:
            now: This moment.
            context: What the handle stands for.
            consumed: The client's last message whose content is in it, counted from the setup, which is 0.
        """
        delay = self._around.chance.uniform(EARLIEST, LATEST)
        self._around.agenda.at(now + delay, partial(self._issue, context, consumed), _GROUP)

    def withdraw(self, now: float) -> None:
        """Say that the session cannot be resumed from now on; an update that is still to come comes first [?]."""
        for step in self._around.agenda.cancel(_GROUP):
            step(now)
        self._around.emit(Send(replies.not_resumable(explicit=self._around.settings.explicit_unresumable)))

    def _issue(self, context: Context, consumed: int, due: float) -> None:
        if self._around.strike(Moment.UPDATE, due).suppressed:
            return
        handle = self._store.issue(Snapshot(self._lineage, self._model, context, self._backend))
        self._around.emit(Issued(handle, len(context.turns), context.tokens.total))
        self._around.emit(Send(replies.resumable(handle, consumed if self._transparent else None)))

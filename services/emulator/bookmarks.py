"""Resumption updates: when a session tells its client a handle, and when it says that there is none."""

from functools import partial
from typing import Final

from services.emulator import replies
from services.emulator.context import Context
from services.emulator.effects import Send
from services.emulator.faults import Moment
from services.emulator.handles import HandleStore, Snapshot
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
    """

    def __init__(self, around: Surroundings, store: HandleStore, lineage: str, model: str) -> None:
        self._around = around
        self._store = store
        self._lineage = lineage
        self._model = model

    def plan(self, now: float, context: Context) -> None:
        """Tell a handle for `context`, as it is at this moment, in a little while."""
        delay = self._around.chance.uniform(EARLIEST, LATEST)
        self._around.agenda.at(now + delay, partial(self._issue, context), _GROUP)

    def withdraw(self, now: float) -> None:
        """Say that the session cannot be resumed from now on; an update that is still to come comes first [?]."""
        for step in self._around.agenda.cancel(_GROUP):
            step(now)
        self._around.emit(Send(replies.not_resumable(explicit=self._around.settings.explicit_unresumable)))

    def _issue(self, context: Context, due: float) -> None:
        if self._around.strike(Moment.UPDATE, due).suppressed:
            return
        handle = self._store.issue(Snapshot(self._lineage, self._model, context))
        self._around.emit(Send(replies.resumable(handle)))

"""Resumption updates: when a session tells its client a handle, and when it says that there is none."""

import random
from collections.abc import Callable
from functools import partial
from typing import Final

from services.emulator import replies
from services.emulator.agenda import Agenda
from services.emulator.context import Context
from services.emulator.effects import Effect, Send
from services.emulator.handles import HandleStore, Snapshot

Step = Callable[[float], None]
"""Something planned; it is told the time it was planned for."""

EARLIEST: Final = 0.020
LATEST: Final = 0.070
"""An update comes 20 to 70 ms after ``turnComplete`` [OBS]."""
_GROUP: Final = "bookmark"


class Bookmarks:
    """The updates of one session.

    Args:
        store: Where handles are kept.
        lineage: What the session belongs to.
        model: The session's model; a handle is good for no other.
        agenda: Where an update is planned.
        emit: Takes the effects.
        chance: Chooses the delay of each update.
        suppressed: Whether a fault keeps this update from being told.
    """

    def __init__(
        self,
        store: HandleStore,
        lineage: str,
        model: str,
        agenda: Agenda[Step],
        emit: Callable[[Effect], None],
        chance: random.Random,
        suppressed: Callable[[float], bool],
    ) -> None:
        self._store = store
        self._lineage = lineage
        self._model = model
        self._agenda = agenda
        self._emit = emit
        self._chance = chance
        self._suppressed = suppressed

    def plan(self, now: float, context: Context) -> None:
        """Tell a handle for `context`, as it is at this moment, in a little while."""
        self._agenda.at(now + self._chance.uniform(EARLIEST, LATEST), partial(self._issue, context), _GROUP)

    def withdraw(self, now: float, *, explicit: bool) -> None:
        """Say that the session cannot be resumed from now on; an update that is still to come comes first [?]."""
        for step in self._agenda.cancel(_GROUP):
            step(now)
        self._emit(Send(replies.not_resumable(explicit=explicit)))

    def _issue(self, context: Context, due: float) -> None:
        if self._suppressed(due):
            return
        handle = self._store.issue(Snapshot(self._lineage, self._model, context))
        self._emit(Send(replies.resumable(handle)))

"""When the client is told that a turn is over: once the store has it.

A turn that was told to be complete and is not stored dies with this relay: the next one would answer its input again,
and the client would have the answer twice. So the word waits for the store, which the answer itself never does. A store
that is away must not keep a client waiting turn after turn: after a while it is told all the same, and that the turn is
not stored yet; then every turn is told at once until the store has answered.
"""

from collections import deque
from dataclasses import dataclass, replace

from services.relay.core.model import Turn
from services.relay.core.notices import TurnEnded


@dataclass(slots=True)
class _Over:
    """A turn that the store does not have yet; `since` is monotonic seconds."""

    word: TurnEnded
    since: float | None = None
    told: bool = False


class Completions:
    """The turns of one conversation that are over and not stored, in order.

    Args:
        patience: Seconds that the word of a turn's end waits for the store.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._waiting: deque[_Over] = deque()

    def over(self, turn: Turn) -> None:
        """A turn is over, and about to be stored."""
        self._waiting.append(_Over(TurnEnded(turn.number, turn.interrupted)))

    def stored(self, through: int) -> list[TurnEnded]:
        """The store has the turns up to this number: what the client is told of them."""
        words: list[TurnEnded] = []
        while self._waiting and self._waiting[0].word.turn <= through:
            over = self._waiting.popleft()
            words += [] if over.told else [over.word]
        for over in self._waiting:
            over.since = None  # the store answers: these wait anew
        return words

    def look(self, now: float) -> list[TurnEnded]:
        """What the client is told although the store does not have it, for it has waited long enough."""
        for over in self._waiting:
            over.since = now if over.since is None else over.since
        due = self._due
        return self.give_up() if due is not None and now >= due else []

    def give_up(self) -> list[TurnEnded]:
        """Tell everything now: there will be no later."""
        untold = [over for over in self._waiting if not over.told]
        for over in untold:
            over.told = True
        return [replace(over.word, stored=False) for over in untold]

    @property
    def deadline(self) -> float | None:
        """When `look` must be called again; None while nothing waits."""
        return self._due if any(not over.told for over in self._waiting) else None

    @property
    def _due(self) -> float | None:
        """When the oldest turn has waited long enough, told or not: what comes after it waits no longer than that."""
        since = self._waiting[0].since if self._waiting else None
        return None if since is None else since + self._patience

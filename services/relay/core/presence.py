"""Whether a client is there, and what it leaves to itself."""

from dataclasses import dataclass
from typing import Final

from services.relay.core.model import RotationMode, RotationReason

_ANNOUNCED: Final = frozenset({RotationReason.GO_AWAY, RotationReason.AGE})
"""Rotations that can wait for a client; what the relay itself has found wrong, it mends itself."""


@dataclass(slots=True)
class Presence:
    """The client of a conversation, as far as decisions depend on it.

    Args:
        away_since: Since when nobody is there; monotonic seconds.
        untouched: No client was ever let in.
        here: Whether one is there now.
        rotation: Who rotates; the newest client has said so.
        owed_welcome: It waits to be let in.
        stranger: It does not know what was told before it came.
    """

    away_since: float
    untouched: bool
    here: bool = False
    rotation: RotationMode = RotationMode.RELAY
    owed_welcome: bool = False
    stranger: bool = False

    def came(self, rotation: RotationMode, *, stranger: bool) -> None:
        """A client's socket has come."""
        self.here = self.owed_welcome = True
        self.rotation, self.stranger = rotation, stranger

    def went(self, now: float) -> None:
        """Its socket is gone."""
        self.here = self.owed_welcome = False
        self.away_since = now

    @property
    def rotates(self) -> bool:
        """Whether the client replaces connections by coming back."""
        return self.rotation is RotationMode.CLIENT

    def left_to_it(self, reason: RotationReason) -> bool:
        """Whether this rotation is the client's to do."""
        return self.rotates and reason in _ANNOUNCED

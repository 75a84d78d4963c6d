"""Whether the relay is still there. A dead network says nothing: so silence is asked, and no answer is an answer."""

from enum import Enum, auto

from filo.client.policy import Policy


class Pulse:
    """The relay's signs of life on one socket; times are readings of a monotonic clock, in seconds.

    Args:
        policy: How long a silence may be.

    Attributes:
        deadline: When `due` has something to say.
    """

    class Due(Enum):
        """What a silence has come to."""

        NOTHING = auto()
        ASK = auto()
        DEAD = auto()

    def __init__(self, policy: Policy) -> None:
        self.deadline = 0.0
        self._policy = policy
        self._asked = False

    def heard(self, now: float) -> None:
        """Something has come: whatever it was, the relay is there."""
        self.deadline = now + self._policy.ping_after
        self._asked = False

    def probe(self, now: float) -> "Pulse.Due":
        """Ask now, and wait no longer than a doubt deserves; what is to be done about it."""
        asked, self._asked = self._asked, True
        answer_by = now + self._policy.probe_timeout
        self.deadline = min(self.deadline, answer_by) if asked else answer_by
        return Pulse.Due.NOTHING if asked else Pulse.Due.ASK

    def due(self, now: float) -> "Pulse.Due":
        """What is to be done now that the time is `now`."""
        if now < self.deadline:
            return Pulse.Due.NOTHING
        if self._asked:
            return Pulse.Due.DEAD
        self._asked = True
        self.deadline = now + self._policy.ping_timeout
        return Pulse.Due.ASK

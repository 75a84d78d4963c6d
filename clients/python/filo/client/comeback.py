"""Whether to come back after a socket is gone, and when: close codes, attempts, the network, a fresh token."""

from collections.abc import Callable

from filo.client import close_codes
from filo.client.close_codes import Action
from filo.client.policy import Policy

CUT = 1006
"""RFC 6455, 7.1.5: the code of a connection that ended without a close frame."""

TOKEN_REFUSED = 4401
"""The one final close that a new session token may heal."""


class Comeback:
    """The attempts of a session to come back.

    Args:
        policy: How stubborn it is.
        chance: Gives numbers in [0, 1) for the waits.
        renewable: Whether the owner can give a new session token.

    Attributes:
        attempts: Tries since there was a session.
        cause: Why the session was lost: ``go_away``, ``cut``, ``silent``, ``left`` or the close code; empty while there
            is one.
        offline: There is no network, by what the machine knows.
        parked: The next attempt is made without much hope, and not counted: there is no network.
        wants_token: The last token was refused; the owner is to be asked for a new one.
    """

    def __init__(self, policy: Policy, chance: Callable[[], float], *, renewable: bool) -> None:
        self.attempts = 0
        self.cause = ""
        self.offline = self.parked = False
        self.wants_token = False
        self._policy = policy
        self._chance = chance
        self._renewable = renewable
        self._renewed = False
        self._lost_at = 0.0

    def lost(self, cause: str, now: float) -> None:
        """The session is lost, or is given up for another socket; the first cause counts."""
        if not self.cause:
            self.cause, self._lost_at = cause, now

    def back(self, now: float) -> float:
        """There is a session again; gives the seconds without one."""
        gap = now - self._lost_at
        self.attempts, self.cause, self._renewed = 0, "", False
        return gap

    def after(self, code: int) -> float | None:
        """Seconds to wait after a close; None when this was the end.

        What a machine says of its network is not always true (a relay on the same machine needs none), so attempts go
        on without one: slowly, and not counted.
        """
        action = close_codes.action(code)
        if code == TOKEN_REFUSED and self._renewable and not self._renewed:
            self._renewed = self.wants_token = True
            action = Action.RECONNECT
        if action is Action.STOP or not self._policy.attempts:
            return None
        self.parked = self.offline
        if self.parked:
            return self._policy.longest_wait
        return self.next(action) if self.attempts < self._policy.attempts else None

    def next(self, action: Action = Action.RECONNECT) -> float:
        """Count one more attempt; gives the seconds to wait before it."""
        self.parked = False
        self.attempts += 1
        return self._policy.wait(self.attempts, action, self._chance())

"""How stubbornly a client comes back (R3.3), as numbers; times are in seconds."""

from dataclasses import dataclass

from services.common.close_codes import Action


@dataclass(frozen=True, slots=True)
class Policy:
    """When to come back, how often, and how long to wait for what.

    Attributes:
        attempts: Tries in a row before the conversation is given up; 0 never comes back.
        first_wait: FILO_SIMULATOR_RECONNECT_SHORTEST_WAIT, FILO_SIMULATOR_RECONNECT_FIRST_WAIT. Bounds between which
            the wait before the first attempt is drawn.
        factor: How much longer each further wait is.
        longest_wait: No wait is longer; also the wait after a close that asks for patience (1013).
        open_timeout: For the TCP connection and the WebSocket handshake.
        greeting_timeout: FILO_SIMULATOR_RESUME_TIMEOUT. For `session:started` or `session:resumed` on an open socket.
        close_timeout: For the relay's answer to a close frame.
        follow_go_away: Reconnect when the relay says goAway; otherwise wait to be closed.
    """

    attempts: int = 3
    first_wait: tuple[float, float] = (1.0, 2.0)
    factor: float = 2.0
    longest_wait: float = 15.0
    open_timeout: float = 10.0
    greeting_timeout: float = 10.0
    close_timeout: float = 2.0
    follow_go_away: bool = True

    def wait(self, attempt: int, action: Action, chance: float) -> float:
        """Seconds to wait before an attempt.

        Args:
            attempt: From 1.
            action: What the close code asked for.
            chance: A number in [0, 1): where between the bounds, so that a thousand clients do not return at once.
        """
        if action is Action.WAIT:
            return self.longest_wait * (0.5 + chance / 2)
        low, high = self.first_wait
        return min(self.longest_wait, (low + (high - low) * chance) * self.factor ** (attempt - 1))

"""How stubbornly a client comes back, and how soon it notices that nobody is there; times are in seconds."""

from dataclasses import dataclass

from filo.client.close_codes import Action


@dataclass(frozen=True, slots=True)
class Policy:
    """When to come back, how often, and how long to wait for what.

    Attributes:
        attempts: Tries in a row before the conversation is given up; 0 never comes back.
        shortest_wait: No wait is shorter: the lower bound of the one before the first attempt.
        first_wait: The upper bound of the wait before the first attempt.
        factor: How much longer each further wait is.
        longest_wait: No wait is longer; also the wait after a close that asks for patience (1013).
        open_timeout: For the TCP connection and the WebSocket handshake, and for a new session token.
        greeting_timeout: For `session:started` or `session:resumed` on an open socket.
        close_timeout: For the relay's answer to a close frame.
        ping_after: Silence of the relay after which it is asked whether it is there.
        ping_timeout: For its answer; without one the socket is left as dead.
        probe_timeout: The same where there is a reason to doubt: the machine's network has changed.
        follow_go_away: Reconnect when the relay says goAway; otherwise wait to be closed.
    """

    attempts: int = 3
    shortest_wait: float = 1.0
    first_wait: float = 2.0
    factor: float = 2.0
    longest_wait: float = 15.0
    open_timeout: float = 10.0
    greeting_timeout: float = 10.0
    close_timeout: float = 2.0
    ping_after: float = 10.0
    ping_timeout: float = 10.0
    probe_timeout: float = 3.0
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
        first = self.shortest_wait + (self.first_wait - self.shortest_wait) * chance
        return min(self.longest_wait, first * self.factor ** (attempt - 1))

"""The session token that a client is told with each resume handle, so that it can always come back.

To sign one costs more than to tell it, and handles come with each turn. So a token is told again until a part of its
life is over.
"""

from typing import Final

from services.common.clock import Clock
from services.relay.client.session_tokens import Claims, SessionTokens

_FRESH: Final = 0.1
"""The share of its life in which a token is told again; the client has nine tenths of it left at the least."""
_DUE: Final = 0.5
"""The share of its life after which a client that is told nothing else is told a new one."""


class TokenRenewal:
    """The newest session token of one conversation.

    Args:
        tokens: Signs.
        claims: What the client's own token said.
        clock: Tells its age.
    """

    def __init__(self, tokens: SessionTokens, claims: Claims, clock: Clock) -> None:
        self._tokens = tokens
        self._claims = claims
        self._clock = clock
        self._token = ""
        self._made = clock.monotonic()

    @property
    def due(self) -> bool:
        """Whether half of the life is over of what the client has."""
        return self._age >= self._tokens.lifetime * _DUE

    def token(self) -> str:
        """A token that has most of its life before it."""
        if not self._token or self._age >= self._tokens.lifetime * _FRESH:
            self._token, _ = self._tokens.sign(self._claims)
            self._made = self._clock.monotonic()
        return self._token

    @property
    def _age(self) -> float:
        return self._clock.monotonic() - self._made

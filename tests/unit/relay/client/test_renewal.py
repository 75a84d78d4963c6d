"""A client always has a token with most of its life before it, and no more are signed than that takes."""

from datetime import datetime

from services.relay.client.renewal import TokenRenewal
from services.relay.client.session_tokens import Claims, SessionTokens
from tests.support.clock import ManualClock

CLAIMS = Claims("conversations/c", "assistant", "u1")


class Signing(SessionTokens):
    """Counts."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__({"k": "k" * 32}, "k", 100.0, clock)
        self.signed = 0

    def sign(self, claims: Claims) -> tuple[str, datetime]:
        """Count, and sign."""
        self.signed += 1
        return super().sign(claims)


def test_a_token_is_told_again_while_it_is_fresh() -> None:
    """A tenth of its life; then there is another, and each is good."""
    clock = ManualClock()
    tokens = Signing(clock)
    renewal = TokenRenewal(tokens, CLAIMS, clock)
    told = []
    for _ in range(20):
        told.append(renewal.token())
        clock.advance(5.0)
        assert tokens.verify(told[-1]) == CLAIMS
    assert tokens.signed == 10
    assert len(set(told)) == 10


def test_it_is_due_at_half_of_its_life() -> None:
    """Of the client's own token as of those that it was told."""
    clock = ManualClock()
    renewal = TokenRenewal(Signing(clock), CLAIMS, clock)
    for _ in range(2):
        clock.advance(49.0)
        assert not renewal.due
        clock.advance(2.0)
        assert renewal.due
        renewal.token()
        assert not renewal.due

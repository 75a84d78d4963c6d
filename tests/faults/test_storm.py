"""Gemini is gone for a while, for everybody at once."""

from pathlib import Path

from services.relay.upstream.breaker import BreakerPolicy
from tests.support.storm import storm

BREAKER = BreakerPolicy(failures=10, probe_interval=0.5, dials_a_second=40.0)
_JITTER = 1.2 * 1.3
"""A relay that was late makes up for a fifth of a second; and what leaves evenly arrives in bunches."""


async def test_a_storm_stays_under_the_bound_and_everybody_recovers(tmp_path: Path) -> None:
    """While everything is refused only probes go, afterwards so many a second; each conversation keeps its context."""
    outcome = await storm(tmp_path, conversations=120, seconds=3.0, breaker=BREAKER)
    print(outcome)  # noqa: T201 - what it took, for `-s`
    assert outcome.busiest <= _JITTER * BREAKER.dials_a_second
    probes = outcome.lasted / BREAKER.probe_interval + 1
    assert BREAKER.failures <= outcome.refused <= 2 * BREAKER.failures + probes
    assert len(outcome.recovered) == 120
    for client in outcome.clients:
        (rotated,) = client.all("session:rotated")
        assert (rotated["reason"], rotated["continuity"]) == ("upstream_closed", "handle")

"""The circuit breaker: bounded dials whatever happens, and back to normal at the first success."""

import pytest

from services.relay.upstream.breaker import Breaker, BreakerPolicy, BreakerState

POLICY = BreakerPolicy(failures=3, probe_interval=2.0, dials_a_second=10.0)


def dials(breaker: Breaker, start: float, end: float, *, succeed: bool) -> int:
    """How many dials go when somebody asks every millisecond."""
    count = 0
    for step in range(int((end - start) * 1000)):
        now = start + step / 1000
        if not breaker.wait(now):
            count += 1
            if succeed:
                breaker.succeeded(now)
            else:
                breaker.failed()
    return count


def test_while_closed_dials_are_spread() -> None:
    """Ten a second, whoever asks."""
    assert dials(Breaker(POLICY), 0.0, 5.0, succeed=True) == 50


def test_who_has_waited_for_a_relay_that_was_late_need_not_wait_again() -> None:
    """Those that would have gone meanwhile go at once, within bounds; who comes only now waits its turn."""
    breaker = Breaker(POLICY)
    assert not breaker.wait(0.0, since=0.0)
    assert [breaker.wait(0.25, since=0.0) for _ in range(3)] == pytest.approx([0.0, 0.0, 0.05])
    assert [breaker.wait(9.0, since=0.0) for _ in range(4)] == pytest.approx([0.0, 0.0, 0.0, 0.1])
    assert [breaker.wait(20.0, since=20.0) for _ in range(2)] == pytest.approx([0.0, 0.1])


def test_when_gemini_is_down_only_probes_go() -> None:
    """Three failures open it; then one dial in two seconds."""
    breaker = Breaker(POLICY)
    assert dials(breaker, 0.0, 0.3, succeed=False) == 3
    assert breaker.state is BreakerState.OPEN
    assert dials(breaker, 0.3, 20.3, succeed=False) <= 11


def test_a_probe_that_succeeds_closes_it() -> None:
    """Those who wait go at once, spread as before."""
    breaker = Breaker(POLICY)
    dials(breaker, 0.0, 0.3, succeed=False)
    breaker.succeeded(1.0)
    assert breaker.state is BreakerState.CLOSED
    assert dials(breaker, 1.0, 2.0, succeed=True) == 10


def test_one_success_between_failures_keeps_it_closed() -> None:
    """Only failures in a row count."""
    breaker = Breaker(POLICY)
    for _ in range(10):
        breaker.failed()
        breaker.failed()
        breaker.succeeded(0.0)
    assert breaker.state is BreakerState.CLOSED

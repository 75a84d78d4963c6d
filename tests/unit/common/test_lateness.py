"""What a process was late is taken off before anybody else is judged by the time."""

import asyncio

import pytest

from services.common.lateness import INTERVAL, Lateness, Overload, forgivable, patience


def late_by(*lags: float) -> tuple[Lateness, float]:
    """A loop that came back so late, one look after another; and what time it is then."""
    now = 100.0
    lateness = Lateness(now)
    for lag in lags:
        now += INTERVAL + lag
        assert lateness.looked(now) == pytest.approx(lag)
    return lateness, now


def test_a_loop_that_is_on_time_was_never_late() -> None:
    """A timer's own precision is no lateness."""
    lateness, now = late_by(*[0.001] * 40)
    assert lateness.since(100.0, now) == 0.0
    assert lateness.lag(now) == 0.0


def test_lateness_adds_up() -> None:
    """Of the whole time, and of its last part."""
    lateness, now = late_by(1.0, 0.0, 0.5, 2.0)
    assert lateness.since(100.0, now) == pytest.approx(3.5)
    assert lateness.since(now - 2.0 - INTERVAL - 0.1, now) == pytest.approx(2.1)
    assert lateness.since(now - 1.5, now) == pytest.approx(1.5), "not more than has passed"
    assert lateness.since(now, now) == 0.0


def test_a_look_that_is_overdue_counts_before_it_is_taken() -> None:
    """Whoever asks first after a pause need not wait for it."""
    lateness, now = late_by(0.0)
    assert lateness.since(now, now + INTERVAL) == 0.0
    assert lateness.since(now, now + INTERVAL + 30.0) == pytest.approx(30.0)
    assert lateness.since(now + INTERVAL + 20.0, now + INTERVAL + 30.0) == pytest.approx(10.0)


def test_old_lateness_is_forgotten() -> None:
    """The memory is bounded."""
    lateness, now = late_by(1.0, *[0.0] * 3100)
    assert lateness.since(0.0, now) == 0.0


@pytest.mark.parametrize("lag", [0.05, 0.25, 1.0])
def test_the_lag_is_a_mean(lag: float) -> None:
    """Over the last seconds, however long each of them took."""
    lateness, now = late_by(*[lag] * 60)
    assert lateness.lag(now) == pytest.approx(lag, rel=0.15)


@pytest.mark.parametrize(
    ("lasted", "late", "ours"),
    [(10.0, 0.0, False), (10.0, 2.4, False), (10.0, 2.5, True), (0.5, 0.2, False), (0.5, 0.3, True)],
)
def test_a_failure_is_forgiven_where_a_quarter_of_its_time_was_our_own(lasted: float, late: float, ours: bool) -> None:  # noqa: FBT001
    """And more than any process may be late."""
    assert forgivable(lasted, late) is ours


def test_an_overload_ends_well_below_where_it_began() -> None:
    """Whoever is told does not flutter."""
    overload = Overload(0.2)
    assert [overload.look(lag) for lag in (0.1, 0.19, 0.2, 0.15, 0.1, 0.09, 0.15)] == [
        False,
        False,
        True,
        True,
        True,
        False,
        False,
    ]
    assert not Overload(0.0).look(99.0), "it is turned off"


async def test_patience_is_given_what_this_process_was_late() -> None:
    """As long as it was; not longer."""
    loop = asyncio.get_running_loop()
    lateness = iter([0.05, 0.05])
    began = loop.time()
    with pytest.raises(TimeoutError):
        async with patience(0.02, lambda _: next(lateness)):
            await asyncio.Event().wait()
    assert loop.time() - began >= 0.07 - 0.002


async def test_what_is_done_in_time_is_left_alone() -> None:
    """Also where somebody cancels it."""
    async with patience(5.0, lambda _: 0.0):
        await asyncio.sleep(0)
    task = asyncio.create_task(_waits())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def _waits() -> None:
    async with patience(5.0, lambda _: 0.0):
        await asyncio.Event().wait()

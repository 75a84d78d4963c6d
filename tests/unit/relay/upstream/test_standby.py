"""The connection in readiness: one at a time, renewed, taken once, never left behind."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest

from services.relay.upstream.connection import Dialler, Upstream, UpstreamLostError
from services.relay.upstream.gate import Ticket
from services.relay.upstream.standby import RENEWALS, Standby


class FakeUpstream:
    """A connection that can only end."""

    def __init__(self) -> None:
        self.is_open = True

    def abort(self) -> None:
        """Drop it."""
        self.is_open = False


class FakeDialler:
    """Connects at once, or fails."""

    def __init__(self, *, works: bool = True) -> None:
        self.works = works
        self.tickets: list[Ticket] = []
        self.made: list[FakeUpstream] = []

    async def connect(self, ticket: Ticket) -> Upstream:
        """Connect."""
        self.tickets.append(ticket)
        if not self.works:
            raise UpstreamLostError(1006, "refused")
        self.made.append(FakeUpstream())
        return cast("Upstream", self.made[-1])


class Tried:
    """Told that a connection stands, or cannot be had."""

    def __init__(self) -> None:
        self.once = asyncio.Event()
        self.told: list[bool] = []

    def __call__(self, stands: bool) -> None:  # noqa: FBT001 - as a standby tells it
        """Note it."""
        self.once.set()
        self.told.append(stands)


@asynccontextmanager
async def held(dialler: FakeDialler, fresh: float = 60.0) -> AsyncIterator[tuple[Standby, "asyncio.Task[None]", Tried]]:
    """A standby that holds; how often it told that it had tried."""
    tried = Tried()
    standby = Standby(cast("Dialler", dialler), 100.0, fresh)
    task = asyncio.create_task(standby.hold(tried))
    yield standby, task, tried
    task.cancel()
    await asyncio.wait([task])
    assert sum(upstream.is_open for upstream in dialler.made) <= 1


async def test_what_is_taken_is_open_and_no_longer_held() -> None:
    """One connection, told of once, taken once; the task ends and leaves it alone."""
    dialler = FakeDialler()
    async with held(dialler) as (standby, task, tried):
        taken = await standby.take(50.0)
        assert taken is cast("Upstream", dialler.made[0])
        await task
        assert dialler.made[0].is_open
        assert tried.told == [True]
        assert await standby.take(50.0) is None


async def test_one_that_is_not_wanted_is_dropped() -> None:
    """Cancelling closes it."""
    dialler = FakeDialler()
    async with held(dialler) as (_, task, tried):
        await tried.once.wait()
        task.cancel()
        await asyncio.wait([task])
        assert not dialler.made[0].is_open


async def test_one_that_has_ended_is_not_given() -> None:
    """Whoever wants it dials then."""
    dialler = FakeDialler()
    async with held(dialler) as (standby, _, tried):
        await tried.once.wait()
        dialler.made[0].is_open = False
        assert await standby.take(50.0) is None


@pytest.mark.parametrize("wanted", [True, False])
async def test_one_that_cannot_be_made_holds_nobody_up(wanted: bool) -> None:  # noqa: FBT001
    """It is told, once, and there is nothing to take."""
    async with held(FakeDialler(works=False)) as (standby, task, tried):
        if wanted:
            assert await standby.take(50.0) is None
        await task
        assert tried.told == [False]


async def test_an_old_one_is_renewed_and_not_for_ever() -> None:
    """One at a time, each dropped before the next is made; the number is bounded."""
    dialler = FakeDialler()
    async with held(dialler, fresh=0.001) as (standby, task, tried):
        await task
        assert len(dialler.made) == 1 + RENEWALS
        assert not any(upstream.is_open for upstream in dialler.made)
        assert tried.told == [True]
        assert await standby.take(50.0) is None


async def test_one_that_cannot_be_renewed_is_told() -> None:
    """What stood ready is gone; who wanted it asks again."""
    dialler = FakeDialler()
    async with held(dialler, fresh=0.001) as (_, task, tried):
        await tried.once.wait()
        dialler.works = False
        await task
        assert tried.told == [True, False]


async def test_whoever_takes_it_while_it_waits_for_its_turn_hurries_it() -> None:
    """The connection that still worked is gone: this one is wanted now, not when that would have ended."""
    dialler = FakeDialler()
    async with held(dialler) as (standby, _, tried):
        await tried.once.wait()
        (ticket,) = dialler.tickets
        assert ticket.wanted_by == 100.0
        await standby.take(3.0)
        assert ticket.wanted_by == 3.0

"""What simulators rely on when they share a database: one run is performed by one of them, and by no other."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from filo.simulator.v1 import simulator_pb2 as pb
from services.common.errors import Reason, ServiceError
from services.simulator import store as stores
from services.simulator.leases import Leases
from services.simulator.store import NOBODY, Claim, FencedError, Store
from tests.support.clock import ManualClock

REPLICAS = 6
LEASE = 10.0


@pytest.fixture(name="store")
async def _store(url: str) -> AsyncIterator[Store]:
    """The runs, opened."""
    async with stores.opened(url) as store:
        yield store


@pytest.fixture(name="replicas")
async def _replicas(url: str) -> AsyncIterator[list[Store]]:
    """The same runs, opened by several simulators that start at once."""
    async with AsyncExitStack() as stack:
        yield await asyncio.gather(*(stack.enter_async_context(stores.opened(url)) for _ in range(REPLICAS)))


async def kept(store: Store, number: int = 1, holder: str = NOBODY) -> pb.Run:
    """A new run."""
    spec = pb.RunSpec(turns=3)
    run = pb.Run(name=f"runs/{number}", spec=spec)
    made, is_new = await store.create(str(uuid.uuid4()), spec, run, holder)
    assert is_new
    return made


def said(sequence: int) -> pb.WatchRunResponse:
    """An event."""
    return pb.WatchRunResponse(sequence=sequence, prospect_said=pb.ProspectSaid(text=f"line {sequence}"))


async def test_the_same_request_is_the_same_run_in_every_replica(replicas: list[Store]) -> None:
    """Given to all of them at once: one run, the same for all; with another spec it is refused."""
    request, spec = str(uuid.uuid4()), pb.RunSpec(turns=3)
    made = await asyncio.gather(
        *(replica.create(request, spec, pb.Run(name=f"runs/{at}", spec=spec)) for at, replica in enumerate(replicas))
    )
    assert len({run.name for run, _ in made}) == 1
    assert sorted(is_new for _, is_new in made) == [False] * (REPLICAS - 1) + [True]
    with pytest.raises(ServiceError) as refused:
        await replicas[0].create(request, pb.RunSpec(turns=4), pb.Run(name="runs/x"))
    assert refused.value.reason is Reason.REQUEST_ID_REUSED


async def test_one_of_many_gets_a_run(replicas: list[Store]) -> None:
    """Compare and set: of replicas that saw the same lease and claim it at once, exactly one has it, for each run."""
    for number in range(1, 21):
        await kept(replicas[0], number)
    seen = await replicas[0].claims_of_others("r0")
    assert len(seen) == 20
    for claim in seen:
        got = await asyncio.gather(*(replica.claim(claim, f"r{at}") for at, replica in enumerate(replicas)))
        assert sorted(got) == [False] * (REPLICAS - 1) + [True]
    held = [run for at, replica in enumerate(replicas) for run in await replica.beat(f"r{at}")]
    assert sorted(held) == sorted(claim.run for claim in seen)


async def test_a_holder_that_lives_keeps_its_runs(store: Store) -> None:
    """A lease that beats is nobody else's, however long it lasts; one that stands still is, after a whole lease."""
    clock = ManualClock()
    await kept(store, 1, "living")
    await kept(store, 2, "dead")
    other = Leases(store, "other", clock, LEASE)
    assert await other.abandoned() == []
    for _ in range(3):
        clock.advance(LEASE / 2)
        await store.beat("living")
        found = await other.abandoned()
    assert [claim.run for claim in found] == ["runs/2"]
    assert await store.claim(found[0], "other")
    assert set(await store.beat("other")) == {"runs/2"}
    assert set(await store.beat("dead")) == set()


async def test_a_run_that_waits_is_anybodys_at_once(store: Store) -> None:
    """One that was started where there was no room, or was given back."""
    leases = Leases(store, "other", ManualClock(), LEASE)
    await kept(store)
    (claim,) = await leases.abandoned()
    assert claim == Claim("runs/1", NOBODY, 0)
    assert await store.claim(claim, "other")
    await store.release("runs/1", "other")
    assert [found.run for found in await leases.abandoned()] == ["runs/1"]


async def test_what_is_given_back_says_what_the_next_must_know(store: Store) -> None:
    """With a hold of its own, or with the one that was kept; only by its holder, and all of a holder's at once."""
    for number in (1, 2, 3):
        await kept(store, number, "old")
        await store.hold(f"runs/{number}", "old", b"kept")
    await store.release("runs/1", "old", b"parting")
    await store.release("runs/2", "stranger", b"wrong")
    assert await store.held("runs/1") == b"parting"
    assert set(await store.beat("old")) == {"runs/2", "runs/3"}
    await store.release_all("old")
    assert await store.beat("old") == {}
    assert {claim.holder for claim in await store.claims_of_others("new")} == {NOBODY}
    assert [await store.held(f"runs/{number}") for number in (2, 3)] == [b"kept", b"kept"]


async def test_who_lost_a_run_writes_nothing_more_of_it(replicas: list[Store]) -> None:
    """A holder that was thought dead: its events, its hold and its end are refused; the new holder's are kept."""
    old, new = replicas[:2]
    run = await kept(old, 1, "old")
    await old.append(run.name, [said(1), said(2)])
    (claim,) = await new.claims_of_others("new")
    assert await new.claim(claim, "new")
    await new.append(run.name, [said(3)])
    with pytest.raises(FencedError):
        await old.append(run.name, [said(3), said(4)])
    with pytest.raises(FencedError):
        await old.hold(run.name, "old", b"{}")
    run.outcome = pb.OUTCOME_STOPPED
    with pytest.raises(FencedError):
        await old.end(run, "old", [said(4)])
    await new.hold(run.name, "new", b"hold")
    assert await new.held(run.name) == b"hold"
    run.outcome = pb.OUTCOME_COMPLETED
    await new.end(run, "new", [said(4)])
    found = await old.get(run.name)
    assert found is not None
    assert found.outcome == pb.OUTCOME_COMPLETED
    assert [event.sequence async for event in old.events(run.name)] == [1, 2, 3, 4]
    assert await old.claims_of_others("old") == []


async def test_a_stop_reaches_the_holder_through_its_lease(replicas: list[Store]) -> None:
    """Asked of any replica; told with the holder's next sign of life."""
    first, second = replicas[:2]
    await kept(first, 1, "first")
    assert await first.beat("first") == {"runs/1": False}
    await second.stop("runs/1")
    assert await first.beat("first") == {"runs/1": True}


async def test_a_run_of_an_older_version_gets_a_lease(store: Store) -> None:
    """One that has not ended and has none: it waits for anybody. An ended one is left alone."""
    run = await kept(store, 1, "old")
    ended = await kept(store, 2, "old")
    ended.outcome = pb.OUTCOME_COMPLETED
    await store.end(ended, "old", [said(1)])
    async with store._writing() as connection:
        await connection.exec_driver_sql("DELETE FROM run_leases")
    await store.adopt()
    await store.adopt()
    assert await store.claims_of_others("new") == [Claim(run.name, NOBODY, 0)]

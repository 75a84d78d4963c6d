"""A journal numbers what happens, stores it, and only then shows it."""

import asyncio
from collections.abc import Sequence

import pytest

from filo.simulator.v1 import simulator_pb2 as pb
from services.simulator.journal import FIELDS, Journal
from tests.support.clock import ManualClock


class Disk:
    """A store that can be held up, or broken."""

    def __init__(self) -> None:
        self.stored: list[pb.WatchRunResponse] = []
        self.open = asyncio.Event()
        self.open.set()
        self.broken = False

    async def store(self, events: Sequence[pb.WatchRunResponse]) -> None:
        """Store them, when it may."""
        await self.open.wait()
        if self.broken:
            raise OSError("disk full")
        self.stored += events


async def collect(journal: Journal, after: int = 0) -> list[int]:
    """The numbers of all events a watcher sees."""
    return [event.sequence async for event in journal.watch(after)]


def test_every_payload_has_its_field() -> None:
    """The table is total over the contract's oneof."""
    oneof = pb.WatchRunResponse.DESCRIPTOR.oneofs_by_name["event"]
    assert {field.name: field.message_type.name for field in oneof.fields if field.message_type} == {
        name: kind.DESCRIPTOR.name for kind, name in FIELDS.items()
    }


async def test_watchers_see_everything_once_and_end_with_the_journal() -> None:
    """From the beginning, from the middle, from beyond the end; before and after the end."""
    disk = Disk()
    journal = Journal(ManualClock(), disk.store)
    async with asyncio.TaskGroup() as group:
        watchers = [group.create_task(collect(journal, after)) for after in (0, 3, 99)]
        group.create_task(journal.keep())
        for _ in range(5):
            journal.add(pb.Restarted())
            await asyncio.sleep(0)
        journal.close()
    assert [watcher.result() for watcher in watchers] == [[1, 2, 3, 4, 5], [4, 5], []]
    assert await collect(journal, 2) == [3, 4, 5]
    assert [event.sequence for event in disk.stored] == [1, 2, 3, 4, 5]


async def test_nothing_is_seen_before_it_is_stored() -> None:
    """A watcher waits for the disk."""
    disk = Disk()
    disk.open.clear()
    journal = Journal(ManualClock(), disk.store)
    keeper = asyncio.ensure_future(journal.keep())
    journal.add(pb.Restarted())
    seen = asyncio.ensure_future(anext(journal.watch(0)))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not seen.done()
    disk.open.set()
    assert (await seen).sequence == 1
    journal.close()
    await keeper


async def test_a_broken_disk_leaves_no_watcher_waiting() -> None:
    """The journal's end is everybody's end, also when it is not a good one."""
    disk = Disk()
    disk.broken = True
    journal = Journal(ManualClock(), disk.store)
    journal.add(pb.Restarted())
    with pytest.raises(OSError, match="disk full"):
        await journal.keep()
    assert await collect(journal) == []

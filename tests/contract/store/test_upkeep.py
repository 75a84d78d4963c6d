"""What every store promises about what is over: it is listed, swept and erased, in bounded pieces."""

import asyncio
import uuid
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from itertools import count

from services.handles import decisions
from services.handles.decisions import Attach, Checkpoint
from services.handles.records import Change, Conversation, NewConversation, Turn, UpstreamHandle, View
from services.handles.store import Store
from services.handles.sweeps import PIECE, Kind
from tests.support.conversations import NOW, RULES, becomes, conversation

Open = Callable[[], AbstractAsyncContextManager[Store]]

_IDS = count(1)
LATER = NOW + timedelta(days=1)
OLD, YOUNG = NOW, LATER


async def stored(store: Store, *, handles: int = 1, turns: int = 0, **fields: object) -> Conversation:
    """A conversation with what may belong to one."""
    made = conversation(id=f"a{next(_IDS):031x}", **fields)
    record = (await store.create(NewConversation(made, str(uuid.uuid4()), b"digest", b"agent"))).conversation
    after = record._replace(handles_issued=handles, turn_count=turns)
    upstream = UpstreamHandle("gemini's", 0, NOW) if handles else None
    bodies = tuple(Turn(number, b"body") for number in range(1, turns + 1))
    await store.change(record.id, becomes(Change(after, upstream, bodies, digest(record) if handles else None)))
    return after


def digest(record: Conversation) -> bytes:
    """The hash of the one resume handle of a conversation."""
    return b"digest of " + record.id.encode()


async def seen(store: Store, record: Conversation) -> View:
    """What is left of a conversation."""
    return await store.look(record.id, digest(record))


async def test_expired_handles_are_deleted(store: Store) -> None:
    """Those of both kinds, for good, of whom was not seen since; the conversation and its turns stay."""
    old, young = await stored(store, seen_at=OLD, turns=2), await stored(store, seen_at=YOUNG)
    swept = await store.sweep(Kind.EXPIRED, LATER, LATER, 10)
    assert (swept.done, swept.more) == (1, False)
    assert await seen(store, old) == View(old._replace(handles_expired=1), None, None)
    assert len(await store.turns(old.id, 0, 10)) == 2
    view = await seen(store, young)
    assert view.upstream is not None
    assert view.presented is not None
    assert (await store.sweep(Kind.EXPIRED, LATER, LATER, 10)).done == 0


async def test_an_abandoned_conversation_is_ended(store: Store) -> None:
    """As if somebody had ended it: nobody attaches, its handles are gone, its turns can still be read."""
    old, young = await stored(store, seen_at=OLD, turns=2), await stored(store, seen_at=YOUNG)
    assert (await store.sweep(Kind.ABANDONED, LATER, LATER, 10)).done == 1
    view = await seen(store, old)
    assert view.conversation is not None
    assert (view.conversation.ended_at, view.conversation.end_reason) == (LATER, "abandoned")
    assert (view.upstream, view.presented, view.conversation.handles_revoked) == (None, None, 1)
    assert len(await store.turns(old.id, 0, 10)) == 2
    assert (await seen(store, young)).conversation == young
    assert (await store.sweep(Kind.ABANDONED, LATER, LATER, 10)).done == 0


async def test_an_ended_conversation_is_deleted(store: Store) -> None:
    """All of it, once it ended long enough ago; others, ended later or not, stay whole."""
    old = await stored(store, ended_at=OLD, turns=3)
    young, active = await stored(store, ended_at=LATER + timedelta(seconds=1)), await stored(store)
    assert (await store.sweep(Kind.ENDED, LATER, LATER, 10)).done == 1
    assert await seen(store, old) == View(None, None, None)
    assert await store.turns(old.id, 0, 10) == []
    for left in (young, active):
        assert (await seen(store, left)).conversation == left


async def test_a_batch_is_bounded(store: Store) -> None:
    """The longest overdue come first, at most so many, and it is told that more may be due."""
    records = [await stored(store, ended_at=OLD + timedelta(hours=hour)) for hour in range(5)]
    swept = await store.sweep(Kind.ENDED, LATER, LATER, 2)
    assert (swept.done, swept.more, swept.oldest) == (2, True, OLD)
    left = [(await seen(store, record)).conversation is not None for record in records]
    assert left == [False, False, True, True, True]


async def test_a_long_conversation_goes_in_pieces(store: Store) -> None:
    """However many turns it has: a batch deletes a bounded number of rows, and the last one the record."""
    record = await stored(store, turns=PIECE + 1, ended_at=OLD)
    batches = 0
    while (await store.sweep(Kind.ENDED, LATER, LATER, 10)).more:
        batches += 1
        assert batches < 5
    assert await seen(store, record) == View(None, None, None)


async def test_a_sign_of_life_keeps_a_conversation(store: Store) -> None:
    """Also one that comes between two batches: what is due is judged by the row as it is when it is locked."""
    record = await stored(store, seen_at=OLD)
    ask = Attach(mode=record.mode, owner=record.owner, holder="relay:1", presented=False)
    await store.change(record.id, decisions.attach(ask, LATER + timedelta(hours=1), RULES))
    assert (await store.sweep(Kind.ABANDONED, LATER, LATER, 10)).done == 0
    found = (await seen(store, record)).conversation
    assert found is not None
    assert (found.ended_at, found.epoch) == (None, 1)


async def test_many_sweepers_do_everything_once(open_store: Open) -> None:
    """Replicas that sweep at the same time pass over each other's rows; nothing fails, nothing is left."""
    async with open_store() as one, open_store() as two:
        records = [await stored(one, ended_at=OLD, turns=1) for _ in range(20)]
        done = 0
        while done < 20:
            swept = await asyncio.gather(*(store.sweep(Kind.ENDED, LATER, LATER, 3) for store in (one, two) * 2))
            done += sum(batch.done for batch in swept)
        assert done == 20
        assert all([(await seen(one, record)).conversation is None for record in records])


async def test_the_store_goes_on_while_it_is_swept(store: Store) -> None:
    """Checkpoints of others come in between the batches."""
    for _ in range(20):
        await stored(store, ended_at=OLD, turns=20)
    busy = await stored(store, handles=0)

    async def sweep() -> None:
        while (await store.sweep(Kind.ENDED, LATER, LATER, 2)).more:
            pass

    async def work() -> None:
        for number in range(1, 21):
            ask = Checkpoint(epoch=0, turns=(Turn(number, b"body"),))
            await store.change(busy.id, decisions.checkpoint(ask, NOW, RULES))

    await asyncio.gather(sweep(), work())
    assert len(await store.turns(busy.id, 0, 100)) == 20


async def test_erasure_takes_everything(store: Store) -> None:
    """Record, agent, turns, handles of both kinds, request id: a second time finds nothing."""
    made = conversation(id=f"b{next(_IDS):031x}")
    creation = NewConversation(made, str(uuid.uuid4()), b"digest", b"agent")
    await store.create(creation)
    bodies = tuple(Turn(number, b"body") for number in range(1, PIECE + 2))
    after = made._replace(handles_issued=1, turn_count=len(bodies), holder="relay:1", epoch=0)
    await store.change(made.id, becomes(Change(after, UpstreamHandle("s", 0, NOW), bodies, digest(made))))
    other = await stored(store, turns=1)
    assert await store.erase(made.id)
    assert await seen(store, made) == View(None, None, None)
    assert await store.turns(made.id, 0, 10) == []
    assert not await store.erase(made.id)
    assert (await store.create(creation)).conversation == made
    assert (await seen(store, other)).conversation == other


async def test_conversations_are_listed_newest_first(store: Store) -> None:
    """In pages that neither overlap nor leave one out, also where many were created at one moment."""
    times: list[datetime] = [NOW, NOW, NOW + timedelta(seconds=1), NOW - timedelta(seconds=1), NOW]
    records = [await stored(store, handles=0, created_at=time) for time in times]
    listed: list[Conversation] = []
    before = (LATER, "")
    while page := await store.newest(before, 2):
        listed.extend(page)
        before = (page[-1].created_at, page[-1].id)
    assert listed == sorted(records, key=lambda record: (record.created_at, record.id), reverse=True)

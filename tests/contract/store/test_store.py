"""What every store promises (`services.handles.store.Store`), on every backend."""

import asyncio
import uuid
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from filo.handles.v1.resources_pb2 import CONTINUITY_REBASED, MODE_ASSISTANT
from services.common.errors import Reason, ServiceError
from services.handles import decisions
from services.handles.decisions import Attach, Checkpoint, Decide, Decision
from services.handles.policy import KEPT_RESUME_HANDLES
from services.handles.programs import DELETED_TOGETHER
from services.handles.records import (
    Change,
    Conversation,
    NewConversation,
    Owner,
    OwnerKind,
    ResumeHandle,
    Standing,
    Turn,
    UpstreamHandle,
    View,
)
from services.handles.store import Store
from tests.support.conversations import NOW, RULES, becomes, conversation

Open = Callable[[], AbstractAsyncContextManager[Store]]

_IDS = count(1)
MOMENT = datetime(2026, 2, 3, 4, 5, 6, 789012, tzinfo=UTC)
UPSTREAM = UpstreamHandle("gemini's own", 7, MOMENT)


def new(**fields: object) -> NewConversation:
    """A creation that collides with no other."""
    record = conversation(id=f"{next(_IDS):032x}", **fields)
    return NewConversation(record, str(uuid.uuid4()), b"digest of the request", b"agent of " + record.id.encode())


async def stored(store: Store, **fields: object) -> Conversation:
    """A new conversation in the store."""
    return (await store.create(new(**fields))).conversation


def attach(record: Conversation) -> Decide[decisions.Attached]:
    """The owner's attach."""
    ask = Attach(mode=record.mode, owner=record.owner, holder="relay:7401", presented=False)
    return decisions.attach(ask, NOW, RULES)


async def test_a_conversation_comes_back_as_it_was_stored(store: Store) -> None:
    """Every field, with its microseconds and its time zone."""
    record = await stored(
        store,
        mode=MODE_ASSISTANT,
        owner=Owner(OwnerKind.USER, "Jürgen 😀"),
        test=True,
        created_at=MOMENT,
        seen_at=MOMENT + timedelta(microseconds=1),
        ended_at=MOMENT,
        end_reason="grüße",
        epoch=2**40,
        holder="relay:7401",
        lease_until=MOMENT,
        turn_count=2**31 - 1,
        covered_seq=2**62,
        handles_issued=3,
        handles_expired=2,
        handles_revoked=1,
        ledger=b"\x00\xff",
        continuity=CONTINUITY_REBASED,
    )
    assert await store.look(record.id) == View(record, None, None)
    assert await store.agent(record.id) == b"agent of " + record.id.encode()


async def test_moments_are_compared_not_spelled(store: Store) -> None:
    """A moment given in another time zone comes back as the same moment."""
    east = MOMENT.astimezone(datetime.strptime("+0530", "%z").tzinfo)
    record = await stored(store, created_at=east)
    seen = (await store.look(record.id)).conversation
    assert seen is not None
    assert seen.created_at == MOMENT


async def test_what_is_not_there_is_none(store: Store) -> None:
    """No conversation, no handle, no turns: no error either."""
    assert await store.look("f" * 32, b"unknown") == View(None, None, None)
    assert await store.turns("f" * 32, 0, 10) == []


async def test_a_request_id_makes_one_conversation(store: Store) -> None:
    """The second creation gets what the first stored, and the first one's digest to compare."""
    first = new()
    second = replace_request(new(), first.request_id, b"another digest")
    await store.create(first)
    await store.change(first.conversation.id, attach(first.conversation))
    again = await store.create(second)
    assert (again.conversation.id, again.conversation.epoch) == (first.conversation.id, 1)
    assert again.request_digest == first.request_digest
    assert (await store.look(second.conversation.id)).conversation is None


def replace_request(creation: NewConversation, request_id: str, digest: bytes) -> NewConversation:
    """The same creation under another request id."""
    return creation._replace(request_id=request_id, request_digest=digest)


async def test_concurrent_creations_with_one_request_id_agree(store: Store) -> None:
    """Of many at the same time one wins, and all are told the same."""
    request_id = str(uuid.uuid4())
    creations = [replace_request(new(), request_id, b"same") for _ in range(10)]
    created = await asyncio.gather(*(store.create(creation) for creation in creations))
    assert len({answer.conversation.id for answer in created}) == 1


async def test_a_change_stores_all_of_it(store: Store) -> None:
    """Record, upstream handle, turns and resume handle, together."""
    record = await stored(store)
    after = record._replace(epoch=0, turn_count=2, covered_seq=20, handles_issued=1, seen_at=MOMENT, ledger=b"")
    change = Change(after, UPSTREAM, (Turn(1, b"one"), Turn(2, b"two")), b"digest 1" + record.id.encode())
    assert await store.change(record.id, becomes(change)) == "done"
    digest = b"digest 1" + record.id.encode()
    assert await store.look(record.id, digest) == View(after, UPSTREAM, ResumeHandle(record.id, 1))
    assert await store.turns(record.id, 0, 10) == [Turn(1, b"one"), Turn(2, b"two")]


async def test_what_never_changes_is_not_written(store: Store) -> None:
    """A decision sees the record that it is to change."""
    record = await stored(store)
    seen: list[View] = []

    def decide(view: View) -> Decision[None]:
        seen.append(view)
        return Decision(None, None)

    await store.change(record.id, decide)
    assert seen == [View(record, None, None)]
    assert await store.look(record.id) == View(record, None, None)


async def test_a_refusal_leaves_everything_as_it_was(store: Store) -> None:
    """Whatever a decision raises comes out as it is, and nothing is stored."""
    record = await stored(store)

    def refuse(_: View) -> Decision[None]:
        raise ServiceError(Reason.EPOCH_FENCED, "Stop.")

    with pytest.raises(ServiceError, match="Stop"):
        await store.change(record.id, refuse)
    assert await store.look(record.id) == View(record, None, None)


async def test_a_decision_about_nothing_sees_nothing(store: Store) -> None:
    """A conversation that does not exist is the decision's affair."""

    def decide(view: View) -> Decision[View]:
        return Decision(None, view)

    assert await store.change("f" * 32, decide, b"unknown") == View(None, None, None)


async def test_the_upstream_handle_is_replaced_and_deleted(store: Store) -> None:
    """Only the newest is kept; None deletes it."""
    record = await stored(store)
    newer = UpstreamHandle("newer", 8, MOMENT)
    for handle in (UPSTREAM, newer, newer, None, None, UPSTREAM):
        await store.change(record.id, becomes(Change(record, handle)))
        assert (await store.look(record.id)).upstream == handle


async def test_a_resume_handle_is_found_from_anywhere(store: Store) -> None:
    """Also by who names another conversation, or none: whose it is comes with it. A glance sees what a look sees."""
    one, two = await stored(store), await stored(store)
    digest = b"of one" + one.id.encode()
    await store.change(one.id, becomes(Change(one._replace(handles_issued=1), None, (), digest)))
    for asked in (one.id, two.id, "f" * 32):
        view, glance = await store.look(asked, digest), await store.glance(asked, digest)
        assert view.presented == glance.presented == ResumeHandle(one.id, 1)
        for name in Standing._fields if view.conversation else ():
            assert getattr(glance.conversation, name) == getattr(view.conversation, name)
        seen = await store.change(asked, lambda view: Decision(None, view.presented), digest)
        assert seen == ResumeHandle(one.id, 1)


async def test_a_bounded_number_of_resume_handles_is_kept(store: Store) -> None:
    """The newest ones, and a few that are too old to mean anything. Other conversations keep theirs."""
    other, record = await stored(store), await stored(store)
    kept = b"other" + other.id.encode()
    await store.change(other.id, becomes(Change(other._replace(handles_issued=1), None, (), kept)))
    made = KEPT_RESUME_HANDLES + 2 * DELETED_TOGETHER + 5
    for number in range(1, made + 1):
        digest = b"%d of " % number + record.id.encode()
        await store.change(record.id, becomes(Change(record._replace(handles_issued=number), None, (), digest)))
    found = [(await store.look(record.id, b"%d of " % n + record.id.encode())).presented for n in range(1, made + 1)]
    assert found[: 2 * DELETED_TOGETHER] == [None] * (2 * DELETED_TOGETHER)
    newest = range(made - KEPT_RESUME_HANDLES + 1, made + 1)
    assert found[-KEPT_RESUME_HANDLES:] == [ResumeHandle(record.id, number) for number in newest]
    assert (await store.look(record.id, kept)).presented == ResumeHandle(other.id, 1)


async def test_turns_are_read_in_pages(store: Store) -> None:
    """From any number on, at most as many as asked for, in order, of this conversation only."""
    record, other = await stored(store), await stored(store)
    turns = tuple(Turn(number, b"body %d" % number) for number in range(1, 31))
    await store.change(record.id, becomes(Change(record._replace(turn_count=30), None, turns)))
    await store.change(other.id, becomes(Change(other._replace(turn_count=1), None, (Turn(1, b"other"),))))
    assert await store.turns(record.id, 0, 4) == list(turns[:4])
    assert await store.turns(record.id, 28, 4) == list(turns[28:])
    assert await store.turns(record.id, 30, 4) == []


async def test_large_values_survive(store: Store) -> None:
    """A script of a megabyte, a turn as large."""
    creation = new()._replace(agent=bytes(range(256)) * 4096)
    record = (await store.create(creation)).conversation
    turn = Turn(1, b"\x00" * 1_000_000)
    await store.change(record.id, becomes(Change(record._replace(turn_count=1), None, (turn,))))
    assert await store.agent(record.id) == creation.agent
    assert await store.turns(record.id, 0, 1) == [turn]


async def test_concurrent_attaches_get_an_epoch_each(store: Store) -> None:
    """No two callers are told the same epoch, and none is left out."""
    record = await stored(store)
    answers = await asyncio.gather(*(store.change(record.id, attach(record)) for _ in range(25)))
    assert sorted(answer.conversation.epoch for answer in answers) == list(range(1, 26))
    seen = (await store.look(record.id)).conversation
    assert seen is not None
    assert seen.epoch == 25


async def test_concurrent_checkpoints_store_each_turn_once(store: Store) -> None:
    """The same turn from many callers is new to exactly one of them."""
    record = await stored(store)
    await store.change(record.id, attach(record))
    ask = Checkpoint(epoch=1, turns=(Turn(1, b"one"),))
    answers = await asyncio.gather(*(store.change(record.id, decisions.checkpoint(ask, NOW, RULES)) for _ in range(10)))
    assert sum(answer.new_turns for answer in answers) == 1
    assert await store.turns(record.id, 0, 10) == [Turn(1, b"one")]


async def test_reads_go_on_while_others_write(store: Store) -> None:
    """A look is consistent: the record and its upstream handle belong together at every moment."""
    record = await stored(store)

    async def write() -> None:
        for number in range(1, 21):
            after = record._replace(turn_count=number)
            await store.change(record.id, becomes(Change(after, UpstreamHandle("s", number, NOW))))

    async def read() -> None:
        for _ in range(20):
            view = await store.look(record.id)
            assert view.conversation is not None
            assert (view.upstream.covers_turn if view.upstream else 0) == view.conversation.turn_count

    await asyncio.gather(write(), *(read() for _ in range(5)))


async def test_a_cancelled_change_has_happened_whole_or_not_at_all(store: Store) -> None:
    """Wherever the caller gives up, turns and record agree, and the store goes on."""
    record = await stored(store)
    await store.change(record.id, attach(record))
    for steps in range(40):
        before = (await store.look(record.id)).conversation
        assert before is not None
        turn = Turn(before.turn_count + 1, b"body")
        change = decisions.checkpoint(Checkpoint(epoch=1, turns=(turn,)), NOW, RULES)
        task = asyncio.ensure_future(store.change(record.id, change))
        for _ in range(steps):
            await asyncio.sleep(0)  # a turn of the loop, no time: the cancellation comes somewhere else each round
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await store.change(record.id, attach(record))  # comes after whatever was under way
    seen = (await store.look(record.id)).conversation
    assert seen is not None
    assert [turn.number for turn in await store.turns(record.id, 0, 100)] == list(range(1, seen.turn_count + 1))
    assert seen.epoch == 2


async def test_everything_outlives_the_process(open_store: Open) -> None:
    """Record, handles, turns and agent are there when the store is opened again."""
    async with open_store() as store:
        record = await stored(store)
        after = record._replace(epoch=0, turn_count=1, handles_issued=1)
        await store.change(record.id, becomes(Change(after, UPSTREAM, (Turn(1, b"one"),), b"digest")))
    async with open_store() as store:
        assert await store.look(record.id, b"digest") == View(after, UPSTREAM, ResumeHandle(record.id, 1))
        assert await store.turns(record.id, 0, 10) == [Turn(1, b"one")]
        assert await store.agent(record.id) == b"agent of " + record.id.encode()


async def test_two_processes_share_one_store(open_store: Open) -> None:
    """Attaches through two openings of one store, as by two replicas, never share an epoch."""
    async with open_store() as one, open_store() as two:
        record = await stored(one)
        both = [store.change(record.id, attach(record)) for store in (one, two) * 10]
        answers = await asyncio.gather(*both)
    assert sorted(answer.conversation.epoch for answer in answers) == list(range(1, 21))

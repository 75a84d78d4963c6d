"""What every store promises about feedback, on every backend."""

import asyncio
import uuid
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import timedelta
from itertools import count

import pytest

from filo.handles.v1.resources_pb2 import Feedback as Message
from services.common.errors import Reason, ServiceError
from services.handles import decisions, sweeps
from services.handles.decisions import Checkpoint
from services.handles.feedback import programs, rules
from services.handles.feedback.records import AtHand, Feedback
from services.handles.feedback.rules import Added, Ask
from services.handles.records import Conversation, FeedbackChange, NewConversation
from services.handles.store import Store
from services.handles.sweeps import Kind
from tests.support import conversations
from tests.support.conversations import NOW, RULES, conversation

Open = Callable[[], AbstractAsyncContextManager[Store]]

_IDS = count(1)
LATER = NOW + timedelta(minutes=1)
ACCEPTED, SUPERSEDED, EXPIRED = Message.STATE_ACCEPTED, Message.STATE_SUPERSEDED, Message.STATE_EXPIRED
DELIVERED, REMOVED = Message.STATE_DELIVERED, Message.STATE_REMOVED


async def stored(store: Store, **fields: object) -> Conversation:
    """A new conversation in the store."""
    record = conversation(id=f"f{next(_IDS):031x}", **fields)
    return (await store.create(NewConversation(record, str(uuid.uuid4()), b"digest", b"agent"))).conversation


async def give(
    store: Store, record: Conversation, text: str, seconds: float | None = None, request: str = "", digest: bytes = b"d"
) -> Added:
    """Advice for a conversation."""
    request = request or str(uuid.uuid4())
    ask = Ask(text, None if seconds is None else timedelta(seconds=seconds), request, digest)
    return await store.add_feedback(record.id, request, rules.add(ask, NOW))


async def move(store: Store, record: Conversation, *changes: FeedbackChange) -> None:
    """A checkpoint that tells nothing but what became of feedback."""
    await store.change(record.id, decisions.checkpoint(Checkpoint(epoch=0, feedback=changes), LATER, RULES))


def to(number: int, state: Message.State.ValueType, turn: int = 0, tokens: int = 0, detail: str = "") -> FeedbackChange:
    """One change."""
    return FeedbackChange(number, state, turn, tokens, detail, LATER)


async def states(store: Store, record: Conversation) -> list[Message.State.ValueType]:
    """The states of all items, the oldest first."""
    return [item.state for item in await store.feedback(record.id, 2**31 - 1, 100)][::-1]


async def test_an_item_comes_back_as_it_was_given(store: Store) -> None:
    """Every field, whatever the words; it waits for whoever attaches."""
    record = await stored(store)
    added = await give(store, record, "Größe 😀\nzwei", seconds=90)
    expected = Feedback(
        number=1, text="Größe 😀\nzwei", created_at=NOW, expires_at=NOW + timedelta(seconds=90), updated_at=NOW
    )
    assert added == Added(record, expected, new=True)
    assert await store.feedback_at_hand(record.id) == AtHand((expected,), 1)
    assert list(await store.feedback(record.id, 2, 10)) == [expected]
    assert list(await store.feedback(record.id, 1, 10)) == []


async def test_only_the_newest_waits(store: Store) -> None:
    """One that waits makes way for a newer one at the same moment, and is said to have; one that had expired is not."""
    record = await stored(store)
    await give(store, record, "first")
    second = await give(store, record, "second", seconds=1)
    assert (second.feedback.number, second.superseded) == (2, 1)
    ask = Ask("third", None, "r", b"d")
    third = await store.add_feedback(record.id, "r", rules.add(ask, LATER))
    assert third.superseded == 0
    assert await states(store, record) == [SUPERSEDED, EXPIRED, ACCEPTED]
    assert [item.text for item in (await store.feedback_at_hand(record.id)).items] == ["third"]
    assert (await store.feedback(record.id, 3, 1))[0].updated_at == LATER


async def test_a_request_is_answered_once(store: Store) -> None:
    """The same again gives the item as it stands now; another one under the same id is refused and changes nothing."""
    record, other = await stored(store), await stored(store)
    await give(store, record, "first", request="same")
    await give(store, record, "second")
    again = await give(store, record, "first", request="same")
    assert (again.feedback.number, again.feedback.state, again.new) == (1, SUPERSEDED, False)
    with pytest.raises(ServiceError) as caught:
        await give(store, record, "else", request="same", digest=b"another")
    assert caught.value.reason is Reason.REQUEST_ID_REUSED
    assert await states(store, record) == [SUPERSEDED, ACCEPTED]
    assert (await give(store, other, "first", request="same")).feedback.number == 1


async def test_many_at_once_are_numbered_without_holes(store: Store) -> None:
    """Whoever comes in whatever order: one waits, the others made way."""
    record = await stored(store)
    added = await asyncio.gather(*(give(store, record, f"advice {n}") for n in range(12)))
    assert sorted(one.feedback.number for one in added) == list(range(1, 13))
    assert await states(store, record) == [SUPERSEDED] * 11 + [ACCEPTED]


async def test_the_holder_tells_what_became_of_it(store: Store) -> None:
    """With the checkpoint: state, turn, tokens, by what; what is not told stays as it was."""
    record = await stored(store)
    await give(store, record, "advice")
    await move(store, record, to(1, DELIVERED, turn=7, tokens=400, detail="just_in_time"))
    (item,) = (await store.feedback_at_hand(record.id)).items
    assert (item.state, item.turn, item.tokens, item.detail, item.updated_at) == (4, 7, 400, "just_in_time", LATER)
    await move(store, record, to(1, REMOVED, detail="rebase"))
    (item,) = await store.feedback(record.id, 2, 10)
    assert (item.state, item.turn, item.tokens, item.detail, item.text) == (5, 7, 400, "rebase", "advice")
    assert await store.feedback_at_hand(record.id) == AtHand((), 1), "done with, and known to have been"


async def test_an_item_only_moves_forward(store: Store) -> None:
    """A change that is told again or late is passed over, as one of an unknown item; a delivery beats a newer item."""
    record = await stored(store)
    await give(store, record, "first")
    await give(store, record, "second")
    await move(store, record, to(1, DELIVERED, turn=1), to(2, DELIVERED, turn=2), to(9, DELIVERED))
    await move(store, record, to(1, REMOVED), to(2, SUPERSEDED))
    await move(store, record, to(1, DELIVERED, turn=5))
    assert await states(store, record) == [REMOVED, DELIVERED]
    assert (await store.feedback(record.id, 2, 1))[0].turn == 1


async def test_an_older_epoch_moves_nothing(store: Store) -> None:
    """What became of feedback is fenced like the turns beside it."""
    record = await stored(store, epoch=3)
    await give(store, record, "advice")
    with pytest.raises(ServiceError) as caught:
        await store.change(
            record.id, decisions.checkpoint(Checkpoint(epoch=2, feedback=(to(1, DELIVERED),)), LATER, RULES)
        )
    assert caught.value.reason is Reason.EPOCH_FENCED
    assert await states(store, record) == [ACCEPTED]


async def test_nothing_is_given_to_who_is_not_there(store: Store) -> None:
    """Neither to an unknown conversation nor to one that has ended; a repetition after the end is answered."""
    ended, unknown = await stored(store, ended_at=NOW), conversation(id="e" * 32)
    for record, reason in ((unknown, Reason.CONVERSATION_NOT_FOUND), (ended, Reason.CONVERSATION_ENDED)):
        with pytest.raises(ServiceError) as caught:
            await give(store, record, "advice")
        assert caught.value.reason is reason
    record = await stored(store)
    first = await give(store, record, "advice", request="r")
    await store.change(record.id, decisions.end(0, "over", LATER))
    again = await give(store, record, "advice", request="r")
    assert again.feedback == first.feedback


async def test_what_is_told_at_an_attach_is_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest that are in the context, of which the older ones come without their texts; the list has them all."""
    assert (programs.MOST_AT_HAND, programs.TEXTS_AT_HAND) == (256, 16)
    most, texts = 24, 4
    for module in (programs, conversations):
        monkeypatch.setattr(module, "MOST_AT_HAND", most)
        monkeypatch.setattr(module, "TEXTS_AT_HAND", texts)
    record = await stored(store)
    for number in range(1, most + 4):
        await give(store, record, f"advice {number}")
        await move(store, record, to(number, DELIVERED, turn=number, tokens=9))
    at_hand = (await store.feedback_at_hand(record.id)).items
    assert [item.number for item in at_hand] == list(range(4, most + 4))
    assert [item.text for item in at_hand[:-texts]] == [""] * (most - texts)
    assert [item.text for item in at_hand[-texts:]] == [f"advice {item.number}" for item in at_hand[-texts:]]
    listed: list[Feedback] = []
    while page := await store.feedback(record.id, listed[-1].number if listed else 2**31 - 1, 10):
        listed.extend(page)
    assert [item.text for item in listed] == [f"advice {n}" for n in range(most + 3, 0, -1)]


async def test_feedback_goes_with_its_conversation(store: Store) -> None:
    """Erased or swept, in bounded pieces, request ids and all; that of another one stays."""
    erased, swept, other = [await stored(store) for _ in range(3)]
    for record in (erased, swept, other):
        await give(store, record, "advice", request="r")
    await store.change(swept.id, decisions.end(0, "over", NOW))
    assert await store.erase(erased.id)
    assert (await store.sweep(Kind.ENDED, LATER, LATER, 10)).done >= 1
    for record in (erased, swept):
        assert list(await store.feedback(record.id, 9, 10)) == []
        assert await store.feedback_at_hand(record.id) == AtHand()
    assert await states(store, other) == [ACCEPTED]


async def test_much_feedback_goes_in_pieces(open_store: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """One batch of the sweeper deletes a bounded number of rows, whatever they are."""
    monkeypatch.setattr(sweeps, "PIECE", 20)
    async with open_store() as store:
        record = await stored(store)
        await asyncio.gather(*(give(store, record, f"advice {number}") for number in range(21)))
        await store.change(record.id, decisions.end(0, "over", NOW))
        assert (await store.sweep(Kind.ENDED, LATER, LATER, 10)).more
        assert (await store.look(record.id)).conversation is not None
        assert [item.number for item in await store.feedback(record.id, 100, 100)] == [21]
        assert not (await store.sweep(Kind.ENDED, LATER, LATER, 10)).more
        assert (await store.look(record.id)).conversation is None


async def test_feedback_survives_the_process(open_store: Open) -> None:
    """What waits, and what is in the context."""
    async with open_store() as store:
        record = await stored(store)
        await give(store, record, "first")
        await move(store, record, to(1, DELIVERED, turn=1, tokens=5))
        await give(store, record, "second")
        before = await store.feedback_at_hand(record.id)
    async with open_store() as store:
        assert await store.feedback_at_hand(record.id) == before
        assert [item.text for item in before.items] == ["first", "second"]
        assert replace(before.items[0], text="") != before.items[0]


async def test_a_polluted_handle_goes_with_what_made_it_so(open_store: Open) -> None:
    """One transaction: no relay that attaches gets a handle whose advice is said to be removed."""
    async with open_store() as store:
        record = await stored(store)
        await give(store, record, "one")
        told = Checkpoint(epoch=0, upstream_secret="h1", resume_digest=b"1", feedback=(to(1, DELIVERED, turn=1),))
        await store.change(record.id, decisions.checkpoint(told, LATER, RULES))
        assert (await store.look(record.id, b"1")).upstream is not None
        gone = Checkpoint(epoch=0, invalidate=True, feedback=(to(1, REMOVED, turn=1),))
        await store.change(record.id, decisions.checkpoint(gone, LATER, RULES))
        assert (await store.look(record.id, b"1")).upstream is None
        assert await states(store, record) == [REMOVED]


async def test_a_handle_that_comes_with_an_invalidation_is_the_next_one(open_store: Open) -> None:
    """What is deleted is what was stored before."""
    async with open_store() as store:
        record = await stored(store)
        for secret in ("h1", "h2"):
            ask = Checkpoint(epoch=0, upstream_secret=secret, resume_digest=secret.encode(), invalidate=True)
            await store.change(record.id, decisions.checkpoint(ask, LATER, RULES))
        upstream = (await store.look(record.id, b"h2")).upstream
        assert upstream is not None
        assert upstream.secret == "h2"

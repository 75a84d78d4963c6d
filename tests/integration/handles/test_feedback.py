"""Feedback in the handle store as a relay sees it, over real gRPC, with a clock moved by hand."""

import asyncio
import sqlite3
import uuid
from collections.abc import AsyncIterator, Awaitable
from contextlib import closing
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from google.protobuf.duration_pb2 import Duration

from filo.handles.v1 import handles_pb2 as pb
from filo.handles.v1.resources_pb2 import Conversation, Feedback, FeedbackChange
from services.common.clock import SystemClock
from services.common.errors import Reason, ServiceError
from services.handles import database, rotation
from services.handles.config import Settings
from tests.support.clock import ManualClock
from tests.support.handles import HOLDER, RunningHandles, running_handles

TEXT = "Mention the Zanzibar discount."


@pytest.fixture(name="clock")
def _clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(name="handles")
async def _handles(tmp_path: Path, clock: ManualClock) -> AsyncIterator[RunningHandles]:
    async with running_handles(tmp_path, clock=clock) as handles:
        yield handles


async def give(
    handles: RunningHandles,
    conversation: Conversation,
    text: str = TEXT,
    seconds: float | None = None,
    request: str = "",
) -> pb.AddFeedbackResponse:
    """Advice, that waits for so many seconds at most."""
    life = None
    if seconds is not None:
        life = Duration()
        life.FromTimedelta(timedelta(seconds=seconds))
    asked = pb.AddFeedbackRequest(
        name=conversation.name, request_id=request or str(uuid.uuid4()), text=text, time_to_live=life
    )
    return await handles.stub.AddFeedback(asked)


async def tell(handles: RunningHandles, conversation: Conversation, epoch: int, **change: Any) -> None:  # noqa: ANN401 - fields of a change
    """A checkpoint with one change."""
    request = pb.CheckpointRequest(name=conversation.name, epoch=epoch, feedback_changes=[FeedbackChange(**change)])
    await handles.stub.Checkpoint(request)


async def listed(handles: RunningHandles, conversation: Conversation) -> list[Feedback]:
    """All items, the newest first."""
    request = pb.ListFeedbackRequest(name=conversation.name)
    return list((await handles.stub.ListFeedback(request)).feedback)


async def refused(call: Awaitable[object]) -> tuple[Reason, str | None]:
    """What a call is refused with, and the field that was wrong."""
    with pytest.raises(ServiceError) as caught:
        await call
    return caught.value.reason, caught.value.metadata.get("field")


async def test_advice_is_stored_and_the_holder_is_named(handles: RunningHandles, clock: ManualClock) -> None:
    """With times by the service's clock; without a holder, none is told."""
    created = await handles.create()
    first = await give(handles, created, seconds=60)
    item = first.feedback
    assert (item.id, item.text, item.state, item.turn, item.tokens) == ("1", TEXT, Feedback.STATE_ACCEPTED, 0, 0)
    assert item.create_time.ToDatetime(UTC) == clock.now()
    assert item.expire_time.ToDatetime(UTC) == clock.now() + timedelta(seconds=60)
    assert (first.attached, first.holder, first.superseded_id) == (False, "", "")
    await handles.attach(created)
    second = await give(handles, created)
    assert (second.attached, second.holder, second.superseded_id) == (True, HOLDER, "1")
    assert not second.feedback.HasField("expire_time")
    assert handles.metric("filo_handles_feedback_adds_total", result="added") == 2


async def test_a_call_may_be_repeated(handles: RunningHandles) -> None:
    """The same request gives the same item as it stands; other words or another life under its id are refused."""
    created, request = await handles.create(), str(uuid.uuid4())
    one, two = await asyncio.gather(*(give(handles, created, request=request) for _ in range(2)))
    assert one.feedback == two.feedback
    assert sorted((one.stored_before, two.stored_before)) == [False, True]
    await give(handles, created)
    assert (await give(handles, created, request=request.upper())).feedback.state == Feedback.STATE_SUPERSEDED
    reused = (Reason.REQUEST_ID_REUSED, "request_id")
    assert await refused(give(handles, created, "else", request=request)) == reused
    assert await refused(give(handles, created, seconds=9, request=request)) == reused
    assert handles.metric("filo_handles_feedback_adds_total", result="repeated") == 2
    assert len(await listed(handles, created)) == 2


async def test_who_attaches_is_told(handles: RunningHandles, clock: ManualClock) -> None:
    """What waits, and what is in the context, oldest first; nothing that is over or has expired."""
    created = await handles.create()
    for _ in range(3):
        await give(handles, created)
    assert (await handles.attach(await handles.create())).newest_feedback_id == ""
    await handles.attach(created)
    await tell(handles, created, 1, id="3", state=Feedback.STATE_DELIVERED, turn=4, tokens=9, detail="rebase")
    await give(handles, created, "newest", seconds=60)
    told = list((await handles.attach(created)).feedback)
    assert [(item.id, item.state, item.turn, item.text) for item in told] == [
        ("3", Feedback.STATE_DELIVERED, 4, TEXT),
        ("4", Feedback.STATE_ACCEPTED, 0, "newest"),
    ]
    assert (told[0].tokens, told[0].detail) == (9, "rebase")
    clock.advance(60)
    assert [item.id for item in (await handles.attach(created)).feedback] == ["3"]
    await tell(handles, created, 3, id="3", state=Feedback.STATE_REMOVED)
    done = await handles.attach(created)
    assert (list(done.feedback), done.newest_feedback_id) == ([], "4"), "whatever is told of these later is old"


async def test_expiry_is_judged_at_read(handles: RunningHandles, clock: ManualClock) -> None:
    """At the very moment, by the service's clock; what was delivered in time does not expire any more."""
    created = await handles.create()
    await give(handles, created, seconds=60)
    clock.advance(59.999)
    assert [item.state for item in await listed(handles, created)] == [Feedback.STATE_ACCEPTED]
    clock.advance(0.001)
    assert [item.state for item in await listed(handles, created)] == [Feedback.STATE_EXPIRED]
    await give(handles, created, seconds=60)
    await handles.attach(created)
    await tell(handles, created, 1, id="2", state=Feedback.STATE_DELIVERED, turn=1)
    clock.advance(600)
    states = [item.state for item in await listed(handles, created)]
    assert states == [Feedback.STATE_DELIVERED, Feedback.STATE_EXPIRED]


async def test_a_late_delivery_is_believed(handles: RunningHandles, clock: ManualClock) -> None:
    """Of an item that was superseded, or expired, while the relay had sent it already."""
    created = await handles.create()
    await handles.attach(created)
    await give(handles, created)
    await give(handles, created, seconds=1)
    clock.advance(2)
    for number in "12":
        await tell(handles, created, 1, id=number, state=Feedback.STATE_DELIVERED, turn=1)
    assert [item.state for item in await listed(handles, created)] == [Feedback.STATE_DELIVERED] * 2


async def test_a_fenced_holder_tells_nothing(handles: RunningHandles) -> None:
    """Neither what became of feedback, nor anything else."""
    created = await handles.create()
    await give(handles, created)
    await handles.attach(created)
    await handles.attach(created, holder="127.0.0.1:9")
    told = tell(handles, created, 1, id="1", state=Feedback.STATE_DELIVERED)
    assert await refused(told) == (Reason.EPOCH_FENCED, None)
    assert (await listed(handles, created))[0].state == Feedback.STATE_ACCEPTED


async def test_a_list_comes_in_pages(handles: RunningHandles) -> None:
    """The newest first, whole and without overlap; also of a conversation that has ended."""
    created = await handles.create()
    for number in range(1, 8):
        await give(handles, created, f"advice {number}")
    await handles.stub.EndConversation(pb.EndConversationRequest(name=created.name, epoch=0))
    texts: list[list[str]] = []
    token = ""
    while not texts or token:
        page = await handles.stub.ListFeedback(pb.ListFeedbackRequest(name=created.name, page_size=3, page_token=token))
        texts.append([item.text for item in page.feedback])
        token = page.next_page_token
    assert texts == [[f"advice {n}" for n in numbers] for numbers in ((7, 6, 5), (4, 3, 2), (1,))]
    assert await refused(give(handles, created)) == (Reason.CONVERSATION_ENDED, None)


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"text": ""}, "text"),
        ({"text": " \n"}, "text"),
        ({"text": "x" * (16 * 1024 + 1)}, "feedback.text"),
        ({"text": "a\0b"}, "feedback.text"),
        ({"request_id": "1"}, "request_id"),
        ({"name": "conversations/1"}, "name"),
        ({"time_to_live": Duration(nanos=999_999_999)}, "time_to_live"),
        ({"time_to_live": Duration(seconds=7 * 86_400, nanos=1_000)}, "time_to_live"),
        ({"time_to_live": Duration(seconds=-5)}, "time_to_live"),
    ],
)
async def test_what_cannot_be_stored_is_refused(handles: RunningHandles, fields: dict[str, Any], wrong: str) -> None:
    """With the name of the field."""
    created = await handles.create()
    given = {"name": created.name, "request_id": str(uuid.uuid4()), "text": TEXT, **fields}
    assert await refused(handles.stub.AddFeedback(pb.AddFeedbackRequest(**given))) == (Reason.INVALID_ARGUMENT, wrong)
    assert handles.metric("filo_handles_feedback_adds_total", result="invalid_argument") == 1


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"id": "x"}, "feedback_changes.id"),
        ({"id": "0"}, "feedback_changes.id"),
        ({"id": "1" * 12}, "feedback_changes.id"),
        ({"state": Feedback.STATE_ACCEPTED}, "feedback_changes.state"),
        ({"state": 77}, "feedback_changes.state"),
        ({"turn": -1}, "feedback_changes.turn"),
        ({"tokens": -1}, "feedback_changes.tokens"),
        ({"detail": "x" * 201}, "feedback_changes.detail"),
    ],
)
async def test_a_change_that_means_nothing_is_refused(
    handles: RunningHandles, change: dict[str, Any], wrong: str
) -> None:
    """With the name of the field; nothing of the checkpoint is stored."""
    created = await handles.create()
    await handles.attach(created)
    told = tell(handles, created, 1, **{"id": "1", "state": Feedback.STATE_DELIVERED, **change})
    assert await refused(told) == (Reason.INVALID_ARGUMENT, wrong)


@pytest.mark.parametrize("token", ["x", "-1", "0", "9" * 12])
async def test_a_foreign_page_token_is_refused(handles: RunningHandles, token: str) -> None:
    """As a page that is too large."""
    created = await handles.create()
    page = handles.stub.ListFeedback(pb.ListFeedbackRequest(name=created.name, page_token=token))
    assert await refused(page) == (Reason.INVALID_ARGUMENT, "page_token")
    page = handles.stub.ListFeedback(pb.ListFeedbackRequest(name=created.name, page_size=201))
    assert await refused(page) == (Reason.INVALID_ARGUMENT, "page_size")


async def test_an_unknown_conversation_has_none(handles: RunningHandles) -> None:
    """Nor can it be given any."""
    unknown = Conversation(name="conversations/" + "0" * 32)
    for call in (give(handles, unknown), listed(handles, unknown)):
        assert await refused(call) == (Reason.CONVERSATION_NOT_FOUND, None)


def files(directory: Path) -> list[Path]:
    """What the store has left on the disk."""
    found = list(directory.iterdir())
    assert directory / "handles.db" in found
    return found


async def test_no_word_of_it_is_in_the_log_or_in_the_clear(tmp_path: Path) -> None:
    """Length and number at debug level (R1.1); in the database it is sealed, and bound to its row."""
    with structlog.testing.capture_logs() as logs:
        async with running_handles(tmp_path) as handles:
            created = await handles.create()
            await give(handles, created)
            await handles.attach(created)
    (line,) = [entry for entry in logs if entry["event"] == "feedback"]
    assert (line["log_level"], line["feedback"], line["characters"]) == ("debug", 1, len(TEXT))
    assert "Zanzibar" not in str(logs)
    assert not [path for path in files(tmp_path) if b"Zanzibar" in path.read_bytes()]
    with closing(sqlite3.connect(tmp_path / "handles.db")) as connection, connection:
        connection.execute(
            "INSERT INTO feedback SELECT conversation_id, 2, 'r', request_digest, text, state, turn,"
            " tokens, detail, created_at, expires_at, updated_at FROM feedback"
        )
    async with running_handles(tmp_path) as handles:
        assert (await refused(listed(handles, created)))[0] is Reason.INTERNAL


async def test_a_new_key_seals_it_anew(tmp_path: Path) -> None:
    """The rotation of keys counts it among what it re-encrypts, and it can be read with the old key gone."""
    environ = {"FILO_DATA_DIR": str(tmp_path)}
    async with running_handles(tmp_path, environ=environ, clock=SystemClock()) as handles:
        created = await handles.create()
        await give(handles, created)
    rotation.add_key(tmp_path / "handles.key")
    async with database.opened(Settings.from_env(environ)) as opened:
        seen: list[str] = []
        await rotation.reencrypt(opened.store, SystemClock(), lambda table, rows: seen.extend([table] * rows))
        assert seen.count("feedback") == 1
        assert await rotation.forget(opened, tmp_path / "handles.key", SystemClock()) == [1]
    async with running_handles(tmp_path, environ=environ, clock=SystemClock()) as handles:
        assert (await listed(handles, created))[0].text == TEXT

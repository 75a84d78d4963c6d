"""The handle store as a relay sees it, over real gRPC, with a clock moved by hand."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from google.protobuf.duration_pb2 import Duration

from filo.handles.v1 import handles_pb2 as pb
from filo.handles.v1.handles_pb2 import (
    HANDLE_RESULT_INVALID,
    HANDLE_RESULT_SUPERSEDED,
    HANDLE_RESULT_UNSPECIFIED,
    HANDLE_RESULT_VALID,
)
from filo.handles.v1.resources_pb2 import (
    CONTINUITY_HANDLE,
    MODE_ASSISTANT,
    MODE_CONSULTATION_INVITE,
    MODE_SALES_AGENT,
    AgentConfig,
    Conversation,
    Ledger,
    Owner,
    UpstreamHandle,
)
from services.common.errors import Reason, ServiceError
from services.handles.digests import mint_resume_handle
from services.handles.refusals import REFUSALS
from tests.support.clock import ManualClock
from tests.support.handles import AGENT, OWNER, RunningHandles, running_handles, turn

STRANGER = Owner(share_token="somebody-elses-token")
TTL = 1800.0
LEASE = 30.0


@pytest.fixture(name="clock")
def _clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(name="handles")
async def _handles(tmp_path: Path, clock: ManualClock) -> AsyncIterator[RunningHandles]:
    async with running_handles(tmp_path, clock=clock) as handles:
        yield handles


async def refused(call: Awaitable[object]) -> ServiceError:
    """What a call is refused with."""
    with pytest.raises(ServiceError) as caught:
        await call
    return caught.value


async def test_a_conversation_is_created(handles: RunningHandles, clock: ManualClock) -> None:
    """What was asked for, with an unguessable name, an owner that shows no secret, and nothing attached."""
    created = await handles.create()
    assert created.name.startswith("conversations/")
    assert (created.mode, created.agent, created.test) == (MODE_SALES_AGENT, AGENT, False)
    assert (created.state, created.epoch, created.turn_count) == (Conversation.STATE_ACTIVE, 0, 0)
    assert created.create_time.ToDatetime(UTC) == clock.now()
    assert not created.HasField("end_time")
    assert created.owner.startswith("shareTokens/")
    assert len(created.owner) == len("shareTokens/") + 8
    assert (await handles.create(mode=MODE_ASSISTANT, owner=Owner(user_id="ada"))).owner == "users/ada"


async def test_a_creation_may_be_repeated(handles: RunningHandles, clock: ManualClock) -> None:
    """The same request later gives the same conversation, as it stands by then; also when both come at once."""
    request_id = str(uuid.uuid4())
    first, second = await asyncio.gather(*(handles.create(request_id=request_id) for _ in range(2)))
    assert first == second
    await handles.attach(first)
    clock.advance(5)
    again = await handles.create(request_id=request_id.upper())
    assert (again.name, again.epoch) == (first.name, 1)
    assert handles.metric("filo_handles_creates_total", result="created") == 1
    assert handles.metric("filo_handles_creates_total", result="repeated") == 2


@pytest.mark.parametrize(
    "other",
    [
        {"owner": STRANGER},
        {"mode": MODE_CONSULTATION_INVITE},
        {"agent": AgentConfig(model="another")},
    ],
)
async def test_a_request_id_is_not_used_twice(handles: RunningHandles, other: dict[str, object]) -> None:
    """Another owner, mode or agent under the same id is refused: nobody gets somebody else's conversation."""
    request_id = str(uuid.uuid4())
    await handles.create(request_id=request_id)
    error = await refused(handles.create(request_id=request_id, **other))  # type: ignore[arg-type]  # by name
    assert error.reason is Reason.REQUEST_ID_REUSED


async def test_an_attach_gives_all_that_is_needed_to_go_on(handles: RunningHandles, clock: ManualClock) -> None:
    """Configuration, epoch, newest upstream handle with what it covers, ledger, how often to heartbeat."""
    created = await handles.create()
    first = await handles.attach(created)
    assert (first.conversation.epoch, first.previous_holder) == (1, "")
    assert first.handle_result == HANDLE_RESULT_UNSPECIFIED
    assert not first.HasField("upstream_handle")
    assert not first.HasField("ledger")
    await handles.checkpoint(created, 1, 1, 2, secret="gemini-1", covers_turn=1)
    await handles.stub.Checkpoint(pb.CheckpointRequest(name=created.name, epoch=1, ledger=Ledger(context_tokens=99)))
    second = await handles.attach(created, holder="127.0.0.1:9999")
    assert second.conversation.agent == AGENT
    assert (second.conversation.epoch, second.conversation.turn_count, second.conversation.covered_seq) == (2, 2, 20)
    assert (second.upstream_handle.secret, second.upstream_handle.covers_turn) == ("gemini-1", 1)
    assert second.upstream_handle.create_time.ToDatetime(UTC) == clock.now()
    assert second.ledger == Ledger(context_tokens=99)
    assert second.previous_holder == "127.0.0.1:7401"
    assert second.heartbeat_interval.ToTimedelta() == timedelta(seconds=LEASE / 3)
    assert handles.metric("filo_handles_attaches_total", result="attached") == 1
    assert handles.metric("filo_handles_attaches_total", result="taken_over") == 1


async def test_only_the_owner_attaches(handles: RunningHandles) -> None:
    """Mode and owner are the conversation's own, or nothing happens; what does not exist is not found."""
    created = await handles.create()
    wrong_mode = Conversation(name=created.name, mode=MODE_CONSULTATION_INVITE)
    assert (await refused(handles.attach(wrong_mode))).reason is Reason.MODE_MISMATCH
    assert (await refused(handles.attach(created, owner=STRANGER))).reason is Reason.OWNER_MISMATCH
    assert (await refused(handles.attach(created, owner=Owner(share_token="x")))).reason is Reason.OWNER_MISMATCH
    assert (await refused(handles.attach(created, owner=Owner(user_id="ada")))).reason is Reason.OWNER_MISMATCH
    nowhere = Conversation(name="conversations/" + "f" * 32, mode=MODE_SALES_AGENT)
    assert (await refused(handles.attach(nowhere))).reason is Reason.CONVERSATION_NOT_FOUND
    assert (await handles.attach(created)).conversation.epoch == 1
    assert handles.metric("filo_handles_attaches_total", result="owner_mismatch") == 3
    assert handles.metric("filo_handles_attaches_total", result="mode_mismatch") == 1


async def test_concurrent_attaches_get_an_epoch_each_and_one_holder(handles: RunningHandles) -> None:
    """All win in some order; the last one writes, every older one is fenced."""
    created = await handles.create()
    holders = [f"127.0.0.1:{port}" for port in range(1, 21)]
    answers = await asyncio.gather(*(handles.attach(created, holder=holder) for holder in holders))
    epochs = {answer.conversation.epoch: holder for answer, holder in zip(answers, holders, strict=True)}
    assert sorted(epochs) == list(range(1, 21))
    read = await handles.stub.GetConversation(pb.GetConversationRequest(name=created.name))
    assert (read.attached, read.holder) == (True, epochs[20])
    results = await asyncio.gather(
        *(handles.checkpoint(created, epoch, 1) for epoch in sorted(epochs)), return_exceptions=True
    )
    fenced = [result for result in results if isinstance(result, ServiceError)]
    assert {error.reason for error in fenced} == {Reason.EPOCH_FENCED}
    assert len(fenced) == 19
    assert handles.metric("filo_handles_fenced_total", call="Checkpoint") == 19
    assert [stored.number for stored in await handles.turns(created)] == [1]


async def test_every_write_of_an_older_epoch_is_fenced(handles: RunningHandles) -> None:
    """Whoever lost the conversation learns it from any write, and changes nothing."""
    created = await handles.create()
    await handles.attach(created)
    await handles.checkpoint(created, 1, 1, secret="gemini")
    await handles.attach(created)
    name, old, stub = created.name, 1, handles.stub
    writes: dict[str, Awaitable[object]] = {
        "HeartbeatConversation": stub.HeartbeatConversation(pb.HeartbeatConversationRequest(name=name, epoch=old)),
        "Checkpoint": handles.checkpoint(created, old, 2),
        "InvalidateUpstreamHandle": stub.InvalidateUpstreamHandle(
            pb.InvalidateUpstreamHandleRequest(name=name, epoch=old)
        ),
        "ReleaseConversation": stub.ReleaseConversation(pb.ReleaseConversationRequest(name=name, epoch=old)),
        "EndConversation": stub.EndConversation(pb.EndConversationRequest(name=name, epoch=old)),
    }
    assert set(writes) == {call for call, reasons in REFUSALS.items() if Reason.EPOCH_FENCED in reasons}
    for call, write in writes.items():
        error = await refused(write)
        assert (error.reason, error.metadata) == (Reason.EPOCH_FENCED, {"epoch": "2"})
        assert handles.metric("filo_handles_fenced_total", call=call) == 1
    after = await handles.attach(created)
    assert (after.conversation.turn_count, after.upstream_handle.secret) == (1, "gemini")


async def test_a_checkpoint_is_idempotent(handles: RunningHandles, clock: ManualClock) -> None:
    """Sent again, in part or whole, it stores nothing twice; a hole is refused and stores nothing at all."""
    created = await handles.create()
    await handles.attach(created)
    stored = await handles.checkpoint(created, 1, 1, 2, secret="gemini", covers_turn=2)
    assert (stored.turn_count, stored.covered_seq) == (2, 20)
    assert stored.expire_time.ToDatetime(UTC) == clock.now() + timedelta(seconds=TTL)
    again = await handles.checkpoint(created, 1, 1, 2)
    assert (again.turn_count, again.covered_seq, again.resume_handle) == (2, 20, "")
    assert not again.HasField("expire_time")
    assert (await handles.checkpoint(created, 1, 2, 3)).turn_count == 3
    error = await refused(handles.checkpoint(created, 1, 5, secret="lost", covers_turn=5))
    assert (error.reason, error.metadata) == (Reason.INVALID_ARGUMENT, {"field": "turns"})
    assert [seen.number for seen in await handles.turns(created)] == [1, 2, 3]
    assert (await handles.attach(created)).upstream_handle.secret == "gemini"
    assert handles.metric("filo_handles_turns_total") == 3
    assert handles.metric("filo_handles_checkpoints_total", result="repeated") == 1
    assert handles.metric("filo_handles_checkpoints_total", result="stored") == 2


async def test_turns_come_back_whole(handles: RunningHandles) -> None:
    """Every field of a turn, tool calls and their arguments too."""
    created = await handles.create()
    await handles.attach(created)
    sent = turn(1, interrupted=True)
    sent.complete_time.FromDatetime(datetime(2026, 1, 1, tzinfo=UTC))
    call = sent.tool_calls.add(id="c1", name="lookup")
    call.args.update({"sku": "A-7", "deep": {"list": [1, None, "x"]}})
    call.result.update({"found": True})
    request = pb.CheckpointRequest(name=created.name, epoch=1, turns=[sent], continuity=CONTINUITY_HANDLE)
    await handles.stub.Checkpoint(request)
    assert await handles.turns(created) == [sent]


async def test_a_long_transcript_is_streamed(handles: RunningHandles) -> None:
    """Larger than any message may be, in order, from any turn on."""
    created = await handles.create()
    await handles.attach(created)
    text = "x" * 200_000
    for first in range(1, 101, 25):
        turns = [turn(number, agent_text=text) for number in range(first, first + 25)]
        await handles.stub.Checkpoint(pb.CheckpointRequest(name=created.name, epoch=1, turns=turns))
    assert [seen.number for seen in await handles.turns(created)] == list(range(1, 101))
    assert [seen.number for seen in await handles.turns(created, after=97)] == [98, 99, 100]
    assert await handles.turns(created, after=100) == []
    nowhere = Conversation(name="conversations/" + "f" * 32)
    assert (await refused(handles.turns(nowhere))).reason is Reason.CONVERSATION_NOT_FOUND


async def test_a_transcript_that_is_erased_meanwhile_is_not_taken_for_a_short_one(handles: RunningHandles) -> None:
    """Whoever reads it is told, after the part that was under way, that there is no such conversation."""
    created = await handles.create()
    await handles.attach(created)
    for first in range(1, 151, 25):
        turns = [turn(number, agent_text="x" * 200_000) for number in range(first, first + 25)]
        await handles.stub.Checkpoint(pb.CheckpointRequest(name=created.name, epoch=1, turns=turns))
    stream = aiter(handles.stub.StreamTurns(pb.StreamTurnsRequest(name=created.name)))
    assert (await anext(stream)).turn.number == 1
    await handles.stub.DeleteConversation(pb.DeleteConversationRequest(name=created.name))

    async def rest() -> list[int]:
        return [response.turn.number async for response in stream]

    assert (await refused(rest())).reason is Reason.CONVERSATION_NOT_FOUND


async def test_a_new_handle_supersedes_the_older_ones(handles: RunningHandles) -> None:
    """The newest is valid, earlier ones mean the newest, and each is counted for what it is."""
    created = await handles.create()
    await handles.attach(created)
    first = (await handles.checkpoint(created, 1, 1, secret="one")).resume_handle
    second = (await handles.checkpoint(created, 1, 2, secret="two")).resume_handle
    assert first != second
    assert await handles.validate(created, second) == HANDLE_RESULT_VALID
    assert await handles.validate(created, first) == HANDLE_RESULT_SUPERSEDED
    assert handles.metric("filo_handles_validations_total", result="superseded") == 1
    for presented, result in ((second, HANDLE_RESULT_VALID), (first, HANDLE_RESULT_SUPERSEDED)):
        answer = await handles.attach(created, resume_handle=presented)
        assert (answer.handle_result, answer.upstream_handle.secret) == (result, "two")
    assert handles.metric("filo_handles_redemptions_total", result="valid") == 1
    assert handles.metric("filo_handles_handle_age_seconds_count") >= 1


async def test_all_invalid_handles_are_answered_alike(handles: RunningHandles, clock: ManualClock) -> None:
    """Unknown, malformed, foreign, expired, revoked, of nothing: one answer outside, six counts inside."""
    mine, other, ended, old = [await handles.create() for _ in range(4)]
    presented = {}
    for conversation in (other, ended, old):
        await handles.attach(conversation)
        presented[conversation.name] = (await handles.checkpoint(conversation, 1, secret="s")).resume_handle
    await handles.stub.EndConversation(pb.EndConversationRequest(name=ended.name, epoch=1))
    assert await handles.validate(mine, mint_resume_handle()) == HANDLE_RESULT_INVALID
    assert await handles.validate(mine, "junk") == HANDLE_RESULT_INVALID
    assert await handles.validate(mine, "") == HANDLE_RESULT_INVALID
    assert await handles.validate(mine, "x" * 100_000) == HANDLE_RESULT_INVALID
    assert await handles.validate(mine, presented[other.name]) == HANDLE_RESULT_INVALID
    assert await handles.validate(other, presented[other.name], owner=STRANGER) == HANDLE_RESULT_INVALID
    nowhere = Conversation(name="conversations/" + "f" * 32, mode=MODE_SALES_AGENT)
    assert await handles.validate(nowhere, presented[other.name]) == HANDLE_RESULT_INVALID
    assert await handles.validate(nowhere, mint_resume_handle()) == HANDLE_RESULT_INVALID
    assert await handles.validate(ended, presented[ended.name]) == HANDLE_RESULT_INVALID
    clock.advance(TTL)
    assert await handles.validate(old, presented[old.name]) == HANDLE_RESULT_INVALID
    counts = {"unknown": 5, "foreign": 3, "revoked": 1, "expired": 1, "valid": 0, "superseded": 0}
    for result, count in counts.items():
        assert handles.metric("filo_handles_validations_total", result=result) == count


async def test_an_invalid_handle_changes_nothing_but_its_result(handles: RunningHandles) -> None:
    """The attach goes on from what the store has, and the refusal is counted and logged by fingerprint."""
    created = await handles.create()
    await handles.attach(created)
    await handles.checkpoint(created, 1, 1, secret="gemini")
    answer = await handles.attach(created, resume_handle=mint_resume_handle())
    assert answer.handle_result == HANDLE_RESULT_INVALID
    assert (answer.conversation.epoch, answer.upstream_handle.secret) == (2, "gemini")
    assert handles.metric("filo_handles_redemptions_total", result="unknown") == 1


async def test_a_handle_expires_a_ttl_after_the_last_sign_of_life(handles: RunningHandles, clock: ManualClock) -> None:
    """Heartbeats keep it alive for hours; a TTL of silence ends it, and a later attach does not wake it."""
    created = await handles.create()
    await handles.attach(created)
    handle = (await handles.checkpoint(created, 1, 1, secret="gemini")).resume_handle
    for _ in range(5):
        clock.advance(TTL - 1)
        await handles.stub.HeartbeatConversation(pb.HeartbeatConversationRequest(name=created.name, epoch=1))
    clock.advance(TTL - 1)
    assert await handles.validate(created, handle) == HANDLE_RESULT_VALID
    clock.advance(1)
    assert await handles.validate(created, handle) == HANDLE_RESULT_INVALID
    late = await handles.attach(created, resume_handle=handle)
    assert late.handle_result == HANDLE_RESULT_INVALID
    assert not late.HasField("upstream_handle")
    assert late.conversation.turn_count == 1
    assert handles.metric("filo_handles_redemptions_total", result="expired") == 1
    assert await handles.validate(created, handle) == HANDLE_RESULT_INVALID
    newer = (await handles.checkpoint(created, 2, secret="newer")).resume_handle
    assert await handles.validate(created, newer) == HANDLE_RESULT_VALID
    assert await handles.validate(created, handle) == HANDLE_RESULT_INVALID


async def test_a_lease_runs_out(handles: RunningHandles, clock: ManualClock) -> None:
    """Heartbeats renew it; without them nobody holds the conversation, though the epoch still writes."""
    created = await handles.create()
    await handles.attach(created)
    clock.advance(LEASE - 1)
    await handles.stub.HeartbeatConversation(pb.HeartbeatConversationRequest(name=created.name, epoch=1))
    clock.advance(LEASE - 1)
    get = pb.GetConversationRequest(name=created.name)
    assert (await handles.stub.GetConversation(get)).holder == "127.0.0.1:7401"
    clock.advance(1)
    read = await handles.stub.GetConversation(get)
    assert (read.attached, read.holder) == (False, "")
    assert (await handles.checkpoint(created, 1, 1)).turn_count == 1
    clock.advance(LEASE)
    assert (await handles.attach(created)).previous_holder == ""


async def test_a_released_conversation_waits_for_the_next(handles: RunningHandles, clock: ManualClock) -> None:
    """Nobody holds it at once; its handles live on."""
    created = await handles.create()
    await handles.attach(created)
    handle = (await handles.checkpoint(created, 1, 1, secret="gemini")).resume_handle
    clock.advance(60)
    await handles.stub.ReleaseConversation(pb.ReleaseConversationRequest(name=created.name, epoch=1))
    assert not (await handles.stub.GetConversation(pb.GetConversationRequest(name=created.name))).attached
    clock.advance(TTL - 1)
    answer = await handles.attach(created, resume_handle=handle)
    assert (answer.previous_holder, answer.handle_result) == ("", HANDLE_RESULT_VALID)
    assert answer.upstream_handle.secret == "gemini"


async def test_a_rejected_upstream_handle_is_gone(handles: RunningHandles) -> None:
    """The next attach rebuilds from the transcript; deleting it twice is no error, nor is a long explanation."""
    created = await handles.create()
    await handles.attach(created)
    handle = (await handles.checkpoint(created, 1, 1, secret="dead")).resume_handle
    request = pb.InvalidateUpstreamHandleRequest(name=created.name, epoch=1, reason="refused with 1008")
    await handles.stub.InvalidateUpstreamHandle(request)
    request.reason = "and again, at length" * 100
    await handles.stub.InvalidateUpstreamHandle(request)
    answer = await handles.attach(created, resume_handle=handle)
    assert not answer.HasField("upstream_handle")
    assert answer.handle_result == HANDLE_RESULT_VALID
    assert [seen.number for seen in await handles.turns(created)] == [1]


async def test_the_end_is_final(handles: RunningHandles, clock: ManualClock) -> None:
    """It can be read, not attached, not written; ending it again changes nothing."""
    created = await handles.create()
    await handles.attach(created)
    await handles.checkpoint(created, 1, 1, secret="gemini")
    clock.advance(7)
    request = pb.EndConversationRequest(name=created.name, epoch=1, reason="done")
    ended = (await handles.stub.EndConversation(request)).conversation
    assert (ended.state, ended.end_reason, ended.turn_count) == (Conversation.STATE_ENDED, "done", 1)
    assert ended.end_time.ToDatetime(UTC) == clock.now()
    clock.advance(7)
    request.reason = "again"
    assert (await handles.stub.EndConversation(request)).conversation == ended
    heartbeat = pb.HeartbeatConversationRequest(name=created.name, epoch=1)
    assert (await refused(handles.stub.HeartbeatConversation(heartbeat))).reason is Reason.CONVERSATION_ENDED
    assert (await refused(handles.attach(created))).reason is Reason.CONVERSATION_ENDED
    assert (await refused(handles.attach(created, owner=STRANGER))).reason is Reason.OWNER_MISMATCH
    assert (await refused(handles.checkpoint(created, 1, 2))).reason is Reason.CONVERSATION_ENDED
    read = await handles.stub.GetConversation(pb.GetConversationRequest(name=created.name))
    assert (read.conversation, read.attached) == (ended, False)
    assert [seen.number for seen in await handles.turns(created)] == [1]


async def test_what_was_never_attached_can_be_ended(handles: RunningHandles) -> None:
    """By epoch 0, unless somebody attaches in between."""
    one, two = await handles.create(), await handles.create()
    await handles.attach(two)
    end = handles.stub.EndConversation
    assert (await end(pb.EndConversationRequest(name=one.name))).conversation.state == Conversation.STATE_ENDED
    assert (await refused(end(pb.EndConversationRequest(name=two.name)))).reason is Reason.EPOCH_FENCED


async def test_a_restart_keeps_everything(tmp_path: Path, clock: ManualClock) -> None:
    """Conversation, epoch, holder, turns, handles of both kinds and the request id outlive the process."""
    request_id = str(uuid.uuid4())
    async with running_handles(tmp_path, clock=clock) as before:
        created = await before.create(request_id=request_id)
        await before.attach(created)
        first = (await before.checkpoint(created, 1, 1, secret="one")).resume_handle
        newest = (await before.checkpoint(created, 1, 2, secret="two", covers_turn=2)).resume_handle
    async with running_handles(tmp_path, clock=clock) as after:
        assert (await after.create(request_id=request_id)).name == created.name
        assert await after.turns(created) == [turn(1), turn(2)]
        assert await after.validate(created, newest) == HANDLE_RESULT_VALID
        assert await after.validate(created, first) == HANDLE_RESULT_SUPERSEDED
        await after.stub.HeartbeatConversation(pb.HeartbeatConversationRequest(name=created.name, epoch=1))
        answer = await after.attach(created, resume_handle=newest)
        assert (answer.conversation.epoch, answer.previous_holder) == (2, "127.0.0.1:7401")
        assert (answer.upstream_handle.secret, answer.upstream_handle.covers_turn) == ("two", 2)


async def test_a_handle_that_covers_the_future_is_refused(handles: RunningHandles) -> None:
    """With the field named."""
    created = await handles.create()
    await handles.attach(created)
    error = await refused(handles.checkpoint(created, 1, 1, secret="s", covers_turn=2))
    assert error.metadata == {"field": "upstream_handle.covers_turn"}


Malformed = Callable[[RunningHandles], Awaitable[object]]


def _page(token: str) -> pb.ListFeedbackRequest:
    return pb.ListFeedbackRequest(name="conversations/" + "0" * 32, page_token=token)


def _advice(seconds: int) -> pb.AddFeedbackRequest:
    span = Duration(seconds=seconds)
    return pb.AddFeedbackRequest(
        name="conversations/" + "0" * 32, request_id=str(uuid.uuid4()), text="Ask.", time_to_live=span
    )


@pytest.mark.parametrize(
    ("field", "call"),
    [
        ("request_id", lambda handles: handles.create(request_id="1")),
        ("mode", lambda handles: handles.create(mode=0)),
        ("owner", lambda handles: handles.create(owner=Owner())),
        ("owner", lambda handles: handles.create(owner=Owner(user_id="ada"))),
        ("agent.model", lambda handles: handles.create(agent=AgentConfig())),
        ("name", lambda handles: handles.attach(Conversation(name="x", mode=MODE_SALES_AGENT))),
        ("name", lambda handles: handles.validate(Conversation(name="x", mode=MODE_SALES_AGENT), "h")),
        ("name", lambda handles: handles.turns(Conversation(name="x"))),
        ("name", lambda handles: handles.stub.GetConversation(pb.GetConversationRequest())),
        ("epoch", lambda handles: handles.checkpoint(Conversation(name="conversations/" + "0" * 32), 0)),
        ("page_token", lambda handles: handles.stub.ListFeedback(_page("1" * 5000))),
        ("time_to_live", lambda handles: handles.stub.AddFeedback(_advice(2**62))),
        ("time_to_live", lambda handles: handles.stub.AddFeedback(_advice(-(2**62)))),
        (
            "upstream_handle.secret",
            lambda handles: handles.stub.Checkpoint(
                pb.CheckpointRequest(
                    name="conversations/" + "0" * 32, epoch=1, upstream_handle=UpstreamHandle(covers_turn=1)
                )
            ),
        ),
    ],
)
async def test_a_malformed_request_names_the_field(handles: RunningHandles, field: str, call: Malformed) -> None:
    """Before anything is looked up."""
    error = await refused(call(handles))
    assert (error.reason, error.metadata) == (Reason.INVALID_ARGUMENT, {"field": field})


async def test_no_answer_shows_a_secret_it_need_not(handles: RunningHandles) -> None:
    """A share token never comes out again, and an upstream handle only to the relay that attaches."""
    created = await handles.create()
    attached = await handles.attach(created)
    stored = await handles.checkpoint(created, 1, 1, secret="upstream-secret")
    read = await handles.stub.GetConversation(pb.GetConversationRequest(name=created.name))
    ended = await handles.stub.EndConversation(pb.EndConversationRequest(name=created.name, epoch=1))
    for answer in (created, attached, stored, read, ended):
        assert OWNER.share_token.encode() not in answer.SerializeToString()
        assert b"upstream-secret" not in answer.SerializeToString()

"""Records as the contract's messages."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from filo.handles.v1 import handles_pb2, resources_pb2
from services.handles import policy
from services.handles.decisions import Attached, Stored
from services.handles.feedback import rules
from services.handles.feedback.records import AtHand, Feedback
from services.handles.feedback.rules import Added
from services.handles.policy import OUTSIDE, Redemption
from services.handles.records import Conversation, UpstreamHandle


def conversation(record: Conversation, agent: bytes) -> resources_pb2.Conversation:
    """A conversation with its agent."""
    ended = record.ended_at is not None
    return resources_pb2.Conversation(
        name=record.name,
        mode=record.mode,
        owner=str(record.owner),
        agent=resources_pb2.AgentConfig.FromString(agent),
        test=record.test,
        state=resources_pb2.Conversation.STATE_ENDED if ended else resources_pb2.Conversation.STATE_ACTIVE,
        epoch=record.epoch,
        turn_count=record.turn_count,
        covered_seq=record.covered_seq,
        create_time=_timestamp(record.created_at),
        end_time=_timestamp(record.ended_at) if record.ended_at else None,
        end_reason=record.end_reason,
    )


def ledger(record: Conversation) -> resources_pb2.Ledger | None:
    """The newest ledger; None before the first."""
    return resources_pb2.Ledger.FromString(record.ledger) if record.ledger is not None else None


def attached(
    answer: Attached, agent: bytes, heartbeat: timedelta, at_hand: AtHand, now: datetime
) -> handles_pb2.AttachConversationResponse:
    """The answer to an attach: the only message that holds an upstream handle."""
    interval = Duration()
    interval.FromTimedelta(heartbeat)
    return handles_pb2.AttachConversationResponse(
        conversation=conversation(answer.conversation, agent),
        upstream_handle=_upstream_handle(answer.upstream) if answer.upstream else None,
        handle_result=handle_result(answer.redemption),
        ledger=ledger(answer.conversation),
        previous_holder=answer.previous_holder,
        heartbeat_interval=interval,
        feedback=[
            feedback(item, now)
            for item in at_hand.items
            if rules.state_at(item, now) != resources_pb2.Feedback.STATE_EXPIRED
        ],
        newest_feedback_id=str(at_hand.newest) if at_hand.newest else "",
    )


def checkpointed(answer: Stored, resume_handle: str | None) -> handles_pb2.CheckpointResponse:
    """The answer to a checkpoint: the only message that holds a resume handle."""
    return handles_pb2.CheckpointResponse(
        turn_count=answer.conversation.turn_count,
        covered_seq=answer.conversation.covered_seq,
        resume_handle=resume_handle or "",
        expire_time=_timestamp(answer.expires_at) if resume_handle else None,
    )


def feedback(item: Feedback, now: datetime) -> resources_pb2.Feedback:
    """An item as it stands at a moment."""
    return resources_pb2.Feedback(
        id=str(item.number),
        text=item.text,
        state=rules.state_at(item, now),
        turn=item.turn,
        tokens=item.tokens,
        create_time=_timestamp(item.created_at),
        expire_time=_timestamp(item.expires_at) if item.expires_at else None,
        update_time=_timestamp(item.updated_at),
        detail=item.detail,
    )


def added(answer: Added, now: datetime) -> handles_pb2.AddFeedbackResponse:
    """The answer to AddFeedback, with who is to be told."""
    held = policy.held(answer.conversation, now)
    return handles_pb2.AddFeedbackResponse(
        feedback=feedback(answer.feedback, now),
        attached=held,
        holder=answer.conversation.holder if held else "",
        superseded_id=str(answer.superseded) if answer.superseded else "",
        stored_before=not answer.new,
    )


def listed(page: Sequence[Feedback], size: int, now: datetime) -> handles_pb2.ListFeedbackResponse:
    """A page of items, and where the next one begins if this one is full."""
    more = len(page) == size and page[-1].number > 1
    return handles_pb2.ListFeedbackResponse(
        feedback=[feedback(item, now) for item in page], next_page_token=str(page[-1].number) if more else ""
    )


def handle_result(redemption: Redemption | None) -> handles_pb2.HandleResult.ValueType:
    """What is told outside of a presented handle; unspecified when none was presented."""
    return handles_pb2.HANDLE_RESULT_UNSPECIFIED if redemption is None else OUTSIDE[redemption]


def _upstream_handle(handle: UpstreamHandle) -> resources_pb2.UpstreamHandle:
    return resources_pb2.UpstreamHandle(
        secret=handle.secret, covers_turn=handle.covers_turn, create_time=_timestamp(handle.created_at)
    )


def _timestamp(moment: datetime) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(moment)
    return timestamp

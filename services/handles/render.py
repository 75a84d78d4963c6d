"""Records as the contract's messages."""

from datetime import datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from filo.handles.v1 import handles_pb2, resources_pb2
from services.handles.decisions import Attached, Stored
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


def attached(answer: Attached, agent: bytes, heartbeat: timedelta) -> handles_pb2.AttachConversationResponse:
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
    )


def checkpointed(answer: Stored, resume_handle: str | None) -> handles_pb2.CheckpointResponse:
    """The answer to a checkpoint: the only message that holds a resume handle."""
    return handles_pb2.CheckpointResponse(
        turn_count=answer.conversation.turn_count,
        covered_seq=answer.conversation.covered_seq,
        resume_handle=resume_handle or "",
        expire_time=_timestamp(answer.expires_at) if resume_handle else None,
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

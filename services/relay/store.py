"""The handle store as the relay sees it: gRPC on one side, the core's values on the other."""

import json
import zlib
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc
from google.protobuf import struct_pb2
from google.protobuf.json_format import MessageToDict, ParseDict

from filo.handles.v1 import handles_pb2 as pb
from filo.handles.v1 import handles_pb2_grpc as rpc
from filo.handles.v1 import resources_pb2 as resources
from services.common.clock import Clock
from services.common.errors import ServiceError, invalid
from services.relay.core import effects as do
from services.relay.core import events as on
from services.relay.core.attachment import Attachment
from services.relay.core.capabilities import Backend, capability
from services.relay.core.model import Continuity, ToolCall, Turn, UpstreamHandle
from services.relay.feedback import POLICIES, change_message, feedback
from services.relay.ledgers import ledger, ledger_message

CONTINUITY = {
    Continuity.HANDLE: resources.CONTINUITY_HANDLE,
    Continuity.REBASED: resources.CONTINUITY_REBASED,
    Continuity.TRANSCRIPT: resources.CONTINUITY_TRANSCRIPT,
    Continuity.NONE: resources.CONTINUITY_NONE,
}


@dataclass(frozen=True, slots=True)
class Attached:
    """What an attach gave."""

    conversation: resources.Conversation = field(repr=False)
    attachment: Attachment = field(repr=False)
    epoch: int
    handle_result: pb.HandleResult.ValueType
    heartbeat_interval: float


class Store:
    """Calls the handle store; every method may raise `ServiceError`.

    Args:
        channel: An open channel; the caller closes it.
        clock: Tells how long feedback has left.
        backend: Whose API the conversations go to; what a model allows depends on it.

    Attributes:
        holder: This relay's control address, told at each attach; known once its server listens.
    """

    def __init__(self, channel: grpc.aio.Channel, clock: Clock, backend: Backend = Backend.DEVELOPER) -> None:
        self._backend = backend
        self._clock = clock
        self._stub: rpc.HandlesServiceAsyncStub = rpc.HandlesServiceStub(channel)
        self.holder = ""

    async def create(self, request: pb.CreateConversationRequest) -> resources.Conversation:
        """Store a new conversation."""
        return (await self._stub.CreateConversation(request)).conversation

    async def get(self, name: str) -> pb.GetConversationResponse:
        """Read a conversation."""
        with _named_by_caller():
            return await self._stub.GetConversation(pb.GetConversationRequest(name=name))

    async def add_feedback(self, request: pb.AddFeedbackRequest) -> pb.AddFeedbackResponse:
        """Store advice."""
        with _named_by_caller():
            return await self._stub.AddFeedback(request)

    async def list_feedback(self, request: pb.ListFeedbackRequest) -> pb.ListFeedbackResponse:
        """A page of the feedback of a conversation."""
        with _named_by_caller():
            return await self._stub.ListFeedback(request)

    async def attach(
        self,
        name: str,
        mode: resources.Mode.ValueType,
        owner: resources.Owner,
        resume_handle: str | None,
        *,
        test: bool,
    ) -> Attached:
        """Take the conversation; the turns that its handle does not cover come with it."""
        request = pb.AttachConversationRequest(
            name=name, mode=mode, owner=owner, holder=self.holder, resume_handle=resume_handle or "", test=test
        )
        response = await self._stub.AttachConversation(request)
        conversation = response.conversation
        handle = None
        uncovered: tuple[Turn, ...] = ()
        if response.HasField("upstream_handle"):
            handle = UpstreamHandle(response.upstream_handle.secret, response.upstream_handle.covers_turn)
            uncovered = tuple([turn async for turn in self.turns(name, handle.covers_turn)])
        attachment = Attachment(
            new=conversation.epoch <= 1,
            turn_count=conversation.turn_count,
            covered_seq=conversation.covered_seq,
            handle=handle,
            uncovered=uncovered,
            ledger=ledger(response.ledger),
            instruction_characters=len(conversation.agent.system_instruction),
            tools_characters=_length(conversation.agent.tools),
            capability=capability(conversation.agent.model, self._backend),
            feedback=tuple(feedback(item, self._clock) for item in response.feedback),
            newest_feedback=int(response.newest_feedback_id or 0),
            feedback_policy=POLICIES.get(conversation.agent.feedback_policy),
            volatile_tools=frozenset(conversation.agent.volatile_tools),
            place=zlib.crc32(name.encode()) / 2**32,
        )
        interval = response.heartbeat_interval.ToNanoseconds() / 1e9
        return Attached(conversation, attachment, conversation.epoch, response.handle_result, interval)

    async def validate(
        self, name: str, mode: resources.Mode.ValueType, owner: resources.Owner, resume_handle: str
    ) -> pb.HandleResult.ValueType:
        """Judge a resume handle."""
        request = pb.ValidateHandleRequest(name=name, mode=mode, owner=owner, resume_handle=resume_handle)
        return (await self._stub.ValidateHandle(request)).result

    async def turns(self, name: str, after: int) -> AsyncIterator[Turn]:
        """The stored turns after one, in order."""
        async for turn in self.stored_turns(name, after):
            yield _turn(turn)

    async def stored_turns(self, name: str, after: int) -> AsyncIterator[resources.Turn]:
        """The stored turns after one, as they are stored."""
        request = pb.StreamTurnsRequest(name=name, after_turn=after)
        async for response in self._stub.StreamTurns(request):
            yield response.turn

    async def checkpoint(
        self, name: str, epoch: int, effect: do.Checkpoint, told_as: dict[int, int], *, ledger_is_known: bool = False
    ) -> on.CheckpointStored:
        """Store what the core wants stored.

        Args:
            name: The conversation.
            epoch: The holder's.
            effect: What to store.
            told_as: Turn to the number of the message that tells the client of its completion, or an earlier one
                that comes after all else of it.
            ledger_is_known: The store has this ledger from an earlier checkpoint of this epoch.
        """
        request = pb.CheckpointRequest(name=name, epoch=epoch)
        if not ledger_is_known:
            request.ledger.CopyFrom(ledger_message(effect.ledger))
        request.turns.extend(_turn_message(turn, epoch, told_as.get(turn.number, 0)) for turn in effect.turns)
        if effect.handle is not None:
            request.upstream_handle.secret = effect.handle.secret
            request.upstream_handle.covers_turn = effect.handle.covers_turn
        if effect.continuity is not None:
            request.continuity = CONTINUITY[effect.continuity]
        request.invalidate_upstream_handle = effect.invalidate
        request.feedback_changes.extend(map(change_message, effect.feedback))
        response = await self._stub.Checkpoint(request)
        return on.CheckpointStored(
            covered_seq=response.covered_seq,
            turn=response.turn_count,
            resume_handle=response.resume_handle or None,
            expires_at=response.expire_time.ToJsonString() if response.resume_handle else "",
        )

    async def heartbeat(self, name: str, epoch: int) -> None:
        """Say that the holder is alive."""
        await self._stub.HeartbeatConversation(pb.HeartbeatConversationRequest(name=name, epoch=epoch))

    async def invalidate(self, name: str, epoch: int, reason: str) -> None:
        """Delete the upstream handle."""
        request = pb.InvalidateUpstreamHandleRequest(name=name, epoch=epoch, reason=reason)
        await self._stub.InvalidateUpstreamHandle(request)

    async def release(self, name: str, epoch: int) -> None:
        """Give the conversation back."""
        await self._stub.ReleaseConversation(pb.ReleaseConversationRequest(name=name, epoch=epoch))

    async def end(self, name: str, epoch: int, reason: str) -> None:
        """End the conversation for good."""
        await self._stub.EndConversation(pb.EndConversationRequest(name=name, epoch=epoch, reason=reason[:200]))


@contextmanager
def _named_by_caller() -> Iterator[None]:
    """Refusals of a name speak of `conversation`, as the field is called that our caller filled."""
    try:
        yield
    except ServiceError as error:
        if error.metadata.get("field") != "name":
            raise
        raise invalid("conversation", error.detail.removeprefix("name: ")) from error


def _length(tools: Sequence[struct_pb2.Struct]) -> int:
    """Characters of the tools' declarations, as they are sent."""
    declared = [MessageToDict(tool) for tool in tools]
    return len(json.dumps(declared, separators=(",", ":"))) if declared else 0


def _turn(message: resources.Turn) -> Turn:
    calls = tuple(
        ToolCall(
            call.id,
            call.name,
            MessageToDict(call.args),
            MessageToDict(call.result) if call.HasField("result") else None,
        )
        for call in message.tool_calls
    )
    return Turn(message.number, message.user_text, message.agent_text, message.interrupted, message.covered_seq, calls)


def _turn_message(turn: Turn, epoch: int, told_as: int) -> resources.Turn:
    message = resources.Turn(
        number=turn.number,
        user_text=turn.user_text,
        agent_text=turn.agent_text,
        interrupted=turn.interrupted,
        covered_seq=turn.covered_seq,
        epoch=epoch,
        message_number=told_as,
    )
    for call in turn.tool_calls:
        stored = message.tool_calls.add(id=call.id, name=call.name)
        stored.args.CopyFrom(ParseDict(dict(call.args), struct_pb2.Struct()))
        if call.result is not None:
            stored.result.CopyFrom(ParseDict(dict(call.result), struct_pb2.Struct()))
    return message

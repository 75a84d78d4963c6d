"""What the handle store is asked, with all that must be there before it can be."""

import uuid
from collections.abc import Awaitable, Callable
from typing import Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from filo.handles.v1 import handles_pb2 as pb
from filo.handles.v1 import resources_pb2 as resources
from services.contract.cases import Asking

SERVICE: Final = "filo.handles.v1.HandlesService"
HOLDER: Final = "127.0.0.1:7"
"""A relay that never was."""
NOBODY: Final = "conversations/" + "0" * 32
"""A conversation that never was."""
OWNER: Final = resources.Owner(share_token="share-token-of-the-contract")  # noqa: S106 - made up
MODE: Final = resources.MODE_SALES_AGENT
STRANGER: Final = resources.Owner(share_token="share-token-of-a-stranger")  # noqa: S106 - made up
"""Nobody's owner."""
ADVICE: Final = "Ask about the budget."

Ask = Callable[[Asking], Awaitable[Message]]


def agent() -> resources.AgentConfig:
    """An agent with every field filled."""
    return resources.AgentConfig(
        model="models/gemini-2.5-flash-native-audio",
        system_instruction="Sell the thread.",
        voice="Kore",
        language_code="it-IT",
        temperature=0.5,
        feedback_policy=resources.FEEDBACK_POLICY_JUST_IN_TIME,
    )


def path(call: str) -> str:
    """The path of a call of the handle store."""
    return f"/{SERVICE}/{call}"


def creation() -> pb.CreateConversationRequest:
    """Asks for a new conversation."""
    return pb.CreateConversationRequest(request_id=str(uuid.uuid4()), mode=MODE, owner=OWNER, agent=agent(), test=True)


async def created(asking: Asking) -> str:
    """The name of a new conversation."""
    answer: pb.CreateConversationResponse = await asking.expect(path("CreateConversation"), creation())
    return answer.conversation.name


def attach(name: str, owner: resources.Owner = OWNER) -> pb.AttachConversationRequest:
    """Asks to take a conversation."""
    return pb.AttachConversationRequest(name=name, mode=MODE, owner=owner, holder=HOLDER)


async def attached(asking: Asking) -> resources.Conversation:
    """A conversation that is held."""
    answer: pb.AttachConversationResponse = await asking.expect(
        path("AttachConversation"), attach(await created(asking))
    )
    return answer.conversation


def checkpoint(held: resources.Conversation, number: int = 1) -> pb.CheckpointRequest:
    """Asks to store one turn of a conversation that is held, and a handle that covers it."""
    arguments = Struct()
    arguments.update({"sku": "thread"})
    when = Timestamp()
    when.GetCurrentTime()
    turn = resources.Turn(
        number=number,
        user_text="Good morning.",
        agent_text="Hello, this is Ada.",
        interrupted=True,
        covered_seq=7,
        epoch=held.epoch,
        message_number=9,
        complete_time=when,
        tool_calls=[resources.ToolCall(id="call-1", name="price", args=arguments, result=arguments)],
    )
    return pb.CheckpointRequest(
        name=held.name,
        epoch=held.epoch,
        turns=[turn],
        upstream_handle=resources.UpstreamHandle(secret="upstream-handle", covers_turn=number),  # noqa: S106 - made up
        ledger=resources.Ledger(context_tokens=150, user_tokens=50, model_tokens=100),
        continuity=resources.CONTINUITY_NONE,
    )


async def stored(asking: Asking) -> tuple[resources.Conversation, str]:
    """A conversation with one turn, and its resume handle."""
    held = await attached(asking)
    answer: pb.CheckpointResponse = await asking.expect(path("Checkpoint"), checkpoint(held))
    return held, answer.resume_handle


async def advise(asking: Asking, name: str) -> None:
    """Give advice that waits."""
    await asking.expect(path("AddFeedback"), advice(name))


def advice(name: str) -> pb.AddFeedbackRequest:
    """Asks to store advice."""
    return pb.AddFeedbackRequest(
        name=name, request_id=str(uuid.uuid4()), text=ADVICE, time_to_live=Duration(seconds=3600)
    )


async def ended(asking: Asking) -> resources.Conversation:
    """A conversation that was held and has ended."""
    held = await attached(asking)
    request = pb.EndConversationRequest(name=held.name, epoch=held.epoch, reason="done")
    await asking.expect(path("EndConversation"), request)
    return held


def always(make: Callable[[], Message]) -> Ask:
    """Asks without preparing anything."""

    async def ask(_: Asking) -> Message:
        return make()

    return ask


def held(make: Callable[[str, int], Message], *, older: bool = False) -> Ask:
    """A request about a conversation that is held, by its name and epoch."""

    async def ask(asking: Asking) -> Message:
        held = await attached(asking)
        if older:
            await asking.expect(path("AttachConversation"), attach(held.name))
        return make(held.name, held.epoch)

    return ask


def over(make: Callable[[str, int], Message]) -> Ask:
    """A request about a conversation that has ended, by its name and its last epoch."""

    async def ask(asking: Asking) -> Message:
        held = await ended(asking)
        return make(held.name, held.epoch)

    return ask


async def again(asking: Asking) -> Message:
    """Another conversation by the id of one that is there."""
    first = creation()
    await asking.expect(path("CreateConversation"), first)
    first.agent.system_instruction = "Sell something else."
    return first


async def comes_back(asking: Asking) -> Message:
    """Takes a conversation that another relay holds, with its resume handle; advice waits in it."""
    conversation, handle = await stored(asking)
    await advise(asking, conversation.name)
    request = attach(conversation.name)
    request.resume_handle = handle
    return request


async def in_another_mode(asking: Asking) -> Message:
    """Takes a conversation in a mode that is not its own."""
    request = attach(await created(asking))
    request.mode = resources.MODE_CONSULTATION_INVITE
    return request


async def a_stranger(asking: Asking) -> Message:
    """Takes somebody else's conversation."""
    return attach(await created(asking), STRANGER)


async def look_at_a_held_one(asking: Asking) -> Message:
    """Reads one that is held and has a turn."""
    return pb.GetConversationRequest(name=(await stored(asking))[0].name)


async def look_at_an_ended_one(asking: Asking) -> Message:
    """Reads one that has ended."""
    return pb.GetConversationRequest(name=(await ended(asking)).name)


async def a_turn(asking: Asking) -> Message:
    """Stores the first turn."""
    return checkpoint(await attached(asking))


async def a_turn_again(asking: Asking) -> Message:
    """Stores the first turn a second time."""
    request = checkpoint(await attached(asking))
    await asking.expect(path("Checkpoint"), request)
    return request


async def a_hole(asking: Asking) -> Message:
    """Stores the fifth turn first."""
    return checkpoint(await attached(asking), number=5)


async def validate(asking: Asking) -> pb.ValidateHandleRequest:
    """Judges the newest resume handle."""
    conversation, handle = await stored(asking)
    return pb.ValidateHandleRequest(name=conversation.name, mode=MODE, owner=OWNER, resume_handle=handle)


async def an_older_handle(asking: Asking) -> Message:
    """Judges the resume handle before the newest."""
    request = await validate(asking)
    held = await asking.expect(path("AttachConversation"), attach(request.name))
    await asking.expect(path("Checkpoint"), checkpoint(held.conversation, number=2))
    return request


async def a_strangers_handle(asking: Asking) -> Message:
    """Judges a resume handle for an owner whose it is not."""
    request = await validate(asking)
    request.owner.CopyFrom(STRANGER)
    return request


async def newer_advice(asking: Asking) -> Message:
    """Gives advice while older advice waits."""
    held = await attached(asking)
    await advise(asking, held.name)
    return advice(held.name)


async def other_advice_by_the_same_id(asking: Asking) -> Message:
    """Other advice by the id of some that is there."""
    request = advice(await created(asking))
    await asking.expect(path("AddFeedback"), request)
    request.text = "Ask for something else."
    return request


async def advice_of_two(asking: Asking) -> Message:
    """Asks for a page of one item where there are two."""
    name = await created(asking)
    await advise(asking, name)
    await advise(asking, name)
    return pb.ListFeedbackRequest(name=name, page_size=1)


async def turns(asking: Asking) -> Message:
    """Reads the turns of a conversation with one."""
    return pb.StreamTurnsRequest(name=(await stored(asking))[0].name)


async def delete(asking: Asking) -> Message:
    """Erases a conversation."""
    return pb.DeleteConversationRequest(name=await created(asking))


def heartbeat(name: str, epoch: int) -> Message:
    """Says that its holder is alive."""
    return pb.HeartbeatConversationRequest(name=name, epoch=epoch)


def empty_checkpoint(name: str, epoch: int) -> Message:
    """A checkpoint that stores nothing."""
    return pb.CheckpointRequest(name=name, epoch=epoch)


def invalidate(name: str, epoch: int) -> Message:
    """Deletes the upstream handle."""
    return pb.InvalidateUpstreamHandleRequest(name=name, epoch=epoch, reason="refused")


def release(name: str, epoch: int) -> Message:
    """Gives it back."""
    return pb.ReleaseConversationRequest(name=name, epoch=epoch)


def end(name: str, epoch: int) -> Message:
    """Ends it."""
    return pb.EndConversationRequest(name=name, epoch=epoch, reason="done")

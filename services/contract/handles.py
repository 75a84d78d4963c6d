"""The contract of `filo.handles.v1`: what each call must say to what it is asked."""

from collections.abc import Callable, Sequence
from typing import Final

from google.protobuf.message import Message

from filo.handles.v1 import handles_pb2 as pb
from filo.handles.v1 import resources_pb2 as resources
from services.common.errors import Reason
from services.contract import handles_asks as asks
from services.contract.cases import Case
from services.contract.handles_asks import HOLDER, MODE, NOBODY, OWNER, path


def _fenced(call: str, make: Callable[[str, int], Message]) -> Sequence[Case]:
    """The refusals of a call that names a conversation and an epoch."""
    return (
        *_named(call, lambda name: make(name, 1)),
        Case(path(call), "an older epoch", asks.held(make, older=True), Reason.EPOCH_FENCED),
    )


def _named(call: str, make: Callable[[str], Message]) -> Sequence[Case]:
    """The refusals of a call that names a conversation."""
    return (
        Case(path(call), "a name that is none", asks.always(lambda: make("conversations/?")), Reason.INVALID_ARGUMENT),
        Case(path(call), "nobody's name", asks.always(lambda: make(NOBODY)), Reason.CONVERSATION_NOT_FOUND),
    )


_CONVERSATION: Final = ("conversation.name", "conversation.owner", "conversation.create_time")
_FEEDBACK: Final = ("id", "text", "create_time", "expire_time", "update_time")
_WAITING: Final = resources.Feedback.STATE_ACCEPTED
_ACTIVE: Final = resources.Conversation.STATE_ACTIVE
_OVER: Final = resources.Conversation.STATE_ENDED

_CREATE: Final = (
    Case(
        path("CreateConversation"),
        "a new conversation",
        asks.always(asks.creation),
        has=_CONVERSATION,
        equals={"conversation.state": _ACTIVE},
        echoes={"conversation.mode": "mode", "conversation.agent": "agent", "conversation.test": "test"},
    ),
    Case(
        path("CreateConversation"),
        "an id that is no UUID",
        asks.always(lambda: pb.CreateConversationRequest(request_id="1", mode=MODE, owner=OWNER, agent=asks.agent())),
        Reason.INVALID_ARGUMENT,
    ),
    Case(path("CreateConversation"), "another conversation by the same id", asks.again, Reason.REQUEST_ID_REUSED),
)

_GET: Final = (
    Case(
        path("GetConversation"),
        "one that is held",
        asks.look_at_a_held_one,
        has=(
            *_CONVERSATION,
            "conversation.epoch",
            "conversation.agent.model",
            "conversation.mode",
            "conversation.test",
        ),
        equals={
            "conversation.turn_count": 1,
            "conversation.covered_seq": 7,
            "ledger.context_tokens": 150,
            "attached": True,
            "holder": HOLDER,
        },
        echoes={"conversation.name": "name"},
    ),
    Case(
        path("GetConversation"),
        "one that has ended",
        asks.look_at_an_ended_one,
        has=("conversation.end_time",),
        equals={"conversation.state": _OVER, "conversation.end_reason": "done", "attached": False, "holder": ""},
    ),
    *_named("GetConversation", lambda name: pb.GetConversationRequest(name=name)),
)

_ATTACH: Final = (
    Case(
        path("AttachConversation"),
        "with a resume handle, after another relay",
        asks.comes_back,
        has=(
            *_CONVERSATION,
            "conversation.agent.system_instruction",
            "upstream_handle.create_time",
            "heartbeat_interval",
            *(f"feedback.0.{name}" for name in _FEEDBACK),
        ),
        equals={
            "conversation.epoch": 2,
            "upstream_handle.secret": "upstream-handle",
            "upstream_handle.covers_turn": 1,
            "handle_result": pb.HANDLE_RESULT_VALID,
            "ledger.context_tokens": 150,
            "feedback.0.state": _WAITING,
            "newest_feedback_id": "1",
        },
        echoes={"conversation.name": "name", "previous_holder": "holder"},
    ),
    *_named("AttachConversation", asks.attach),
    Case(
        path("AttachConversation"),
        "one that has ended",
        asks.over(lambda name, _: asks.attach(name)),
        Reason.CONVERSATION_ENDED,
    ),
    Case(path("AttachConversation"), "in another mode", asks.in_another_mode, Reason.MODE_MISMATCH),
    Case(path("AttachConversation"), "as a stranger", asks.a_stranger, Reason.OWNER_MISMATCH),
)


_HOLD: Final = (
    Case(path("HeartbeatConversation"), "by its holder", asks.held(asks.heartbeat)),
    *_fenced("HeartbeatConversation", asks.heartbeat),
    Case(path("HeartbeatConversation"), "one that has ended", asks.over(asks.heartbeat), Reason.CONVERSATION_ENDED),
    Case(
        path("Checkpoint"),
        "a turn and a handle",
        asks.a_turn,
        has=("resume_handle", "expire_time"),
        equals={"turn_count": 1, "covered_seq": 7},
    ),
    Case(path("Checkpoint"), "the same turn again", asks.a_turn_again, equals={"turn_count": 1, "covered_seq": 7}),
    Case(path("Checkpoint"), "a hole between two turns", asks.a_hole, Reason.INVALID_ARGUMENT),
    *_fenced("Checkpoint", asks.empty_checkpoint),
    Case(path("Checkpoint"), "one that has ended", asks.over(asks.empty_checkpoint), Reason.CONVERSATION_ENDED),
    Case(path("InvalidateUpstreamHandle"), "by its holder", asks.held(asks.invalidate)),
    *_fenced("InvalidateUpstreamHandle", asks.invalidate),
    Case(path("ReleaseConversation"), "by its holder", asks.held(asks.release)),
    *_fenced("ReleaseConversation", asks.release),
    Case(
        path("EndConversation"),
        "by its holder",
        asks.held(asks.end),
        has=("conversation.end_time", "conversation.name"),
        equals={"conversation.state": _OVER, "conversation.end_reason": "done"},
    ),
    Case(path("EndConversation"), "one that has ended", asks.over(asks.end), equals={"conversation.state": _OVER}),
    *_fenced("EndConversation", asks.end),
)

_VALIDATE: Final = (
    Case(path("ValidateHandle"), "the newest", asks.validate, equals={"result": pb.HANDLE_RESULT_VALID}),
    Case(path("ValidateHandle"), "an older one", asks.an_older_handle, equals={"result": pb.HANDLE_RESULT_SUPERSEDED}),
    Case(path("ValidateHandle"), "a stranger's", asks.a_strangers_handle, equals={"result": pb.HANDLE_RESULT_INVALID}),
    Case(
        path("ValidateHandle"),
        "of nobody",
        asks.always(lambda: pb.ValidateHandleRequest(name=NOBODY, mode=MODE, owner=OWNER, resume_handle="x")),
        equals={"result": pb.HANDLE_RESULT_INVALID},
    ),
    Case(
        path("ValidateHandle"),
        "a name that is none",
        asks.always(lambda: pb.ValidateHandleRequest(name="?", mode=MODE, owner=OWNER, resume_handle="x")),
        Reason.INVALID_ARGUMENT,
    ),
)

_ADVISE: Final = (
    Case(
        path("AddFeedback"),
        "newer advice",
        asks.newer_advice,
        has=tuple(f"feedback.{name}" for name in _FEEDBACK),
        equals={
            "feedback.state": _WAITING,
            "attached": True,
            "holder": HOLDER,
            "superseded_id": "1",
            "stored_before": False,
            "feedback.id": "2",
        },
        echoes={"feedback.text": "text"},
    ),
    *_named("AddFeedback", asks.advice),
    Case(
        path("AddFeedback"),
        "one that has ended",
        asks.over(lambda name, _: asks.advice(name)),
        Reason.CONVERSATION_ENDED,
    ),
    Case(
        path("AddFeedback"), "other advice by the same id", asks.other_advice_by_the_same_id, Reason.REQUEST_ID_REUSED
    ),
    Case(
        path("ListFeedback"),
        "the newest of two",
        asks.advice_of_two,
        has=("next_page_token", *(f"feedback.0.{name}" for name in _FEEDBACK)),
        equals={"feedback.0.id": "2", "feedback.0.state": _WAITING},
    ),
    *_named("ListFeedback", lambda name: pb.ListFeedbackRequest(name=name)),
)

_READ: Final = (
    Case(
        path("StreamTurns"),
        "a turn",
        asks.turns,
        has=("turn.complete_time", "turn.tool_calls.0.args", "turn.tool_calls.0.result", "turn.epoch"),
        equals={
            "turn.number": 1,
            "turn.user_text": "Good morning.",
            "turn.agent_text": "Hello, this is Ada.",
            "turn.interrupted": True,
            "turn.covered_seq": 7,
            "turn.message_number": 9,
            "turn.tool_calls.0.id": "call-1",
            "turn.tool_calls.0.name": "price",
        },
    ),
    *_named("StreamTurns", lambda name: pb.StreamTurnsRequest(name=name)),
    Case(path("DeleteConversation"), "one that is there", asks.delete),
    *_named("DeleteConversation", lambda name: pb.DeleteConversationRequest(name=name)),
)

CASES: Final[tuple[Case, ...]] = (*_CREATE, *_GET, *_ATTACH, *_HOLD, *_VALIDATE, *_ADVISE, *_READ)
"""Every call of the handle store."""

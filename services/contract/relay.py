"""The contract of `filo.relay.v1`: what each call is asked, and what it must say."""

import uuid
from typing import Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from filo.handles.v1 import resources_pb2 as resources
from filo.relay.v1 import relay_pb2 as pb
from services.common.errors import Reason
from services.contract.cases import Asking, Case
from services.contract.handles_asks import MODE, NOBODY, OWNER, agent

SERVICE: Final = "filo.relay.v1.RelayService"
REPLICA: Final = "filo.relay.v1.ReplicaService"
_RELEASE: Final = f"/{REPLICA}/ReleaseConversation"
_STRANGER: Final = resources.Owner(share_token="share-token-of-a-stranger")  # noqa: S106 - made up
_MALFORMED: Final = "conversations/?"


def _path(call: str) -> str:
    return f"/{SERVICE}/{call}"


def _creation() -> pb.CreateSessionRequest:
    return pb.CreateSessionRequest(request_id=str(uuid.uuid4()), mode=MODE, owner=OWNER, agent=agent(), test=True)


async def _session(asking: Asking) -> pb.CreateSessionResponse:
    answer: pb.CreateSessionResponse = await asking.expect(_path("CreateSession"), _creation())
    return answer


async def _joined(asking: Asking) -> str:
    """A conversation with a client."""
    session = await _session(asking)
    if asking.join is None:
        raise AssertionError("a case that needs a client was run without one")
    query = {"sessionToken": session.session_token, "shareToken": OWNER.share_token}
    await asking.join(session.websocket_path, query)
    return session.conversation


async def _ended(asking: Asking) -> str:
    name = (await _session(asking)).conversation
    await asking.expect(_path("EndSession"), pb.EndSessionRequest(conversation=name, reason="done"))
    return name


async def _create(_: Asking) -> Message:
    return _creation()


async def _create_without_id(_: Asking) -> Message:
    request = _creation()
    request.request_id = "1"
    return request


async def _create_another(asking: Asking) -> Message:
    request = _creation()
    await asking.expect(_path("CreateSession"), request)
    request.agent.system_instruction = "Sell something else."
    return request


async def _get(asking: Asking) -> Message:
    return pb.GetSessionRequest(conversation=(await _session(asking)).conversation)


async def _get_joined(asking: Asking) -> Message:
    return pb.GetSessionRequest(conversation=await _joined(asking))


async def _get_malformed(_: Asking) -> Message:
    return pb.GetSessionRequest(conversation=_MALFORMED)


async def _get_nobody(_: Asking) -> Message:
    return pb.GetSessionRequest(conversation=NOBODY)


async def _end(asking: Asking) -> Message:
    return pb.EndSessionRequest(conversation=(await _session(asking)).conversation, reason="done")


async def _end_again(asking: Asking) -> Message:
    return pb.EndSessionRequest(conversation=await _ended(asking))


async def _end_malformed(_: Asking) -> Message:
    return pb.EndSessionRequest(conversation=_MALFORMED)


async def _end_nobody(_: Asking) -> Message:
    return pb.EndSessionRequest(conversation=NOBODY)


def _advice(name: str) -> pb.SendFeedbackRequest:
    return pb.SendFeedbackRequest(
        conversation=name,
        request_id=str(uuid.uuid4()),
        text="Ask about the budget.",
        time_to_live=Duration(seconds=3600),
    )


async def _advise(asking: Asking) -> Message:
    return _advice((await _session(asking)).conversation)


async def _advise_nothing(asking: Asking) -> Message:
    request = _advice((await _session(asking)).conversation)
    request.text = ""
    return request


async def _advise_nobody(_: Asking) -> Message:
    return _advice(NOBODY)


async def _advise_ended(asking: Asking) -> Message:
    return _advice(await _ended(asking))


async def _advise_otherwise(asking: Asking) -> Message:
    request = _advice((await _session(asking)).conversation)
    await asking.expect(_path("SendFeedback"), request)
    request.text = "Ask for something else."
    return request


async def _list(asking: Asking) -> Message:
    name = (await _session(asking)).conversation
    for _ in range(2):
        await asking.expect(_path("SendFeedback"), _advice(name))
    return pb.ListFeedbackRequest(conversation=name, page_size=1)


async def _list_too_many(asking: Asking) -> Message:
    return pb.ListFeedbackRequest(conversation=(await _session(asking)).conversation, page_size=100_000)


async def _list_nobody(_: Asking) -> Message:
    return pb.ListFeedbackRequest(conversation=NOBODY)


async def _watch(asking: Asking) -> Message:
    return pb.WatchSessionRequest(conversation=(await _session(asking)).conversation)


async def _watch_joined(asking: Asking) -> Message:
    return pb.WatchSessionRequest(conversation=await _joined(asking))


async def _watch_ended(asking: Asking) -> Message:
    return pb.WatchSessionRequest(conversation=await _ended(asking))


async def _watch_malformed(_: Asking) -> Message:
    return pb.WatchSessionRequest(conversation=_MALFORMED)


async def _watch_nobody(_: Asking) -> Message:
    return pb.WatchSessionRequest(conversation=NOBODY)


async def _release_none(asking: Asking) -> Message:
    name = (await _session(asking)).conversation
    return pb.ReleaseConversationRequest(conversation=name, mode=MODE, owner=OWNER)


async def _release(asking: Asking) -> pb.ReleaseConversationRequest:
    return pb.ReleaseConversationRequest(conversation=await _joined(asking), mode=MODE, owner=OWNER)


async def _release_in_another_mode(asking: Asking) -> Message:
    request = await _release(asking)
    request.mode = resources.MODE_CONSULTATION_INVITE
    return request


async def _release_to_a_stranger(asking: Asking) -> Message:
    request = await _release(asking)
    request.owner.CopyFrom(_STRANGER)
    return request


_FEEDBACK: Final = ("id", "text", "create_time", "expire_time", "update_time")
_ACTIVE: Final = resources.Conversation.STATE_ACTIVE
_OVER: Final = resources.Conversation.STATE_ENDED
_WAITING: Final = resources.Feedback.STATE_ACCEPTED
_NEW: Final = {
    "session.mode": MODE,
    "session.test": True,
    "session.state": _ACTIVE,
    "session.attached": False,
    "session.client_connected": False,
    "session.turn_count": 0,
}

_SESSIONS: Final = (
    Case(
        _path("CreateSession"),
        "a new session",
        _create,
        has=("conversation", "session_token", "expire_time"),
        equals={"websocket_path": "/ws/ai-voice?mode=sales_agent"},
    ),
    Case(_path("CreateSession"), "an id that is no UUID", _create_without_id, Reason.INVALID_ARGUMENT),
    Case(_path("CreateSession"), "another session by the same id", _create_another, Reason.REQUEST_ID_REUSED),
    Case(
        _path("GetSession"),
        "a new one",
        _get,
        has=("session.create_time",),
        equals=_NEW,
        echoes={"session.conversation": "conversation"},
    ),
    Case(
        _path("GetSession"),
        "one with a client",
        _get_joined,
        equals={"session.attached": True, "session.client_connected": True},
        client=True,
    ),
    Case(_path("GetSession"), "a name that is none", _get_malformed, Reason.INVALID_ARGUMENT),
    Case(_path("GetSession"), "nobody's name", _get_nobody, Reason.CONVERSATION_NOT_FOUND),
    Case(
        _path("EndSession"),
        "one that nobody holds",
        _end,
        has=("session.end_time", "session.create_time"),
        equals={"session.state": _OVER},
        echoes={"session.conversation": "conversation"},
    ),
    Case(_path("EndSession"), "one that has ended", _end_again, equals={"session.state": _OVER}),
    Case(_path("EndSession"), "a name that is none", _end_malformed, Reason.INVALID_ARGUMENT),
    Case(_path("EndSession"), "nobody's name", _end_nobody, Reason.CONVERSATION_NOT_FOUND),
)

_ADVISE: Final = (
    Case(
        _path("SendFeedback"),
        "advice that waits",
        _advise,
        has=tuple(f"feedback.{name}" for name in _FEEDBACK),
        equals={"feedback.state": _WAITING},
        echoes={"feedback.text": "text"},
    ),
    Case(_path("SendFeedback"), "no text", _advise_nothing, Reason.INVALID_ARGUMENT),
    Case(_path("SendFeedback"), "nobody's name", _advise_nobody, Reason.CONVERSATION_NOT_FOUND),
    Case(_path("SendFeedback"), "one that has ended", _advise_ended, Reason.CONVERSATION_ENDED),
    Case(_path("SendFeedback"), "other advice by the same id", _advise_otherwise, Reason.REQUEST_ID_REUSED),
    Case(
        _path("ListFeedback"),
        "the newest of two",
        _list,
        has=("next_page_token", *(f"feedback.0.{name}" for name in _FEEDBACK)),
        equals={"feedback.0.id": "2", "feedback.0.state": _WAITING},
    ),
    Case(_path("ListFeedback"), "too large a page", _list_too_many, Reason.INVALID_ARGUMENT),
    Case(_path("ListFeedback"), "nobody's name", _list_nobody, Reason.CONVERSATION_NOT_FOUND),
)

_WATCH: Final = (
    Case(
        _path("WatchSession"),
        "how a new one stands",
        _watch,
        has=("time", "session.create_time"),
        equals=_NEW,
        echoes={"session.conversation": "conversation"},
    ),
    Case(
        _path("WatchSession"),
        "how one with a client stands",
        _watch_joined,
        has=("sequence", "time"),
        equals={"session.attached": True},
        client=True,
    ),
    Case(
        _path("WatchSession"),
        "one that has ended",
        _watch_ended,
        has=("sequence", "time"),
        equals={"ended.reason": "done"},
    ),
    Case(_path("WatchSession"), "a name that is none", _watch_malformed, Reason.INVALID_ARGUMENT),
    Case(_path("WatchSession"), "nobody's name", _watch_nobody, Reason.CONVERSATION_NOT_FOUND),
)

_REPLICAS: Final = (
    Case(_RELEASE, "one that is not held", _release_none, equals={"held": False}),
    Case(_RELEASE, "one with a client", _release, equals={"held": True}, client=True),
    Case(_RELEASE, "in another mode", _release_in_another_mode, Reason.MODE_MISMATCH, client=True),
    Case(_RELEASE, "to a stranger", _release_to_a_stranger, Reason.OWNER_MISMATCH, client=True),
)

CASES: Final[tuple[Case, ...]] = (*_SESSIONS, *_ADVISE, *_WATCH, *_REPLICAS)
"""Every call of the relay."""

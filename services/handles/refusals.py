"""Which errors each call may answer: the contract's comments as data, for metrics and documents."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from services.common.errors import Reason

ALWAYS: Final = (Reason.INVALID_ARGUMENT, Reason.STORE_UNAVAILABLE, Reason.CALLER_NOT_ALLOWED)
"""Every call may answer these; the last only where callers show certificates (see `access`)."""

_FENCED: Final = (Reason.CONVERSATION_NOT_FOUND, Reason.EPOCH_FENCED)

REFUSALS: Final[Mapping[str, tuple[Reason, ...]]] = MappingProxyType(
    {
        "CreateConversation": (Reason.REQUEST_ID_REUSED,),
        "GetConversation": (Reason.CONVERSATION_NOT_FOUND,),
        "AttachConversation": (
            Reason.CONVERSATION_NOT_FOUND,
            Reason.CONVERSATION_ENDED,
            Reason.MODE_MISMATCH,
            Reason.OWNER_MISMATCH,
        ),
        "HeartbeatConversation": (Reason.CONVERSATION_NOT_FOUND, Reason.CONVERSATION_ENDED, Reason.EPOCH_FENCED),
        "Checkpoint": (Reason.CONVERSATION_NOT_FOUND, Reason.CONVERSATION_ENDED, Reason.EPOCH_FENCED),
        "InvalidateUpstreamHandle": _FENCED,
        "ValidateHandle": (),
        "AddFeedback": (
            Reason.CONVERSATION_NOT_FOUND,
            Reason.CONVERSATION_ENDED,
            Reason.REQUEST_ID_REUSED,
            Reason.LIMIT_REACHED,
        ),
        "ListFeedback": (Reason.CONVERSATION_NOT_FOUND,),
        "StreamTurns": (Reason.CONVERSATION_NOT_FOUND,),
        "ReleaseConversation": _FENCED,
        "EndConversation": _FENCED,
        "DeleteConversation": (Reason.CONVERSATION_NOT_FOUND,),
    }
)
"""What each call may answer beside `ALWAYS`."""

"""What a client is told, as JSON: notices, greetings, refusals; see ``docs/client-protocol.md``. Pure."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec

from filo.handles.v1 import resources_pb2 as resources
from services.common.errors import Reason, ServiceError
from services.relay.core import notices as tell
from services.relay.core.model import Continuity, RotationMode, ToolCall


def refusal(error: ServiceError) -> str:
    """What a client is told before it is sent away for a while; it has no number, for nothing has begun."""
    message = {
        "type": "error",
        "code": error.reason.value,
        "message": error.detail,
        "retryable": error.meaning.retryable,
        "retryAfter": error.retry_after,
    }
    return msgspec.json.encode(message).decode()


def _calls(calls: tuple[ToolCall, ...]) -> list[dict[str, Any]]:
    return [{"id": call.id, "name": call.name, "args": dict(call.args)} for call in calls]


def _tokens(notice: tell.TokensCounted) -> dict[str, Any]:
    held = notice.ledger.held
    return {
        "type": "usage",
        "turn": notice.turn,
        "contextTokens": notice.ledger.context,
        "billedTokens": notice.ledger.billed,
        "byCategory": {  # advice to the agent is not the client's to know: it counts as instruction
            "instruction": notice.ledger.context - held.user - held.model,
            "user": held.user,
            "model": held.model,
        },
    }


def _rotated(notice: tell.Rotated) -> dict[str, Any]:
    return {
        "type": "session:rotated",
        "reason": notice.reason,
        "continuity": notice.continuity,
        "gapMs": round(notice.gap * 1000),
        "turn": notice.turn,
    }


def _expiring(notice: tell.Expiring) -> dict[str, Any]:
    return {
        "type": "session_expiring",
        "message": f"The connection ends in {notice.time_left:g} s.",
        "timeLeft": notice.time_left,
        "hasHandle": notice.has_handle,
        "reason": notice.reason,
    }


def _trouble(notice: tell.UpstreamTrouble) -> dict[str, Any]:
    reason = Reason.UPSTREAM_UNAVAILABLE if notice.retryable else Reason.UPSTREAM_REFUSED
    return {"type": "error", "code": reason.value, "message": notice.message, "retryable": notice.retryable}


_RENDER: Final[Mapping[type[Any], Callable[[Any], dict[str, Any]]]] = MappingProxyType(
    {
        tell.HandleRenewed: lambda n: {
            "type": "session_resumption_update",
            "handle": n.resume_handle,
            "resumable": True,
            "expiresAt": n.expires_at,
        },
        tell.Expiring: _expiring,
        tell.ReconnectNow: lambda n: {"type": "goAway", "timeLeft": n.time_left},
        tell.Rotating: lambda n: {"type": "session:rotating", "reason": n.reason, "turn": n.turn},
        tell.Rotated: _rotated,
        tell.Transcript: lambda n: {"type": "transcript", "role": n.role, "text": n.text, "turn": n.turn},
        tell.AnswerInterrupted: lambda n: {"type": "interrupted", "turn": n.turn},
        tell.TurnEnded: lambda n: {
            "type": "turn:complete",
            "turn": n.turn,
            "interrupted": n.interrupted,
            "stored": n.stored,
        },
        tell.TurnRestarted: lambda n: {"type": "turn:restarted", "turn": n.turn, "reason": n.reason},
        tell.InputCovered: lambda n: {"type": "covered", "seq": n.seq, "turn": n.turn},
        tell.TokensCounted: _tokens,
        tell.ToolsWanted: lambda n: {"type": "tool_call", "turn": n.turn, "calls": _calls(n.calls)},
        tell.ToolsUnwanted: lambda n: {"type": "tool_call_cancellation", "turn": n.turn, "ids": list(n.ids)},
        tell.UpstreamTrouble: _trouble,
        tell.ConversationOver: lambda n: {"type": "conversation_end", "reason": n.reason},
    }
)
"""How each notice looks on the wire; a test proves it total."""


def render(notice: tell.Notice) -> dict[str, Any]:
    """A notice as a message, without its number."""
    return _RENDER[type(notice)](notice)


def encode(message: Mapping[str, Any], epoch: int, n: int) -> str:
    """The JSON of a message with its number, `type` first."""
    return msgspec.json.encode({"type": message["type"], "epoch": epoch, "n": n, **message}).decode()


def greeting(
    *,
    conversation: str,
    mode: str,
    turn: int,
    next_seq: int,
    covered: int,
    rotation: RotationMode,
    continuity: Continuity | None,
) -> dict[str, Any]:
    """``session:started`` where there was nothing before, ``session:resumed`` otherwise."""
    message = {
        "type": "session:started" if continuity is None else "session:resumed",
        "conversation": conversation,
        "mode": mode,
        "turn": turn,
        "nextSeq": next_seq,
        "covered": covered,
        "rotation": rotation,
    }
    return message if continuity is None else {**message, "continuity": continuity}


def missed(turn: resources.Turn) -> dict[str, Any]:
    """A turn that was completed in an earlier epoch."""
    return {
        "type": "turn:missed",
        "turn": turn.number,
        "user": turn.user_text,
        "agent": turn.agent_text,
        "interrupted": turn.interrupted,
    }

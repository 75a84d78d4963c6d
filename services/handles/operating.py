"""What an operator asks of the store on the machine of its database: to see, and to take handles back.

Whatever comes out of here is meant for a screen: no secret, no word of a conversation.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from google.protobuf.json_format import MessageToDict

from filo.handles.v1.resources_pb2 import AgentConfig, Continuity, Ledger, Mode
from services.handles import limits, policy
from services.handles.decisions import Decide, Decision
from services.handles.digests import Digests
from services.handles.policy import KEPT_RESUME_HANDLES, Rules
from services.handles.records import Change, Conversation, UpstreamHandle, View
from services.handles.store import Store

_NOBODY: Final = "0" * 32
"""An id that no conversation has: ids are random."""

_PAGE: Final = 200

_AHEAD: Final = timedelta(days=1)
"""Another machine's clock may be ahead of ours, and what it made is still the newest."""


async def listed(store: Store, most: int, now: datetime) -> list[Conversation]:
    """The newest conversations.

    Args:
        store: Where they are.
        most: How many.
        now: The present.
    """
    found: list[Conversation] = []
    before = (now + _AHEAD, "")
    while len(found) < most:
        page = await store.newest(before, min(_PAGE, most - len(found)))
        if not page:
            break
        found.extend(page)
        before = (page[-1].created_at, page[-1].id)
    return found


async def owner_of(store: Store, digests: Digests, resume_handle: str) -> str:
    """The id of the conversation that a resume handle was made for, whatever it is worth by now.

    Raises:
        ServiceError: CONVERSATION_NOT_FOUND: it was never one of ours, or is too old to be known.
    """
    digest = digests.resume_handle(resume_handle)
    presented = None if digest is None else (await store.look(_NOBODY, digest)).presented
    if presented is None:
        raise policy.not_found()
    return presented.conversation_id


def identity(text: str) -> str:
    """The id in ``conversations/{id}`` or in the bare id.

    Raises:
        ServiceError: INVALID_ARGUMENT.
    """
    return limits.conversation_id(text if "/" in text else f"conversations/{text}")


def revoke() -> Decide[tuple[Conversation, Conversation]]:
    """Take back every resume handle that was given out; the conversation goes on, and its next checkpoint makes one."""

    def decide(view: View) -> Decision[tuple[Conversation, Conversation]]:
        before = policy.existing(view)
        after = before._replace(handles_revoked=before.handles_issued)
        return Decision(Change(after, view.upstream), (before, after))

    return decide


async def revoked(store: Store, identity_: str, now: datetime, rules: Rules) -> dict[str, Any]:
    """Revoke, and say how many handles were good until now.

    Raises:
        ServiceError: CONVERSATION_NOT_FOUND.
    """
    before, after = await store.change(identity_, revoke())
    return {"name": after.name, "revoked": _live(before, now, rules), "revoked_up_to": after.handles_revoked}


def summary(record: Conversation, now: datetime, rules: Rules) -> dict[str, Any]:
    """A conversation in one line, as JSON has it; moments in ISO 8601."""
    held = policy.held(record, now)
    return {
        "name": record.name,
        "mode": Mode.Name(record.mode).removeprefix("MODE_").lower(),
        "owner": str(record.owner),
        "test": record.test,
        "state": "ended" if record.ended_at else "held" if held else "idle",
        "epoch": record.epoch,
        "holder": record.holder if held else "",
        "turns": record.turn_count,
        "handles_live": _live(record, now, rules),
        "created": record.created_at.isoformat(),
        "seen": record.seen_at.isoformat(),
    }


async def details(store: Store, identity_: str, now: datetime, rules: Rules) -> dict[str, Any]:
    """All that is known of a conversation but its words and its secrets, as JSON has it.

    Raises:
        ServiceError: CONVERSATION_NOT_FOUND.
    """
    view = await store.look(identity_)
    record = policy.existing(view)
    return {
        **summary(record, now, rules),
        "lease_until": _iso(record.lease_until),
        "ended": _iso(record.ended_at),
        "end_reason": record.end_reason,
        "covered_seq": record.covered_seq,
        "continuity": Continuity.Name(record.continuity).removeprefix("CONTINUITY_").lower(),
        "resume_handles": _resume_handles(record, now, rules),
        "upstream_handle": _upstream_handle(view.upstream),
        "agent": _agent(AgentConfig.FromString(await store.agent(identity_))),
        "ledger": {} if record.ledger is None else _ledger(record.ledger),
    }


def _live(record: Conversation, now: datetime, rules: Rules) -> int:
    """How many resume handles are good for something."""
    if record.ended_at or policy.expired(record, now, rules):
        return 0
    gone = max(record.handles_expired, record.handles_revoked)
    return min(record.handles_issued - gone, KEPT_RESUME_HANDLES)


def _resume_handles(record: Conversation, now: datetime, rules: Rules) -> Mapping[str, Any]:
    return {
        "issued": record.handles_issued,
        "live": _live(record, now, rules),
        "expired_up_to": record.handles_expired,
        "revoked_up_to": record.handles_revoked,
        "expire": policy.expiry(record, rules).isoformat(),
    }


def _upstream_handle(handle: UpstreamHandle | None) -> Mapping[str, Any] | None:
    """What is known of it beside itself."""
    return None if handle is None else {"covers_turn": handle.covers_turn, "created": handle.created_at.isoformat()}


def _agent(agent: AgentConfig) -> Mapping[str, Any]:
    return {
        "model": agent.model,
        "voice": agent.voice,
        "language": agent.language_code,
        "instruction_characters": len(agent.system_instruction),
        "tools": len(agent.tools),
    }


def _ledger(stored: bytes) -> Mapping[str, Any]:
    fields: Mapping[str, Any] = MessageToDict(Ledger.FromString(stored), preserving_proto_field_name=True)
    return fields


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()

"""What the store does in a transaction, as programs without I/O.

A program yields what to ask the database, and is sent the answer. A driver (`sqlite`, `postgres`) runs it on its own
connection in its own way: so one text holds for both. A program may be started again from the beginning, when its
transaction was undone; what it decides by is a pure function.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeVar

from sqlalchemy import Executable

from services.common import logs
from services.common.errors import Reason, ServiceError
from services.handles import policy, statements
from services.handles.codec import Codec, SpoiledError
from services.handles.decisions import Decide
from services.handles.feedback.statements import CHANGE_FEEDBACK
from services.handles.records import (
    Change,
    Conversation,
    Created,
    FeedbackChange,
    Glance,
    NewConversation,
    Owner,
    OwnerKind,
    ResumeHandle,
    Standing,
    Turn,
    UpstreamHandle,
    View,
)

T = TypeVar("T")

SLOT: Final = timedelta(minutes=10)
"""How finely the sweeper tells when a conversation was last seen."""

DELETED_TOGETHER: Final = 16
"""Resume handles of a conversation that are deleted together, once they are too old to mean anything."""


class Ask(NamedTuple):
    """One statement with its parameters; a list of them runs it once for each."""

    statement: Executable
    given: Mapping[str, Any] | list[dict[str, Any]] = MappingProxyType({})


class Answer(NamedTuple):
    """The rows of a query, or how many rows a write changed (unknown where it ran many times)."""

    rows: Sequence[Sequence[Any]] = ()
    changed: int = 0


Program = Generator[Ask, Answer, T]
"""A transaction: asks, and returns what it found or did."""

MakeProgram = Callable[[], Program[T]]

_log = logs.get("handles")

_CHANGING: Final = tuple((name, at) for at, name in enumerate(Conversation._fields) if name in statements.CHANGING)
_KINDS: Final = {kind.value: kind for kind in OwnerKind}
_RECORD: Final = len(statements.RECORD)
_STANDING: Final = len(statements.STANDING)


def slot(moment: datetime) -> int:
    """The number of the `SLOT` that a moment falls into."""
    return int(moment.timestamp() // SLOT.total_seconds())


def derived(record: Conversation) -> dict[str, Any]:
    """The columns that follow from a record."""
    live = record.handles_issued > max(record.handles_expired, record.handles_revoked)
    return {"seen_slot": slot(record.seen_at), "handles_live": live}


def create(new: NewConversation, codec: Codec) -> Program[Created]:
    """Store a conversation, unless its request id is taken: then what is stored under it comes back."""
    record = new.conversation
    values = record._asdict() | derived(record)
    values |= {"request_id": new.request_id, "request_digest": new.request_digest}
    values |= {"owner_kind": record.owner.kind.value, "owner_key": record.owner.key}
    if not (yield Ask(statements.INSERT, values)).rows:
        row = (yield Ask(statements.BY_REQUEST, {"request_id": new.request_id})).rows[0]
        return Created(conversation(row), row[_RECORD])
    body = codec.seal(new.agent, f"agents/{record.id}")
    yield Ask(statements.INSERT_AGENT, {"id": record.id, "body": body})
    return Created(record, new.request_digest)


def look(conversation_id: str, resume_digest: bytes | None, codec: Codec) -> Program[View]:
    """Read a conversation and a presented resume handle."""
    row = (yield Ask(statements.LOOK, {"id": conversation_id, "digest": resume_digest})).rows[0]
    secret, covers_turn, created_at, presented_of, presented_number = row[_RECORD:]
    presented = ResumeHandle(presented_of, presented_number) if presented_of is not None else None
    if row[0] is None:
        return View(None, None, presented)
    if secret is None:
        return View(conversation(row), None, presented)
    try:
        opened = codec.open(secret, f"upstream_handles/{conversation_id}").decode()
    except SpoiledError as error:
        _log.error("upstream handle cannot be used", conversation=f"conversations/{conversation_id}", why=str(error))
        return View(conversation(row), None, presented, spoiled=True)
    return View(conversation(row), UpstreamHandle(opened, covers_turn, created_at), presented)


def glance(conversation_id: str, resume_digest: bytes | None) -> Program[Glance]:
    """Read what a judgement of a presented resume handle needs."""
    row = (yield Ask(statements.GLANCE, {"id": conversation_id, "digest": resume_digest})).rows[0]
    presented_of, presented_number = row[_STANDING:]
    presented = ResumeHandle(presented_of, presented_number) if presented_of is not None else None
    if row[0] is None:
        return Glance(None, presented)
    identity, mode, kind, key, *marks = row[:_STANDING]
    return Glance(Standing(identity, mode, Owner(_KINDS[kind], key), *marks), presented)


def change(conversation_id: str, decide: Decide[T], resume_digest: bytes | None, codec: Codec) -> Program[T]:
    """Lock, look, decide and write."""
    yield Ask(statements.LOCK, {"id": conversation_id})
    view = yield from look(conversation_id, resume_digest, codec)
    decision = decide(view)
    if decision.change is not None:
        yield from _write(view, decision.change, codec)
    return decision.answer


def agent(conversation_id: str, codec: Codec) -> Program[bytes]:
    """The agent configuration of a conversation that exists.

    Raises:
        ServiceError: CONVERSATION_NOT_FOUND, where it was erased a moment ago.
    """
    rows = (yield Ask(statements.AGENT, {"id": conversation_id})).rows
    if not rows:
        raise policy.not_found()
    return codec.open(rows[0][0], f"agents/{conversation_id}")


def turns(conversation_id: str, after: int, most: int, codec: Codec) -> Program[Sequence[Turn]]:
    """The turns after a number, in order."""
    found = yield Ask(statements.TURNS, {"id": conversation_id, "after": after, "most": most})
    return [Turn(number, codec.open(body, f"turns/{conversation_id}/{number}")) for number, body in found.rows]


def newest(before: tuple[datetime, str], most: int) -> Program[Sequence[Conversation]]:
    """Conversations before a moment and an id, the newest first."""
    given = {"before": before[0], "before_id": before[1], "most": most}
    return [conversation(row) for row in (yield Ask(statements.NEWEST, given)).rows]


def meta() -> Program[dict[str, bytes]]:
    """The facts about the database itself."""
    return {name: bytes(value) for name, value in (yield Ask(statements.META)).rows}


def put_meta(values: Mapping[str, bytes]) -> Program[dict[str, bytes]]:
    """Note facts where there are none yet, and read them all."""
    for name, value in values.items():
        yield Ask(statements.PUT_META, {"name": name, "value": value})
    return (yield from meta())


def delete_meta(names: Sequence[str]) -> Program[None]:
    """Forget facts."""
    for name in names:
        yield Ask(statements.DELETE_META, {"name": name})


def conversation(row: Sequence[Any]) -> Conversation:
    """The record in a row that begins with the columns of a conversation."""
    identity, mode, kind, key, *others = row[:_RECORD]
    return Conversation(identity, mode, Owner(_KINDS[kind], key), *others)


def _write(view: View, wanted: Change, codec: Codec) -> Program[None]:
    after, before = wanted.conversation, view.conversation
    if before is None or before.id != after.id:
        raise ValueError("a decision changes the conversation that it was shown")
    yield from compare_and_set(before, after)
    if wanted.upstream is not view.upstream or view.spoiled:
        yield _replace_upstream(after.id, wanted.upstream, codec)
    if wanted.turns:
        yield Ask(statements.INSERT_TURN, [_turn(after.id, turn, codec) for turn in wanted.turns])
    if wanted.feedback:
        yield Ask(CHANGE_FEEDBACK, [_feedback_change(after.id, change) for change in wanted.feedback])
    if wanted.resume_digest is not None:
        number, digest = after.handles_issued, wanted.resume_digest
        yield Ask(statements.INSERT_RESUME, {"digest": digest, "id": after.id, "number": number})
        if number % DELETED_TOGETHER == 0 and number > policy.KEPT_RESUME_HANDLES:
            yield Ask(statements.DELETE_RESUME, {"id": after.id, "number": number - policy.KEPT_RESUME_HANDLES})


def compare_and_set(before: Conversation, after: Conversation) -> Program[None]:
    """Write the record where it still has the epoch that was read. The lock makes a miss rare, this makes it harmless.

    Raises:
        ServiceError: STORE_UNAVAILABLE, when somebody else was quicker.
    """
    values = _differing(before, after)
    given = {**values, "id": after.id, "read_epoch": before.epoch}
    done = yield Ask(statements.updating(tuple(values)), given)
    if done.changed != 1:
        raise ServiceError(Reason.STORE_UNAVAILABLE, "The conversation was taken at this moment; try again.", None, 0.0)


def _differing(before: Conversation, after: Conversation) -> dict[str, Any]:
    """The columns to write. Where a record is written as it is, that is what follows from it, to be put right."""
    differing = {name: after[at] for name, at in _CHANGING if after[at] != before[at]}
    follows = derived(after)
    return differing if differing and follows == derived(before) else differing | follows


def _replace_upstream(owner: str, handle: UpstreamHandle | None, codec: Codec) -> Ask:
    if handle is None:
        return Ask(statements.DELETE_UPSTREAM, {"id": owner})
    secret = codec.seal(handle.secret.encode(), f"upstream_handles/{owner}")
    given = {"id": owner, "secret": secret, "covers_turn": handle.covers_turn, "at": handle.created_at}
    return Ask(statements.PUT_UPSTREAM, given)


def _feedback_change(owner: str, change: FeedbackChange) -> dict[str, Any]:
    values = {
        "new_state": change.state,
        "new_turn": change.turn,
        "new_tokens": change.tokens,
        "new_detail": change.detail,
    }
    return {"id": owner, "nth": change.number, "at": change.at, **values}


def _turn(owner: str, turn: Turn, codec: Codec) -> dict[str, Any]:
    return {"id": owner, "number": turn.number, "body": codec.seal(turn.body, f"turns/{owner}/{turn.number}")}

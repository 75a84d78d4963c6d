"""Every statement of the store, once for all databases.

They are written in SQLAlchemy Core and compiled to text once (`compiling`); the data path then speaks to the driver
itself, since building and interpreting a statement anew would cost more than running it.
"""

from typing import Any, Final, NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Executable,
    Integer,
    LargeBinary,
    Select,
    String,
    Table,
    bindparam,
    delete,
    func,
    insert,
    literal,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql

from services.handles import models
from services.handles.models import UtcDateTime
from services.handles.records import Conversation, Standing

_TABLES: Final = models.Base.metadata.tables
_CONVERSATION: Final = _TABLES[models.Conversation.__tablename__]
_AGENT: Final = _TABLES[models.Agent.__tablename__]
_UPSTREAM: Final = _TABLES[models.UpstreamHandle.__tablename__]
_RESUME: Final = _TABLES[models.ResumeHandle.__tablename__]
_TURN: Final = _TABLES[models.Turn.__tablename__]
_FEEDBACK: Final = _TABLES[models.Feedback.__tablename__]
_META: Final = _TABLES[models.Meta.__tablename__]

_FIXED: Final = frozenset({"id", "request_id", "request_digest", "mode", "owner_kind", "owner_key", "created_at"})
"""Columns of a conversation that never change."""

RECORD: Final = tuple(
    column for name in Conversation._fields for column in (("owner_kind", "owner_key") if name == "owner" else (name,))
)
"""The columns of a record, in the order of its fields."""

STANDING: Final = tuple(
    column for name in Standing._fields for column in (("owner_kind", "owner_key") if name == "owner" else (name,))
)
"""The columns of a standing, in the order of its fields."""

CHANGING: Final = tuple(column.name for column in _CONVERSATION.columns if column.name not in _FIXED)
"""Columns of a conversation that a change writes."""

_record: Final = tuple(_CONVERSATION.c[name] for name in RECORD)
_id: Final = bindparam("id", type_=String)
_digest: Final = bindparam("digest", type_=LargeBinary)
_after: Final = bindparam("after", type_=String)
_most: Final = bindparam("most", type_=Integer)
_always: Final = select(literal(1).label("one")).subquery("always")

INSERT: Final = (
    postgresql.insert(models.Conversation)
    .values({column.name: bindparam(column.name, type_=column.type) for column in _CONVERSATION.columns})
    .on_conflict_do_nothing(index_elements=["request_id"])
    .returning(_CONVERSATION.c.id)
)
"""A new conversation; no row when its request id is taken."""

INSERT_AGENT: Final = insert(_AGENT).values(conversation_id=bindparam("id"), body=bindparam("body"))

BY_REQUEST: Final = select(*_record, _CONVERSATION.c.request_digest).where(
    _CONVERSATION.c.request_id == bindparam("request_id")
)

LOCK: Final = select(_CONVERSATION.c.id).where(_CONVERSATION.c.id == _id).with_for_update()
"""Comes before `LOOK` in a change: on PostgreSQL a statement that waits for a lock would see old rows beside it."""

LOOK: Final = select(
    *_record,
    _UPSTREAM.c.secret.label("upstream_secret"),
    _UPSTREAM.c.covers_turn.label("upstream_covers_turn"),
    _UPSTREAM.c.created_at.label("upstream_created_at"),
    _RESUME.c.conversation_id.label("presented_of"),
    _RESUME.c.number.label("presented_number"),
).select_from(
    _always.outerjoin(_CONVERSATION, _CONVERSATION.c.id == _id)
    .outerjoin(_UPSTREAM, _UPSTREAM.c.conversation_id == _CONVERSATION.c.id)
    .outerjoin(_RESUME, _RESUME.c.digest == _digest)
)
"""One row, whatever there is: one statement is one consistent look."""

GLANCE: Final = select(
    *(_CONVERSATION.c[name] for name in STANDING),
    _RESUME.c.conversation_id.label("presented_of"),
    _RESUME.c.number.label("presented_number"),
).select_from(
    _always.outerjoin(_CONVERSATION, _CONVERSATION.c.id == _id).outerjoin(_RESUME, _RESUME.c.digest == _digest)
)
"""As `LOOK`, with what a judgement needs."""

_updates: Final[dict[tuple[str, ...], Executable]] = {}


def updating(names: tuple[str, ...]) -> Executable:
    """What writes some columns of a conversation, by compare-and-set on the epoch that was read.

    Only what differs is written: an index over a column that is not named stays untouched. As many statements are kept
    as there are sets of columns that a decision changes together.

    Args:
        names: Of `CHANGING`, at least one.
    """
    if names not in _updates:
        read = bindparam("read_epoch", type_=BigInteger)
        values = {name: bindparam(name, type_=_CONVERSATION.c[name].type) for name in names}
        _updates[names] = (
            update(_CONVERSATION).where(_CONVERSATION.c.id == _id, _CONVERSATION.c.epoch == read).values(values)
        )
    return _updates[names]


UPDATE: Final = updating(CHANGING)
"""Writes every column that may change."""

DELETE_UPSTREAM: Final = delete(_UPSTREAM).where(_UPSTREAM.c.conversation_id == _id)

_upstream: Final = postgresql.insert(models.UpstreamHandle).values(
    conversation_id=_id, secret=bindparam("secret"), covers_turn=bindparam("covers_turn"), created_at=bindparam("at")
)
PUT_UPSTREAM: Final = _upstream.on_conflict_do_update(
    index_elements=["conversation_id"],
    set_={name: _upstream.excluded[name] for name in ("secret", "covers_turn", "created_at")},
)

INSERT_TURN: Final = insert(_TURN).values(conversation_id=_id, number=bindparam("number"), body=bindparam("body"))

INSERT_RESUME: Final = insert(_RESUME).values(digest=_digest, conversation_id=_id, number=bindparam("number"))

DELETE_RESUME: Final = delete(_RESUME).where(
    _RESUME.c.conversation_id == _id, _RESUME.c.number <= bindparam("number", type_=Integer)
)

AGENT: Final = select(_AGENT.c.body).where(_AGENT.c.conversation_id == _id)

TURNS: Final = (
    select(_TURN.c.number, _TURN.c.body)
    .where(_TURN.c.conversation_id == _id, _TURN.c.number > bindparam("after", type_=Integer))
    .order_by(_TURN.c.number)
    .limit(_most)
)

_slice: Final = (
    select(_TURN.c.number).where(_TURN.c.conversation_id == _id).order_by(_TURN.c.number).limit(_most)
).scalar_subquery()
DELETE_TURNS: Final = delete(_TURN).where(_TURN.c.conversation_id == _id, _TURN.c.number.in_(_slice))
"""The oldest turns of a conversation, at most so many."""

DELETE: Final = delete(_CONVERSATION).where(_CONVERSATION.c.id == _id)
"""The record; what belongs to it goes with it."""

META: Final = select(_META.c.name, _META.c.value)
PUT_META: Final = (
    postgresql.insert(models.Meta)
    .values(name=bindparam("name"), value=bindparam("value"))
    .on_conflict_do_nothing(index_elements=["name"])
)
DELETE_META: Final = delete(_META).where(_META.c.name == bindparam("name", type_=String))

NEWEST: Final = (
    select(*_record)
    .where(
        tuple_(_CONVERSATION.c.created_at, _CONVERSATION.c.id)
        < tuple_(bindparam("before", type_=UtcDateTime), bindparam("before_id", type_=String))
    )
    .order_by(_CONVERSATION.c.created_at.desc(), _CONVERSATION.c.id.desc())
    .limit(_most)
)
"""A page of conversations, newest first, before a moment and an id."""

_slot: Final = bindparam("slot", type_=BigInteger)


def _due(condition: ColumnElement[bool], order: Column[Any]) -> Select[Any]:
    """What something is due for, the longest overdue first; what another sweeper has locked is passed over."""
    query = select(_CONVERSATION.c.id, order).where(condition).order_by(order).limit(_most)
    return query.with_for_update(skip_locked=True)


DUE_EXPIRED: Final = _due(_CONVERSATION.c.handles_live & (_CONVERSATION.c.seen_slot < _slot), _CONVERSATION.c.seen_slot)
DUE_ABANDONED: Final = _due(
    _CONVERSATION.c.ended_at.is_(None) & (_CONVERSATION.c.seen_slot < _slot), _CONVERSATION.c.seen_slot
)
DUE_ENDED: Final = _due(
    _CONVERSATION.c.ended_at.is_not(None) & (_CONVERSATION.c.ended_at <= bindparam("cut", type_=UtcDateTime)),
    _CONVERSATION.c.ended_at,
)


class SealedColumn(NamedTuple):
    """A column whose values pass through the codec, and the statements that re-encrypt it in pieces.

    Args:
        table: Its table, which begins its place.
        keys: The columns of the primary key, which end it.
        page: Keys and the first bytes of the rows after a key, in its order.
        read: One value.
        write: One value, where it is still the one that was read.
    """

    table: str
    keys: tuple[str, ...]
    page: Executable
    read: Executable
    write: Executable


def _sealed(table: Table, column: str, *keys: str) -> SealedColumn:
    columns = [table.c[key] for key in keys]
    after = tuple_(*columns) > tuple_(*(bindparam(f"after_{key}", type_=table.c[key].type) for key in keys))
    this = [table.c[key] == bindparam(f"key_{key}", type_=table.c[key].type) for key in keys]
    value = table.c[column]
    head = func.substr(value, 1, bindparam("head", type_=Integer), type_=LargeBinary)
    return SealedColumn(
        table.name,
        keys,
        select(*columns, head).where(after).order_by(*columns).limit(_most),
        select(value).where(*this),
        update(table).where(*this, value == bindparam("old", type_=LargeBinary)).values({column: bindparam("new")}),
    )


SEALED: Final = (
    _sealed(_AGENT, "body", "conversation_id"),
    _sealed(_UPSTREAM, "secret", "conversation_id"),
    _sealed(_TURN, "body", "conversation_id", "number"),
    _sealed(_FEEDBACK, "text", "conversation_id", "number"),
)
"""Every column that passes through the codec."""

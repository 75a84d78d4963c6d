"""The statements about feedback, as `services.handles.statements` has those about everything else."""

from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Integer, String, bindparam, case, delete, func, insert, select, update

from services.handles import models

_FEEDBACK: Final = models.Base.metadata.tables[models.Feedback.__tablename__]

_id: Final = bindparam("id", type_=String)
_most: Final = bindparam("most", type_=Integer)
_number: Final = bindparam("nth", type_=Integer)
_own: Final = _FEEDBACK.c.conversation_id == _id

COLUMNS: Final = (
    "number",
    "text",
    "state",
    "turn",
    "tokens",
    "detail",
    "created_at",
    "expires_at",
    "updated_at",
)
"""What is read of an item, in this order."""

_columns: Final = [_FEEDBACK.c[name] for name in COLUMNS]

INSERT_FEEDBACK: Final = insert(_FEEDBACK).values(
    {column.name: bindparam(column.name, type_=column.type) for column in _FEEDBACK.columns}
)

FEEDBACK_BY_REQUEST: Final = select(*_columns, _FEEDBACK.c.request_digest).where(
    _own, _FEEDBACK.c.request_id == bindparam("asked", type_=String)
)

LAST_FEEDBACK: Final = select(func.max(_FEEDBACK.c.number)).where(_own)
"""The number of the newest item; none when there is none."""

FEEDBACK_AT_HAND_OF: Final = (
    select(*_columns).where(_own, models.FEEDBACK_AT_HAND).order_by(_FEEDBACK.c.number.desc()).limit(_most)
)
"""What waits or is in the context, the newest first."""

FEEDBACK_WAITING: Final = select(*_columns).where(
    _own, models.FEEDBACK_AT_HAND, _FEEDBACK.c.state == bindparam("waiting", type_=Integer)
)

FEEDBACK_BEFORE: Final = (
    select(*_columns)
    .where(_own, _FEEDBACK.c.number < bindparam("before", type_=Integer))
    .order_by(_FEEDBACK.c.number.desc())
    .limit(_most)
)
"""A page, the newest first, of those before a number."""


def _given(name: str, column: Column[Any]) -> ColumnElement[Any]:
    """What a change tells of a column, or what is there where it tells nothing."""
    new = bindparam(name, type_=column.type)
    nothing = "" if isinstance(column.type, String) else 0
    return case((new != nothing, new), else_=column)


_state: Final = bindparam("new_state", type_=Integer)
CHANGE_FEEDBACK: Final = (
    update(_FEEDBACK)
    .where(_own, _FEEDBACK.c.number == _number, _FEEDBACK.c.state <= _state)
    .values(
        state=_state,
        turn=_given("new_turn", _FEEDBACK.c.turn),
        tokens=_given("new_tokens", _FEEDBACK.c.tokens),
        detail=_given("new_detail", _FEEDBACK.c.detail),
        updated_at=bindparam("at", type_=_FEEDBACK.c.updated_at.type),
    )
)
"""A change forward; one to an earlier state, or of an item that is not known, changes nothing."""

_slice: Final = select(_FEEDBACK.c.number).where(_own).order_by(_FEEDBACK.c.number).limit(_most).scalar_subquery()
DELETE_FEEDBACK: Final = delete(_FEEDBACK).where(_own, _FEEDBACK.c.number.in_(_slice))
"""The oldest items of a conversation, at most so many."""

"""Programs about feedback, as `services.handles.programs` has those about everything else."""

from collections.abc import Sequence
from typing import Any, Final

from filo.handles.v1.resources_pb2 import Feedback as Message
from services.handles import programs, statements
from services.handles.codec import Codec
from services.handles.feedback import statements as own
from services.handles.feedback.records import AtHand, Feedback, Given, Shown
from services.handles.feedback.rules import Added, Decide
from services.handles.programs import Ask, Program

MOST_AT_HAND: Final = 256
"""The most items that a relay is told of when it attaches."""

TEXTS_AT_HAND: Final = 16
"""How many of these in the context come with their texts: the newest."""

_WIDTH: Final = len(own.COLUMNS)
_TEXT: Final = own.COLUMNS.index("text")


def add(conversation_id: str, request_id: str, decide: Decide, codec: Codec) -> Program[Added]:
    """Lock, look, decide and write."""
    yield Ask(statements.LOCK, {"id": conversation_id})
    shown = yield from _show(conversation_id, request_id, codec)
    decision = decide(shown)
    for number, state in decision.moved:
        at = decision.answer.feedback.created_at
        change = {"new_state": state, "new_turn": 0, "new_tokens": 0, "new_detail": "", "at": at}
        yield Ask(own.CHANGE_FEEDBACK, {"id": conversation_id, "nth": number, **change})
    if decision.new is not None:
        item = decision.new.feedback
        values = {name: getattr(item, name) for name in own.COLUMNS}
        values |= {
            "conversation_id": conversation_id,
            "text": codec.seal(item.text.encode(), _place(conversation_id, item.number)),
        }
        values |= {"request_id": decision.new.request_id, "request_digest": decision.new.request_digest}
        yield Ask(own.INSERT_FEEDBACK, values)
    return decision.answer


def at_hand(conversation_id: str, codec: Codec) -> Program[AtHand]:
    """What waits or is in the context, and the newest number; that first: what comes between is newer, not lost."""
    newest = (yield Ask(own.LAST_FEEDBACK, {"id": conversation_id})).rows[0][0]
    if newest is None:
        return AtHand()
    given = {"id": conversation_id, "most": MOST_AT_HAND}
    rows = (yield Ask(own.FEEDBACK_AT_HAND_OF, given)).rows
    found = [_feedback(row, conversation_id, codec if at < TEXTS_AT_HAND else None) for at, row in enumerate(rows)]
    return AtHand(tuple(found[::-1]), newest)


def before(conversation_id: str, number: int, most: int, codec: Codec) -> Program[Sequence[Feedback]]:
    """A page of the items before a number, the newest first."""
    rows = (yield Ask(own.FEEDBACK_BEFORE, {"id": conversation_id, "before": number, "most": most})).rows
    return [_feedback(row, conversation_id, codec) for row in rows]


def _show(conversation_id: str, request_id: str, codec: Codec) -> Program[Shown]:
    view = yield from programs.look(conversation_id, None, codec)
    if view.conversation is None:
        return Shown(None)
    same = (yield Ask(own.FEEDBACK_BY_REQUEST, {"id": conversation_id, "asked": request_id})).rows
    if same:
        return Shown(view.conversation, Given(_feedback(same[0], conversation_id, codec), same[0][_WIDTH]))
    waiting = (yield Ask(own.FEEDBACK_WAITING, {"id": conversation_id, "waiting": Message.STATE_ACCEPTED})).rows
    last = (yield Ask(own.LAST_FEEDBACK, {"id": conversation_id})).rows[0][0]
    return Shown(view.conversation, None, tuple(_feedback(row, conversation_id, None) for row in waiting), last or 0)


def _feedback(row: Sequence[Any], conversation_id: str, codec: Codec | None) -> Feedback:
    """The item in a row; without a codec its text stays closed."""
    values = dict(zip(own.COLUMNS, row, strict=False))
    text = codec.open(row[_TEXT], _place(conversation_id, values["number"])).decode() if codec else ""
    return Feedback(**{**values, "text": text})


def _place(conversation_id: str, number: int) -> str:
    return f"feedback/{conversation_id}/{number}"

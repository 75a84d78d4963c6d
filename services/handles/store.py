"""What the service asks of a database."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Protocol, TypeVar

from services.common import logs
from services.common.errors import Reason, ServiceError
from services.handles.decisions import Decide
from services.handles.feedback.records import AtHand, Feedback
from services.handles.feedback.rules import Added
from services.handles.feedback.rules import Decide as DecideFeedback
from services.handles.records import Conversation, Created, Glance, NewConversation, Turn, View
from services.handles.resealing import Resealed
from services.handles.statements import SealedColumn
from services.handles.sweeps import Kind, Swept

T = TypeVar("T")

_RETRY_AFTER: Final = 1.0


class Store(Protocol):
    """A store of conversations. One contract suite runs against every implementation.

    Every method may raise `ServiceError` STORE_UNAVAILABLE, and may then be repeated. A cancelled call has either
    happened whole or not at all, but for `erase`.
    """

    async def create(self, new: NewConversation) -> Created:
        """Store a conversation, unless its request id is taken: then what is stored under it comes back."""
        ...

    async def look(self, conversation_id: str, resume_digest: bytes | None = None) -> View:
        """Read a conversation and, by its keyed hash, a presented resume handle, in one consistent look."""
        ...

    async def glance(self, conversation_id: str, resume_digest: bytes | None) -> Glance:
        """As `look`, for whoever only wants to know what the resume handle is worth: quicker."""
        ...

    async def change(self, conversation_id: str, decide: Decide[T], resume_digest: bytes | None = None) -> T:
        """Look, decide and write in one transaction, which no other change of the conversation comes between.

        Args:
            conversation_id: Whose view is decided about.
            decide: Plain and quick: other writers wait for it. What it raises leaves the store as it was.
            resume_digest: The keyed hash of a presented resume handle.

        Returns:
            The decision's answer.
        """
        ...

    async def agent(self, conversation_id: str) -> bytes:
        """The serialized agent configuration of a conversation that exists; it never changes."""
        ...

    async def turns(self, conversation_id: str, after: int, limit: int) -> Sequence[Turn]:
        """The turns after number `after`, in order, at most `limit`."""
        ...

    async def add_feedback(self, conversation_id: str, request_id: str, decide: DecideFeedback) -> Added:
        """Look, decide and write in one transaction, which no change of the conversation comes between.

        Args:
            conversation_id: Whose feedback is decided about.
            request_id: Under which the new item is stored, or an item is stored already.
            decide: Plain and quick. What it raises leaves the store as it was.
        """
        ...

    async def feedback_at_hand(self, conversation_id: str) -> AtHand:
        """The items that wait or are in the context, and the number of the newest of all."""
        ...

    async def feedback(self, conversation_id: str, before: int, limit: int) -> Sequence[Feedback]:
        """The items before number `before`, the newest first, at most `limit`."""
        ...

    async def newest(self, before: tuple[datetime, str], limit: int) -> Sequence[Conversation]:
        """Conversations created before a moment (and, at that moment, below an id), the newest first."""
        ...

    async def erase(self, conversation_id: str) -> bool:
        """Delete a conversation and all that belongs to it, in bounded pieces; False when there is none.

        What is cut off between two pieces, by a cancellation or the end of the process, `sweep` finishes.
        """
        ...

    async def sweep(self, kind: Kind, due: datetime, now: datetime, limit: int) -> Swept:
        """Do one bounded batch of what is due; conversations that another sweeper works on are passed over.

        Args:
            kind: What is swept.
            due: Whose last sign of life, or end, came before this moment.
            now: The present moment.
            limit: The most conversations of the batch.
        """
        ...

    async def reseal(self, column: SealedColumn, after: tuple[str | int, ...] | None, limit: int) -> Resealed:
        """Re-encrypt one bounded batch of a column with the newest key, from the row after a key on."""
        ...

    async def scrub(self) -> bool:
        """Remove what rows deleted since the last time left behind; False where something was in the way."""
        ...


def unavailable(error: Exception) -> ServiceError:
    """What to tell when the database does not answer; the log has the details, which hold no values."""
    logs.get("handles").warning("store unavailable", error=str(error) or type(error).__name__)
    return ServiceError(Reason.STORE_UNAVAILABLE, "The store does not answer; try again.", None, _RETRY_AFTER)

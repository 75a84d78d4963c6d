"""What the service asks of a database."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from services.handles.decisions import Decide
from services.handles.records import Created, NewConversation, Turn, View

T = TypeVar("T")


class Store(Protocol):
    """A store of conversations. One contract suite runs against every implementation.

    Every method may raise `ServiceError` STORE_UNAVAILABLE, and may then be repeated. A cancelled call has either
    happened whole or not at all.
    """

    async def create(self, new: NewConversation) -> Created:
        """Store a conversation, unless its request id is taken: then what is stored under it comes back."""
        ...

    async def look(self, conversation_id: str, resume_digest: bytes | None = None) -> View:
        """Read a conversation and, by its keyed hash, a presented resume handle, in one consistent look."""
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

"""The store in SQL: which program each call runs, and where."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Protocol, TypeVar

from services.handles import programs, sweeps
from services.handles.codec import Codec
from services.handles.decisions import Decide
from services.handles.feedback import programs as feedback_programs
from services.handles.feedback.records import AtHand, Feedback
from services.handles.feedback.rules import Added
from services.handles.feedback.rules import Decide as DecideFeedback
from services.handles.programs import MakeProgram
from services.handles.records import Conversation, Created, Glance, NewConversation, Turn, View
from services.handles.resealing import Resealed, reseal
from services.handles.statements import SealedColumn
from services.handles.sweeps import Kind, Swept

T = TypeVar("T")


class Backend(Protocol):
    """What runs programs on one database.

    Every method may raise `ServiceError` STORE_UNAVAILABLE; a cancelled write has happened whole or not at all.
    """

    async def look(self, make: MakeProgram[T]) -> T:
        """Run a program of one small read."""
        ...

    async def read(self, make: MakeProgram[T]) -> T:
        """Run a program that reads, and may read much."""
        ...

    async def write(self, make: MakeProgram[T], *, alone: bool = False) -> T:
        """Run a program in a transaction; one that takes long goes `alone`, out of the way of the data path."""
        ...

    async def scrub(self, *, deep: bool) -> bool:
        """Remove what deleted rows left behind; False where something was in the way.

        Args:
            deep: Everywhere, which may take a moment; otherwise only where it is quickly done.
        """
        ...

    async def close(self) -> None:
        """Finish what waits and close every connection."""
        ...


class SqlStore:
    """A store of conversations in a SQL database; see `services.handles.store.Store` for what each method promises.

    Args:
        backend: The way to the database, whose schema is up to date.
        codec: What secret columns pass through.
    """

    def __init__(self, backend: Backend, codec: Codec) -> None:
        self._backend = backend
        self._codec = codec
        self._remains = True  # of what a process that ended before may have deleted

    async def create(self, new: NewConversation) -> Created:
        """Store a conversation, unless its request id is taken: then what is stored under it comes back."""
        return await self._backend.write(partial(programs.create, new, self._codec))

    async def look(self, conversation_id: str, resume_digest: bytes | None = None) -> View:
        """Read a conversation and, by its keyed hash, a presented resume handle, in one consistent look."""
        return await self._backend.look(partial(programs.look, conversation_id, resume_digest, self._codec))

    async def glance(self, conversation_id: str, resume_digest: bytes | None) -> Glance:
        """As `look`, for whoever only wants to know what the resume handle is worth: quicker."""
        return await self._backend.look(partial(programs.glance, conversation_id, resume_digest))

    async def change(self, conversation_id: str, decide: Decide[T], resume_digest: bytes | None = None) -> T:
        """Look, decide and write in one transaction, which no other change of the conversation comes between."""

        def program() -> programs.Program[T]:
            return programs.change(conversation_id, decide, resume_digest, self._codec)

        return await self._backend.write(program)

    async def agent(self, conversation_id: str) -> bytes:
        """The serialized agent configuration of a conversation that exists; it never changes."""
        return await self._backend.look(partial(programs.agent, conversation_id, self._codec))

    async def turns(self, conversation_id: str, after: int, limit: int) -> Sequence[Turn]:
        """The turns after number `after`, in order, at most `limit`."""
        return await self._backend.read(partial(programs.turns, conversation_id, after, limit, self._codec))

    async def add_feedback(self, conversation_id: str, request_id: str, decide: DecideFeedback) -> Added:
        """Look, decide and write in one transaction, which no change of the conversation comes between."""
        return await self._backend.write(
            partial(feedback_programs.add, conversation_id, request_id, decide, self._codec)
        )

    async def feedback_at_hand(self, conversation_id: str) -> AtHand:
        """The items that wait or are in the context, and the number of the newest of all."""
        return await self._backend.look(partial(feedback_programs.at_hand, conversation_id, self._codec))

    async def feedback(self, conversation_id: str, before: int, limit: int) -> Sequence[Feedback]:
        """The items before number `before`, the newest first, at most `limit`."""
        return await self._backend.read(partial(feedback_programs.before, conversation_id, before, limit, self._codec))

    async def newest(self, before: tuple[datetime, str], limit: int) -> Sequence[Conversation]:
        """Conversations created before a moment (and, at that moment, below an id), the newest first."""
        return await self._backend.read(partial(programs.newest, before, limit))

    async def erase(self, conversation_id: str) -> bool:
        """Delete a conversation and all that belongs to it, in bounded pieces; False when there is none."""
        found = await self._backend.write(partial(sweeps.seal_off, conversation_id), alone=True)
        while found and not await self._backend.write(partial(sweeps.delete_piece, conversation_id), alone=True):
            pass
        if found:
            self._remains = True
            await self._backend.scrub(deep=False)
        return found

    async def sweep(self, kind: Kind, due: datetime, now: datetime, limit: int) -> Swept:
        """Do one bounded batch of what is due; conversations that another sweeper works on are passed over."""
        swept = await self._backend.write(partial(sweeps.sweep, kind, due, now, limit), alone=True)
        self._remains |= kind is Kind.ENDED and swept.done > 0
        return swept

    async def reseal(self, column: SealedColumn, after: tuple[str | int, ...] | None, limit: int) -> Resealed:
        """Re-encrypt one bounded batch of a column with the newest key."""
        return await self._backend.write(partial(reseal, column, after, limit, self._codec), alone=True)

    async def scrub(self) -> bool:
        """Remove what rows deleted since the last time left behind; False where something was in the way."""
        if self._remains:
            self._remains = done = False  # what is deleted from now on may come too late for this time
            try:
                done = await self._backend.scrub(deep=True)
            finally:
                self._remains |= not done
        return not self._remains

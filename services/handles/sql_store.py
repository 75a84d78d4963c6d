"""The store in SQL, by SQLAlchemy."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import fields
from typing import Any, Final, TypeVar

from sqlalchemy import Row, Select, delete, insert, select, update
from sqlalchemy.exc import IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.common import logs
from services.common.errors import Reason, ServiceError
from services.handles import models
from services.handles.codec import Codec
from services.handles.decisions import Decide
from services.handles.policy import KEPT_RESUME_HANDLES
from services.handles.records import (
    Change,
    Conversation,
    Created,
    NewConversation,
    Owner,
    OwnerKind,
    ResumeHandle,
    Turn,
    UpstreamHandle,
    View,
)
from services.handles.sqlite import Engines

T = TypeVar("T")

_SAME_NAME: Final = tuple(field.name for field in fields(Conversation) if field.name != "owner")
_FIXED: Final = frozenset({"id", "mode", "created_at"})
_RETRY_AFTER: Final = 1.0

_log = logs.get("handles")


class SqlStore:
    """A store of conversations in a SQL database; see `services.handles.store.Store` for what each method promises.

    Args:
        engines: The way to the database, whose schema is up to date.
        codec: What secret columns pass through.
    """

    def __init__(self, engines: Engines, codec: Codec) -> None:
        self._engines = engines
        self._codec = codec

    async def create(self, new: NewConversation) -> Created:
        """Store a conversation, unless its request id is taken: then what is stored under it comes back."""
        try:
            async with _transaction(self._engines.writer) as connection:
                await self._insert(connection, new)
        except IntegrityError:
            async with _transaction(self._engines.reader) as connection:
                stored = (await connection.execute(_by_request(new.request_id))).one_or_none()
            if stored is None:  # not the request id, then: nothing a caller could repeat
                raise
            return Created(_conversation(stored), stored.request_digest)
        return Created(new.conversation, new.request_digest)

    async def look(self, conversation_id: str, resume_digest: bytes | None = None) -> View:
        """Read a conversation and, by its keyed hash, a presented resume handle, in one consistent look."""
        async with _transaction(self._engines.reader) as connection:
            return await self._view(connection, _by_id(conversation_id), resume_digest)

    async def change(self, conversation_id: str, decide: Decide[T], resume_digest: bytes | None = None) -> T:
        """Look, decide and write in one transaction, which no other change of the conversation comes between."""
        async with _transaction(self._engines.writer) as connection:
            locked = _by_id(conversation_id).with_for_update(of=models.Conversation)
            view = await self._view(connection, locked, resume_digest)
            decision = decide(view)
            if decision.change is not None:
                await self._write(connection, view, decision.change)
            return decision.answer

    async def agent(self, conversation_id: str) -> bytes:
        """The serialized agent configuration of a conversation that exists; it never changes."""
        query = select(models.Agent.body).where(models.Agent.conversation_id == conversation_id)
        async with _transaction(self._engines.reader) as connection:
            body = (await connection.execute(query)).scalar_one()
        return self._codec.open(body, f"agents/{conversation_id}")

    async def turns(self, conversation_id: str, after: int, limit: int) -> Sequence[Turn]:
        """The turns after number `after`, in order, at most `limit`."""
        query = (
            select(models.Turn.number, models.Turn.body)
            .where(models.Turn.conversation_id == conversation_id, models.Turn.number > after)
            .order_by(models.Turn.number)
            .limit(limit)
        )
        async with _transaction(self._engines.reader) as connection:
            rows = (await connection.execute(query)).all()
        return [Turn(row.number, self._codec.open(row.body, f"turns/{conversation_id}/{row.number}")) for row in rows]

    async def _insert(self, connection: AsyncConnection, new: NewConversation) -> None:
        conversation = new.conversation
        values = {name: getattr(conversation, name) for name in _SAME_NAME}
        await connection.execute(
            insert(models.Conversation).values(
                request_id=new.request_id,
                request_digest=new.request_digest,
                owner_kind=conversation.owner.kind.value,
                owner_key=conversation.owner.key,
                **values,
            )
        )
        body = self._codec.seal(new.agent, f"agents/{conversation.id}")
        await connection.execute(insert(models.Agent).values(conversation_id=conversation.id, body=body))

    async def _view(
        self, connection: AsyncConnection, query: Select[tuple[Any, ...]], resume_digest: bytes | None
    ) -> View:
        row = (await connection.execute(query)).one_or_none()
        presented = None
        if resume_digest is not None:
            handle = models.ResumeHandle
            found = select(handle.conversation_id, handle.number).where(handle.digest == resume_digest)
            by_digest = (await connection.execute(found)).one_or_none()
            presented = None if by_digest is None else ResumeHandle(by_digest.conversation_id, by_digest.number)
        if row is None:
            return View(None, None, presented)
        return View(_conversation(row), self._upstream(row), presented)

    def _upstream(self, row: Row[tuple[Any, ...]]) -> UpstreamHandle | None:
        if row.upstream_secret is None:
            return None
        secret = self._codec.open(row.upstream_secret, f"upstream_handles/{row.id}").decode()
        return UpstreamHandle(secret, row.upstream_covers_turn, row.upstream_created_at)

    async def _write(self, connection: AsyncConnection, view: View, change: Change) -> None:
        after = change.conversation
        before = view.conversation
        if before is None or before.id != after.id:
            raise ValueError("a decision changes the conversation that it was shown")
        await _compare_and_set(connection, before.epoch, after)
        if change.upstream is not view.upstream:
            await self._replace_upstream(connection, after.id, change.upstream)
        if change.turns:
            await connection.execute(insert(models.Turn), [self._turn_row(after.id, turn) for turn in change.turns])
        if change.resume_digest is not None:
            await _add_resume_handle(connection, after, change.resume_digest)

    async def _replace_upstream(self, connection: AsyncConnection, owner: str, handle: UpstreamHandle | None) -> None:
        await connection.execute(delete(models.UpstreamHandle).where(models.UpstreamHandle.conversation_id == owner))
        if handle is not None:
            await connection.execute(
                insert(models.UpstreamHandle).values(
                    conversation_id=owner,
                    secret=self._codec.seal(handle.secret.encode(), f"upstream_handles/{owner}"),
                    covers_turn=handle.covers_turn,
                    created_at=handle.created_at,
                )
            )

    def _turn_row(self, owner: str, turn: Turn) -> dict[str, object]:
        body = self._codec.seal(turn.body, f"turns/{owner}/{turn.number}")
        return {"conversation_id": owner, "number": turn.number, "body": body}


async def _compare_and_set(connection: AsyncConnection, epoch: int, after: Conversation) -> None:
    """Write the record where it still has the epoch that was read. The lock makes a miss rare, this makes it harmless.

    Raises:
        ServiceError: STORE_UNAVAILABLE, when somebody else was quicker.
    """
    values = {name: getattr(after, name) for name in _SAME_NAME if name not in _FIXED}
    table = models.Conversation
    done = await connection.execute(update(table).where(table.id == after.id, table.epoch == epoch).values(**values))
    if done.rowcount != 1:
        raise ServiceError(Reason.STORE_UNAVAILABLE, "The conversation was taken at this moment; try again.", None, 0.0)


async def _add_resume_handle(connection: AsyncConnection, after: Conversation, digest: bytes) -> None:
    """Add the newest resume handle, and forget those that are too many."""
    handle, number = models.ResumeHandle, after.handles_issued
    await connection.execute(insert(handle).values(digest=digest, conversation_id=after.id, number=number))
    too_old = (handle.conversation_id == after.id, handle.number <= number - KEPT_RESUME_HANDLES)
    await connection.execute(delete(handle).where(*too_old))


def _by_id(conversation_id: str) -> Select[tuple[Any, ...]]:
    upstream = models.UpstreamHandle
    return (
        select(
            *models.Conversation.__table__.columns,
            upstream.secret.label("upstream_secret"),
            upstream.covers_turn.label("upstream_covers_turn"),
            upstream.created_at.label("upstream_created_at"),
        )
        .outerjoin_from(models.Conversation, upstream, upstream.conversation_id == models.Conversation.id)
        .where(models.Conversation.id == conversation_id)
    )


def _by_request(request_id: str) -> Select[tuple[Any, ...]]:
    return select(*models.Conversation.__table__.columns).where(models.Conversation.request_id == request_id)


def _conversation(row: Row[tuple[Any, ...]]) -> Conversation:
    owner = Owner(OwnerKind(row.owner_kind), row.owner_key)
    return Conversation(owner=owner, **{name: getattr(row, name) for name in _SAME_NAME})


@asynccontextmanager
async def _transaction(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A transaction that is committed at the end, and undone by any exception.

    Raises:
        ServiceError: STORE_UNAVAILABLE, when the database does not answer.
    """
    try:
        async with engine.begin() as connection:
            yield connection
    except (OperationalError, InterfaceError, PoolTimeoutError) as error:
        _log.warning("store unavailable", error=str(error))
        raise ServiceError(
            Reason.STORE_UNAVAILABLE, "The store does not answer; try again.", None, _RETRY_AFTER
        ) from error

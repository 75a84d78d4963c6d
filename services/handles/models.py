"""The tables. What each column means is said in `records`, whose fields have the same names.

What changes often (`conversations`, `upstream_handles`) is apart from what is large and never changes (`agents`,
`turns`), so that a heartbeat does not rewrite a script of 80 kB.
"""

from datetime import UTC, datetime

from sqlalchemy import (
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    String,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import BigInteger, TypeDecorator

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
"""Names of constraints are the same on every database, so that a migration can name them."""


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC; SQLite keeps no time zone, so it is put back on the way out."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Store UTC; a naive moment is a mistake.

        Raises:
            ValueError: The moment has no time zone.
        """
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a stored moment has a time zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Read UTC."""
        return None if value is None else value.replace(tzinfo=UTC)


class Base(DeclarativeBase):
    """What all tables share."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {datetime: UtcDateTime, bytes: LargeBinary}  # noqa: RUF012 - SQLAlchemy's own form


class Meta(Base):
    """Facts about the database itself, for example a check of the key its hashes were made with."""

    __tablename__ = "meta"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[bytes]


def _partial(name: str, column: str, where: str, on_sqlite: str | None = None) -> Index:
    """An index over the rows of which `where` is true; SQLite wants the condition in the very words of its queries."""
    return Index(name, column, sqlite_where=text(on_sqlite or where), postgresql_where=text(where))


class Conversation(Base):
    """One row a conversation: all that a decision reads.

    `seen_slot` and `handles_live` follow from the record (see `programs.derived`). They are what the sweeper searches
    by: they change seldom, so that a heartbeat moves no index entry, as an index on `seen_at` would have it.
    """

    __tablename__ = "conversations"
    __table_args__ = (
        Index("ix_conversations_created_at_id", "created_at", "id"),
        _partial("ix_conversations_live", "seen_slot", "handles_live", "handles_live = 1"),
        _partial("ix_conversations_active", "seen_slot", "ended_at IS NULL"),
        _partial("ix_conversations_ended", "ended_at", "ended_at IS NOT NULL"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    request_id: Mapped[str] = mapped_column(String(36), unique=True)
    request_digest: Mapped[bytes]
    mode: Mapped[int]
    owner_kind: Mapped[str] = mapped_column(String(16))
    owner_key: Mapped[str] = mapped_column(String(256))
    test: Mapped[bool]
    created_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    end_reason: Mapped[str] = mapped_column(String(200))
    epoch: Mapped[int] = mapped_column(BigInteger)
    holder: Mapped[str] = mapped_column(String(255))
    lease_until: Mapped[datetime | None]
    seen_at: Mapped[datetime]
    turn_count: Mapped[int]
    covered_seq: Mapped[int] = mapped_column(BigInteger)
    handles_issued: Mapped[int]
    handles_expired: Mapped[int]
    handles_revoked: Mapped[int]
    ledger: Mapped[bytes | None]
    continuity: Mapped[int]
    seen_slot: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    handles_live: Mapped[bool] = mapped_column(server_default=false())


class Agent(Base):
    """How a conversation's agent is set up: one row a conversation, never changed. `body` passes through the codec."""

    __tablename__ = "agents"

    conversation_id: Mapped[str] = mapped_column(ForeignKey("conversations.id", ondelete="CASCADE"), primary_key=True)
    body: Mapped[bytes]


class UpstreamHandle(Base):
    """Gemini's newest handle: at most one row a conversation. `secret` passes through the codec."""

    __tablename__ = "upstream_handles"

    conversation_id: Mapped[str] = mapped_column(ForeignKey("conversations.id", ondelete="CASCADE"), primary_key=True)
    secret: Mapped[bytes]
    covers_turn: Mapped[int]
    created_at: Mapped[datetime]


class ResumeHandle(Base):
    """A resume handle that was given out: its keyed hash, whose it is, and its number. A row never changes."""

    __tablename__ = "resume_handles"
    __table_args__ = (UniqueConstraint("conversation_id", "number"),)

    digest: Mapped[bytes] = mapped_column(primary_key=True)
    conversation_id: Mapped[str] = mapped_column(ForeignKey("conversations.id", ondelete="CASCADE"))
    number: Mapped[int]


FEEDBACK_AT_HAND = text("state IN (1, 4)")
"""Items of feedback that wait (ACCEPTED) or are in the context (DELIVERED)."""


class Feedback(Base):
    """An item of feedback; see `feedback.records.Feedback`. `text` passes through the codec."""

    __tablename__ = "feedback"
    __table_args__ = (
        UniqueConstraint("conversation_id", "request_id"),
        Index(
            "ix_feedback_at_hand",
            "conversation_id",
            "number",
            sqlite_where=FEEDBACK_AT_HAND,
            postgresql_where=FEEDBACK_AT_HAND,
        ),
    )

    conversation_id: Mapped[str] = mapped_column(ForeignKey("conversations.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    request_id: Mapped[str] = mapped_column(String(36))
    request_digest: Mapped[bytes]
    text: Mapped[bytes]
    state: Mapped[int]
    turn: Mapped[int]
    tokens: Mapped[int]
    detail: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    updated_at: Mapped[datetime]


class Turn(Base):
    """A turn of a conversation, never changed. `body` passes through the codec."""

    __tablename__ = "turns"

    conversation_id: Mapped[str] = mapped_column(ForeignKey("conversations.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    body: Mapped[bytes]

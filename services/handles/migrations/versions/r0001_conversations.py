"""Conversations, their agents, turns and handles.

Every query of the store goes by a primary key or one of the two unique constraints; no other index is needed yet.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Forward."""
    op.create_table(
        "meta",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("value", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_meta"),
    )
    op.create_table(
        "conversations",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("request_id", sa.String(36), nullable=False),
        sa.Column("request_digest", sa.LargeBinary, nullable=False),
        sa.Column("mode", sa.Integer, nullable=False),
        sa.Column("owner_kind", sa.String(16), nullable=False),
        sa.Column("owner_key", sa.String(256), nullable=False),
        sa.Column("test", sa.Boolean, nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("ended_at", _MOMENT, nullable=True),
        sa.Column("end_reason", sa.String(200), nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("holder", sa.String(255), nullable=False),
        sa.Column("lease_until", _MOMENT, nullable=True),
        sa.Column("seen_at", _MOMENT, nullable=False),
        sa.Column("turn_count", sa.Integer, nullable=False),
        sa.Column("covered_seq", sa.BigInteger, nullable=False),
        sa.Column("handles_issued", sa.Integer, nullable=False),
        sa.Column("handles_expired", sa.Integer, nullable=False),
        sa.Column("handles_revoked", sa.Integer, nullable=False),
        sa.Column("ledger", sa.LargeBinary, nullable=True),
        sa.Column("continuity", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_conversations"),
        sa.UniqueConstraint("request_id", name="uq_conversations_request_id"),
    )
    _create_belongings()


def _create_belongings() -> None:
    """The tables whose rows belong to a conversation."""
    op.create_table(
        "agents",
        _conversation_id(),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("conversation_id", name="pk_agents"),
        _belongs("agents"),
    )
    op.create_table(
        "upstream_handles",
        _conversation_id(),
        sa.Column("secret", sa.LargeBinary, nullable=False),
        sa.Column("covers_turn", sa.Integer, nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("conversation_id", name="pk_upstream_handles"),
        _belongs("upstream_handles"),
    )
    op.create_table(
        "resume_handles",
        sa.Column("digest", sa.LargeBinary, nullable=False),
        _conversation_id(),
        sa.Column("number", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_resume_handles"),
        sa.UniqueConstraint("conversation_id", "number", name="uq_resume_handles_conversation_id_number"),
        _belongs("resume_handles"),
    )
    op.create_table(
        "turns",
        _conversation_id(),
        sa.Column("number", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("conversation_id", "number", name="pk_turns"),
        _belongs("turns"),
    )


def _conversation_id() -> sa.Column[str]:
    return sa.Column("conversation_id", sa.String(32), nullable=False)


def _belongs(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["conversation_id"], ["conversations.id"], name=f"fk_{table}_conversation_id", ondelete="CASCADE"
    )


def downgrade() -> None:
    """Back."""
    for table in ("turns", "resume_handles", "upstream_handles", "agents", "conversations", "meta"):
        op.drop_table(table)

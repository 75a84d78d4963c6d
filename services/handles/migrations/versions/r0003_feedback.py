"""Feedback: advice to the agent, kept with its conversation.

Only a new table (expand): the version before this one goes on working on the new schema.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_MOMENT = sa.DateTime(timezone=True)
_AT_HAND = "state IN (1, 4)"


def upgrade() -> None:
    """Forward."""
    op.create_table(
        "feedback",
        sa.Column("conversation_id", sa.String(32), nullable=False),
        sa.Column("number", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("request_id", sa.String(36), nullable=False),
        sa.Column("request_digest", sa.LargeBinary, nullable=False),
        sa.Column("text", sa.LargeBinary, nullable=False),
        sa.Column("state", sa.Integer, nullable=False),
        sa.Column("turn", sa.Integer, nullable=False),
        sa.Column("tokens", sa.Integer, nullable=False),
        sa.Column("detail", sa.String(200), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("expires_at", _MOMENT, nullable=True),
        sa.Column("updated_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("conversation_id", "number", name="pk_feedback"),
        sa.UniqueConstraint("conversation_id", "request_id", name="uq_feedback_conversation_id_request_id"),
        sa.ForeignKeyConstraint(
            ["conversation_id"], ["conversations.id"], name="fk_feedback_conversation_id", ondelete="CASCADE"
        ),
    )
    op.create_index(
        "ix_feedback_at_hand",
        "feedback",
        ["conversation_id", "number"],
        sqlite_where=sa.text(_AT_HAND),
        postgresql_where=sa.text(_AT_HAND),
    )


def downgrade() -> None:
    """Back."""
    op.drop_table("feedback")

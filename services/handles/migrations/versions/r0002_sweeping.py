"""What the sweeper searches by, and the list of conversations.

Only additions with defaults (expand): the version before this one goes on working on the new schema, and what it writes
is swept late, not wrongly: a row of slot 0 is looked at once more before anything happens to it.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_PARTIAL = (
    ("ix_conversations_live", "seen_slot", "handles_live", "handles_live = 1"),
    ("ix_conversations_active", "seen_slot", "ended_at IS NULL", "ended_at IS NULL"),
    ("ix_conversations_ended", "ended_at", "ended_at IS NOT NULL", "ended_at IS NOT NULL"),
)
_SLOT = {
    "sqlite": "CAST(strftime('%s', seen_at) AS INTEGER) / 600",
    "postgresql": "floor(extract(epoch FROM seen_at) / 600)",
}


def upgrade() -> None:
    """Forward."""
    op.add_column("conversations", sa.Column("seen_slot", sa.BigInteger, nullable=False, server_default=sa.text("0")))
    op.add_column("conversations", sa.Column("handles_live", sa.Boolean, nullable=False, server_default=sa.false()))
    op.execute(
        f"UPDATE conversations SET seen_slot = {_SLOT[op.get_context().dialect.name]}, "  # noqa: S608 - our own words
        "handles_live = (handles_issued > handles_expired AND handles_issued > handles_revoked)"
    )
    op.create_index("ix_conversations_created_at_id", "conversations", ["created_at", "id"])
    for name, column, where, on_sqlite in _PARTIAL:
        op.create_index(
            name, "conversations", [column], postgresql_where=sa.text(where), sqlite_where=sa.text(on_sqlite)
        )


def downgrade() -> None:
    """Back."""
    for name, _, _, _ in _PARTIAL:
        op.drop_index(name, "conversations")
    op.drop_index("ix_conversations_created_at_id", "conversations")
    op.drop_column("conversations", "handles_live")
    op.drop_column("conversations", "seen_slot")

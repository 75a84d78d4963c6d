"""Runs, their events and their leases.

Before this revision the service made missing tables by itself and noted no schema: such a database is taken as it is,
and given what it lacks.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Forward."""
    there = set(sa.inspect(op.get_bind()).get_table_names())
    for name, columns in _tables().items():
        if name not in there:
            op.create_table(name, *columns)


def _tables() -> dict[str, list[sa.Column[object]]]:
    return {
        "runs": [
            sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
            sa.Column("name", sa.String(64), nullable=False, unique=True),
            sa.Column("request_id", sa.String(36), nullable=False, unique=True),
            sa.Column("asked", sa.LargeBinary, nullable=False),
            sa.Column("outcome", sa.Integer, nullable=False, index=True),
            sa.Column("summary", sa.LargeBinary, nullable=False),
            sa.Column("details", sa.LargeBinary, nullable=False),
        ],
        "run_events": [
            sa.Column("run", sa.String(64), sa.ForeignKey("runs.name"), primary_key=True),
            sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
            sa.Column("event", sa.LargeBinary, nullable=False),
        ],
        "run_leases": [
            sa.Column("run", sa.String(64), sa.ForeignKey("runs.name"), primary_key=True),
            sa.Column("holder", sa.String(36), nullable=False, index=True),
            sa.Column("beat", sa.Integer, nullable=False),
            sa.Column("stopping", sa.Boolean, nullable=False),
            sa.Column("hold", sa.LargeBinary, nullable=False),
        ],
    }


def downgrade() -> None:
    """Back."""
    for name in reversed(_tables()):
        op.drop_table(name)

"""What alembic runs for every command."""

from services.common import schema
from services.simulator.tables import Base

schema.run_migrations(Base.metadata)

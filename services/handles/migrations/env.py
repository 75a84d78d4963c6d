"""What alembic runs for every command."""

from services.common import schema
from services.handles.models import Base

schema.run_migrations(Base.metadata)

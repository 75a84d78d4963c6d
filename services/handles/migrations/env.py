"""What alembic runs for every command; the connection, its transaction and its locks are the caller's."""

from alembic import context

from services.handles.models import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
with context.begin_transaction():
    context.run_migrations()

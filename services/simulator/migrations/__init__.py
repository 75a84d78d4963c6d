"""The history of the runs' schema, in alembic's revisions."""

"""Which schema a database has, and bringing it up to the code's."""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from services.common.lifecycle import StartupError

_SCRIPTS: Final = Path(__file__).parent / "migrations"


def upgrade(connection: Connection) -> None:
    """Run the migrations that are missing, inside the connection's transaction.

    Raises:
        StartupError: The database was written by a newer Filo.
    """
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    for revision in MigrationContext.configure(connection).get_current_heads():
        if revision not in known:
            raise StartupError(
                f"the database {connection.engine.url.database} has schema {revision}, which this version of Filo "
                "does not know; start the newer one that wrote it, or name another database"
            )
    command.upgrade(config, "head")

"""Which schema a database has, and bringing it to another.

An embedded database is brought up to date at start; one that several replicas share only by ``filo handles migrate``,
since a start must not change what others are using.
"""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from services.common.lifecycle import StartupError

BASE: Final = "base"
"""The revision of an empty database."""

HEAD: Final = "head"
"""The newest revision that this code knows."""

_SCRIPTS: Final = Path(__file__).parent / "migrations"
_LOCK: Final = 0x46696C6F
"""PostgreSQL's advisory lock that two migrations at once queue for."""


def migrate(connection: Connection, target: str = HEAD, *, forward_only: bool = False) -> tuple[str, str]:
    """Run migrations, forward or back, inside the connection's transaction.

    Args:
        connection: To the database.
        target: A revision, `HEAD` or `BASE`.
        forward_only: Leave a database alone that is at the target or beyond it.

    Returns:
        The revision before, and the one after.

    Raises:
        StartupError: The database was written by a newer Filo, or there is no such revision.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK})
    config, revisions = _config(connection), known()
    wanted = revisions[-1] if target == HEAD else target
    if wanted not in revisions:
        raise StartupError(f"there is no schema {target}; there are {', '.join(revisions)}")
    before = current(connection)
    if revisions.index(before) < revisions.index(wanted):
        command.upgrade(config, wanted)
    elif before != wanted and not forward_only:
        command.downgrade(config, wanted)
    return before, current(connection)


def check(connection: Connection) -> None:
    """See that the database has the schema of this code.

    Raises:
        StartupError: It is older, or newer.
    """
    found, needed = current(connection), known()[-1]
    if found != needed:
        raise StartupError(
            f"the database {_shown(connection)} has schema {found}, this version of Filo needs {needed}; "
            "run: filo handles migrate"
        )


def known() -> list[str]:
    """The revisions that this code knows, oldest first, after `BASE`."""
    scripts = ScriptDirectory(str(_SCRIPTS))
    return [BASE, *reversed([script.revision for script in scripts.walk_revisions()])]


def current(connection: Connection) -> str:
    """The revision that the database has.

    Raises:
        StartupError: This code does not know it.
    """
    heads = MigrationContext.configure(connection).get_current_heads()
    for revision in heads:
        if revision not in known():
            raise StartupError(
                f"the database {_shown(connection)} has schema {revision}, which this version of Filo "
                "does not know; start the newer one that wrote it, or name another database"
            )
    return heads[0] if heads else BASE


def _shown(connection: Connection) -> str:
    url = connection.engine.url
    return str(url.database) if connection.dialect.name == "sqlite" else url.render_as_string(hide_password=True)


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config

"""Which schema a service's database has, and bringing it to another, by alembic's revisions.

An embedded database is brought up to date at start; one that several replicas share only by the service's ``migrate``
command, since a start must not change what others are using.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from alembic import command, context
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, MetaData, text

from services.common.lifecycle import StartupError

BASE: Final = "base"
"""The revision of an empty database."""

HEAD: Final = "head"
"""The newest revision that this code knows."""


def without_password(url: URL) -> str:
    """A database's URL as it may be told: without the passwords that may stand in it, before the host or as options."""
    options = [name for name in url.query if "password" in name.lower()]
    return url.difference_update_query(options).render_as_string(hide_password=True)


@dataclass(frozen=True, slots=True)
class Schema:
    """The schemas of one service's database.

    Attributes:
        scripts: The directory of its revisions, with alembic's ``env.py``.
        remedy: The command that brings a database up to date.
        lock: PostgreSQL's advisory lock that two migrations at once queue for.
        table: Where alembic notes the revision; each service has its own, so that two may share a database.
        shown: How the URL of a database on a server is told.
    """

    scripts: Path
    remedy: str
    lock: int
    table: str = "alembic_version"
    shown: Callable[[URL], str] = without_password

    def migrate(self, connection: Connection, target: str = HEAD, *, forward_only: bool = False) -> tuple[str, str]:
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
            connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": self.lock})
        config, revisions = self._config(connection), self.known()
        wanted = revisions[-1] if target == HEAD else target
        if wanted not in revisions:
            raise StartupError(f"there is no schema {target}; there are {', '.join(revisions)}")
        before = self.current(connection)
        if revisions.index(before) < revisions.index(wanted):
            command.upgrade(config, wanted)
        elif before != wanted and not forward_only:
            command.downgrade(config, wanted)
        return before, self.current(connection)

    def check(self, connection: Connection) -> None:
        """See that the database has the schema of this code.

        Raises:
            StartupError: It is older, or newer.
        """
        found, needed = self.current(connection), self.known()[-1]
        if found != needed:
            raise StartupError(
                f"the database {self._where(connection)} has schema {found}, this version of Filo needs {needed}; "
                f"run: {self.remedy}"
            )

    def known(self) -> list[str]:
        """The revisions that this code knows, oldest first, after `BASE`."""
        scripts = ScriptDirectory(str(self.scripts))
        return [BASE, *reversed([script.revision for script in scripts.walk_revisions()])]

    def current(self, connection: Connection) -> str:
        """The revision that the database has.

        Raises:
            StartupError: This code does not know it.
        """
        heads = MigrationContext.configure(connection, opts={"version_table": self.table}).get_current_heads()
        for revision in heads:
            if revision not in self.known():
                raise StartupError(
                    f"the database {self._where(connection)} has schema {revision}, which this version of Filo "
                    "does not know; start the newer one that wrote it, or name another database"
                )
        return heads[0] if heads else BASE

    def _where(self, connection: Connection) -> str:
        url = connection.engine.url
        return str(url.database) if connection.dialect.name == "sqlite" else self.shown(url)

    def _config(self, connection: Connection) -> Config:
        config = Config()
        config.set_main_option("script_location", str(self.scripts).replace("%", "%%"))
        config.attributes.update(connection=connection, version_table=self.table)
        return config


def run_migrations(models: MetaData) -> None:
    """What a service's ``env.py`` does; the connection, its transaction and its locks are those of `Schema.migrate`.

    Args:
        models: The service's tables.
    """
    given = context.config.attributes
    context.configure(given["connection"], target_metadata=models, version_table=given["version_table"])
    with context.begin_transaction():
        context.run_migrations()

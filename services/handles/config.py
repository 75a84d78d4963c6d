"""The settings of the handle store."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final, Self

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from services.common import tls, tracing_settings
from services.common.config import Address, Environment
from services.common.tls import Transport
from services.common.tracing_settings import Tracing
from services.handles.policy import Retention, Rules

_SQLITE: Final = "sqlite+aiosqlite"
_SCHEMES: Final = {
    "sqlite": _SQLITE,
    _SQLITE: _SQLITE,
    "postgres": "postgresql",
    "postgresql": "postgresql",
    "postgresql+asyncpg": "postgresql",
}
"""The beginnings of a URL that are understood, and what they mean."""
_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")

_ADDRESS: Final = Address("127.0.0.1", 7402)
_METRICS_ADDRESS: Final = Address("127.0.0.1", 7412)
_DATA_DIR: Final = Path(".filo")
_DATABASE_FILE: Final = _DATA_DIR / "handles.db"
_KEY_FILE: Final = _DATABASE_FILE.with_suffix(".key")
_DATABASE: Final = URL.create(_SQLITE, database=str(_DATABASE_FILE))
_HANDLE_TTL: Final = timedelta(minutes=30)
_LEASE: Final = timedelta(seconds=30)
_RETENTION: Final = Retention(expired=timedelta(hours=1), abandoned=timedelta(days=7), ended=timedelta(days=30))
_SWEEP_INTERVAL: Final = timedelta(minutes=1)
_CONNECTIONS: Final = 10
_HIGHEST_PORT: Final = 65535


class Durability(StrEnum):
    """What an answered write survives."""

    FULL = "full"
    """A power cut: it was on the disk before it was answered."""
    RELAXED = "relaxed"
    """The death of the process; a power cut may take the last moments, never more, and leaves no damage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What can be set; every field has a default that works on one machine. Each says which variable sets it.

    Args:
        address: FILO_HANDLES_ADDRESS. Where gRPC listens; port 0 takes any free one.
        metrics_address: FILO_HANDLES_METRICS_ADDRESS. Where Prometheus scrapes.
        health_address: FILO_HANDLES_HEALTH_ADDRESS. Where gRPC health is served besides, in the clear, for probes,
            which have no certificate; nowhere when it is empty.
        data_dir: FILO_DATA_DIR. Where files are kept.
        database: FILO_HANDLES_DATABASE_URL. The database; by default `handles.db` in the data directory.
        handle_ttl: FILO_HANDLES_HANDLE_TTL. How long a handle outlives the last sign of life of its conversation.
        lease: FILO_HANDLES_LEASE. How long a holder counts as alive; it heartbeats three times as often.
        key_file: FILO_HANDLES_KEY_FILE. The keys of hashes and encryption; by default beside a SQLite database, and
            made there at the first start; for PostgreSQL `handles.key` in the data directory, which is never made.
        durability: FILO_HANDLES_DURABILITY. What an answered write survives: full (a power cut) or relaxed (the death
            of the process).
        connections: FILO_HANDLES_DATABASE_CONNECTIONS. How many connections to PostgreSQL the data path of a process
            uses; there are two more for what may take long.
        expired_retention: FILO_HANDLES_EXPIRED_RETENTION. How long expired handles are kept; they are told from
            unknown ones in the metrics meanwhile, and a clock that runs ahead deletes none that others still honour.
        abandoned_retention: FILO_HANDLES_ABANDONED_RETENTION. How long after its last sign of life a conversation is
            ended.
        ended_retention: FILO_HANDLES_ENDED_RETENTION. How long after its end a conversation is deleted.
        sweep_interval: FILO_HANDLES_SWEEP_INTERVAL. How often all this is looked after.
        transport: What encrypts the calls of relays.
        tracing: Where traces go, if they go anywhere.
        log_level: FILO_LOG_LEVEL. DEBUG, INFO, WARNING or ERROR.
    """

    address: Address = _ADDRESS
    metrics_address: Address = _METRICS_ADDRESS
    health_address: Address | None = None
    data_dir: Path = _DATA_DIR
    database: URL = _DATABASE
    handle_ttl: timedelta = _HANDLE_TTL
    lease: timedelta = _LEASE
    key_file: Path = _KEY_FILE
    durability: Durability = Durability.FULL
    connections: int = _CONNECTIONS
    expired_retention: timedelta = _RETENTION.expired
    abandoned_retention: timedelta = _RETENTION.abandoned
    ended_retention: timedelta = _RETENTION.ended
    sweep_interval: timedelta = _SWEEP_INTERVAL
    transport: Transport = Transport()  # noqa: RUF009 - frozen
    tracing: Tracing = Tracing()  # noqa: RUF009 - frozen
    log_level: str = "INFO"

    @classmethod
    def from_env(cls, values: Mapping[str, str]) -> Self:
        """Read the settings from environment variables.

        Raises:
            ConfigError: At least one value cannot be used; it names them all.
        """
        env = Environment(values)
        data_dir = env.path("DATA_DIR", _DATA_DIR)
        address = env.address("HANDLES_ADDRESS", _ADDRESS)
        database = _database(env, data_dir)
        settings = cls(
            address=address,
            metrics_address=env.address("HANDLES_METRICS_ADDRESS", _METRICS_ADDRESS),
            health_address=env.optional_address("HANDLES_HEALTH_ADDRESS"),
            data_dir=data_dir,
            database=database,
            handle_ttl=_span(env, "HANDLES_HANDLE_TTL", _HANDLE_TTL, high=timedelta(days=7)),
            lease=_span(env, "HANDLES_LEASE", _LEASE, high=timedelta(hours=1)),
            key_file=env.path("HANDLES_KEY_FILE", _key_file(database, data_dir)),
            durability=Durability(env.choice("HANDLES_DURABILITY", Durability.FULL, tuple(Durability))),
            connections=env.integer("HANDLES_DATABASE_CONNECTIONS", _CONNECTIONS, low=1, high=1000),
            expired_retention=_span(env, "HANDLES_EXPIRED_RETENTION", _RETENTION.expired),
            abandoned_retention=_span(env, "HANDLES_ABANDONED_RETENTION", _RETENTION.abandoned),
            ended_retention=_span(env, "HANDLES_ENDED_RETENTION", _RETENTION.ended),
            sweep_interval=_span(env, "HANDLES_SWEEP_INTERVAL", _SWEEP_INTERVAL, high=timedelta(hours=1)),
            transport=tls.read(env, "handles", {"HANDLES_ADDRESS": address}, calls=False),
            tracing=tracing_settings.read(values, env.problems),
            log_level=env.choice("LOG_LEVEL", "INFO", _LEVELS),
        )
        env.check()
        return settings

    @property
    def rules(self) -> Rules:
        """The rules that are settings."""
        return Rules(handle_ttl=self.handle_ttl, lease=self.lease)

    @property
    def retention(self) -> Retention:
        """How long what is over is kept."""
        return Retention(self.expired_retention, self.abandoned_retention, self.ended_retention)

    @property
    def embedded(self) -> bool:
        """Whether the database is a file of this machine: then the service itself makes its schema and its keys."""
        return self.database.drivername == _SQLITE

    @property
    def database_file(self) -> Path:
        """The SQLite file, where the database is `embedded`."""
        return Path(self.database.database or "")

    @property
    def shown_database(self) -> str:
        """The database for people: a path, or a URL without its password."""
        return str(self.database_file) if self.embedded else self.database.render_as_string(hide_password=True)


def _span(env: Environment, name: str, default: timedelta, *, high: timedelta = timedelta(days=3650)) -> timedelta:
    seconds = env.duration(name, default.total_seconds(), low=1.0, high=high.total_seconds())
    return timedelta(seconds=seconds)


def _key_file(database: URL, data_dir: Path) -> Path:
    if database.drivername == _SQLITE:
        return Path(database.database or "").with_suffix(".key")
    return data_dir / "handles.key"


def _database(env: Environment, data_dir: Path) -> URL:
    default = URL.create(_SQLITE, database=str(data_dir / "handles.db"))
    text = env.text("HANDLES_DATABASE_URL", "")
    if not text:
        return default
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):  # its text would show the password
        return env.wrong("HANDLES_DATABASE_URL", "this is not a database URL", default)
    if url.drivername not in _SCHEMES:
        return env.wrong("HANDLES_DATABASE_URL", "this is neither sqlite:///PATH nor postgresql://...", default)
    url = url.set(drivername=_SCHEMES[url.drivername])
    problem = _file_problem(url) if url.drivername == _SQLITE else _server_problem(url)
    return env.wrong("HANDLES_DATABASE_URL", problem, default) if problem else url


def _file_problem(url: URL) -> str:
    if not url.database or url.database == ":memory:" or url.query or url.host:
        return "a SQLite database is a file, sqlite:///PATH, without options"
    if Path(url.database).suffix == ".key":
        return "a database file cannot end in .key, its key file does"
    return ""


def _server_problem(url: URL) -> str:
    if not url.database:
        return "name the database, postgresql://USER@HOST/DATABASE"
    if url.port is not None and not 0 < url.port <= _HIGHEST_PORT:
        return f"its port must be from 1 to {_HIGHEST_PORT}"
    if any("password" in name.lower() for name in url.query):  # where it would be shown
        return "a password is no option; it stands before the host, postgresql://USER:PASSWORD@HOST/DATABASE"
    return ""

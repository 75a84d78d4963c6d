"""The settings of the handle store."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final, Self

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from services.common import tls
from services.common.config import Address, Environment
from services.common.tls import Transport
from services.handles.policy import Rules

_SQLITE: Final = "sqlite+aiosqlite"
_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")

_ADDRESS: Final = Address("127.0.0.1", 7402)
_METRICS_ADDRESS: Final = Address("127.0.0.1", 7412)
_DATA_DIR: Final = Path(".filo")
_DATABASE: Final = URL.create(_SQLITE, database=str(_DATA_DIR / "handles.db"))
_HANDLE_TTL: Final = timedelta(minutes=30)
_LEASE: Final = timedelta(seconds=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What can be set; every field has a default that works on one machine. Each says which variable sets it.

    Args:
        address: FILO_HANDLES_ADDRESS. Where gRPC listens; port 0 takes any free one.
        metrics_address: FILO_HANDLES_METRICS_ADDRESS. Where Prometheus scrapes.
        data_dir: FILO_DATA_DIR. Where files are kept.
        database: FILO_HANDLES_DATABASE_URL. The database; by default `handles.db` in the data directory.
        handle_ttl: FILO_HANDLES_HANDLE_TTL. How long a handle outlives the last sign of life of its conversation.
        lease: FILO_HANDLES_LEASE. How long a holder counts as alive; it heartbeats three times as often.
        transport: What encrypts the calls of relays.
        log_level: FILO_LOG_LEVEL. DEBUG, INFO, WARNING or ERROR.
    """

    address: Address = _ADDRESS
    metrics_address: Address = _METRICS_ADDRESS
    data_dir: Path = _DATA_DIR
    database: URL = _DATABASE
    handle_ttl: timedelta = _HANDLE_TTL
    lease: timedelta = _LEASE
    transport: Transport = Transport()  # noqa: RUF009 - frozen
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
        settings = cls(
            address=address,
            metrics_address=env.address("HANDLES_METRICS_ADDRESS", _METRICS_ADDRESS),
            data_dir=data_dir,
            database=_database(env, data_dir),
            handle_ttl=_span(env, "HANDLES_HANDLE_TTL", _HANDLE_TTL, high=timedelta(days=7)),
            lease=_span(env, "HANDLES_LEASE", _LEASE, high=timedelta(hours=1)),
            transport=tls.read(env, "handles", {"HANDLES_ADDRESS": address}),
            log_level=env.choice("LOG_LEVEL", "INFO", _LEVELS),
        )
        env.check()
        return settings

    @property
    def rules(self) -> Rules:
        """The rules that are settings."""
        return Rules(handle_ttl=self.handle_ttl, lease=self.lease)

    @property
    def database_file(self) -> Path:
        """The SQLite file."""
        return Path(self.database.database or "")

    @property
    def key_file(self) -> Path:
        """The file with the key of the hashes, beside the database."""
        return self.database_file.with_suffix(".key")


def _span(env: Environment, name: str, default: timedelta, *, high: timedelta) -> timedelta:
    seconds = env.duration(name, default.total_seconds(), low=1.0, high=high.total_seconds())
    return timedelta(seconds=seconds)


def _database(env: Environment, data_dir: Path) -> URL:
    default = URL.create(_SQLITE, database=str(data_dir / "handles.db"))
    text = env.text("HANDLES_DATABASE_URL", "")
    if not text:
        return default
    try:
        url = make_url(text)
    except ArgumentError:  # its text would show the password
        return env.wrong("HANDLES_DATABASE_URL", "this is not a database URL", default)
    if url.drivername != _SQLITE or not url.database or url.database == ":memory:" or url.query:
        return env.wrong("HANDLES_DATABASE_URL", f"this is not {_SQLITE}:///PATH, the one kind there is yet", default)
    if Path(url.database).suffix == ".key":
        return env.wrong("HANDLES_DATABASE_URL", "a database file cannot end in .key, its key file does", default)
    return url

"""Settings from the environment."""

from dataclasses import fields
from datetime import timedelta
from pathlib import Path

import pytest

from services.common.config import Address, ConfigError
from services.handles.config import Durability, Settings
from services.handles.policy import Retention


def problems(**environ: str) -> tuple[str, ...]:
    """What is wrong with an environment."""
    with pytest.raises(ConfigError) as caught:
        Settings.from_env(environ)
    return caught.value.problems


def test_an_empty_environment_gives_the_defaults() -> None:
    """One machine needs no setting, and the defaults are written once."""
    settings = Settings.from_env({})
    assert settings == Settings()
    assert settings.address == Address("127.0.0.1", 7402)
    assert settings.metrics_address == Address("127.0.0.1", 7412)
    assert settings.database_file == Path(".filo/handles.db")
    assert settings.key_file == Path(".filo/handles.key")
    assert settings.rules.handle_ttl == timedelta(minutes=30)
    assert settings.rules.heartbeat == timedelta(seconds=10)


def test_every_setting_is_read() -> None:
    """Each variable reaches its field."""
    settings = Settings.from_env(
        {
            "FILO_HANDLES_ADDRESS": "0.0.0.0:1",
            "FILO_HANDLES_METRICS_ADDRESS": "[::1]:2",
            "FILO_HANDLES_HEALTH_ADDRESS": "0.0.0.0:3",
            "FILO_DATA_DIR": "/data",
            "FILO_HANDLES_DATABASE_URL": "sqlite+aiosqlite:////elsewhere/h.sqlite",
            "FILO_HANDLES_HANDLE_TTL": "15m",
            "FILO_HANDLES_LEASE": "6s",
            "FILO_HANDLES_DURABILITY": "relaxed",
            "FILO_HANDLES_DATABASE_CONNECTIONS": "3",
            "FILO_HANDLES_EXPIRED_RETENTION": "2h",
            "FILO_HANDLES_ABANDONED_RETENTION": "1d",
            "FILO_HANDLES_ENDED_RETENTION": "90d",
            "FILO_HANDLES_SWEEP_INTERVAL": "5s",
            "FILO_ALLOW_PLAINTEXT": "true",
            "OTEL_SERVICE_NAME": "memory",
            "FILO_LOG_LEVEL": "DEBUG",
        }
    )
    assert settings.address == Address("0.0.0.0", 1)  # noqa: S104 - only read
    assert settings.metrics_address == Address("::1", 2)
    assert settings.data_dir == Path("/data")
    assert settings.database_file == Path("/elsewhere/h.sqlite")
    assert settings.key_file == Path("/elsewhere/h.key")
    assert settings.handle_ttl == timedelta(minutes=15)
    assert settings.lease == timedelta(seconds=6)
    assert (settings.durability, settings.connections) == (Durability.RELAXED, 3)
    assert settings.retention == Retention(timedelta(hours=2), timedelta(days=1), timedelta(days=90))
    assert settings.sweep_interval == timedelta(seconds=5)
    assert settings.log_level == "DEBUG"
    assert all(getattr(settings, field.name) != getattr(Settings(), field.name) for field in fields(settings))


@pytest.mark.parametrize("directory", ["/a b/c", "/50%/x", "/what?/y#z", "/ümlaut"])
def test_any_directory_will_do(directory: str) -> None:
    """Characters that mean something in a URL mean nothing in a path."""
    assert Settings.from_env({"FILO_DATA_DIR": directory}).database_file == Path(directory) / "handles.db"


def test_all_problems_are_told_at_once() -> None:
    """Whoever repairs the configuration starts the service twice, not six times."""
    told = problems(
        FILO_HANDLES_ADDRESS="nowhere",
        FILO_HANDLES_METRICS_ADDRESS="host:99999",
        FILO_HANDLES_DATABASE_URL="mysql://host/db",
        FILO_HANDLES_HANDLE_TTL="soon",
        FILO_HANDLES_LEASE="0s",
        FILO_LOG_LEVEL="LOUD",
    )
    assert len(told) == 6


@pytest.mark.parametrize(
    "url",
    [
        "sqlite+aiosqlite://",
        "sqlite+aiosqlite:///:memory:",
        "sqlite:///x.db?mode=ro",
        "sqlite+aiosqlite:///x.key",
        "no url",
    ],
)
def test_a_database_must_be_a_file(url: str) -> None:
    """What would not survive a restart, or cannot be opened, is refused at once."""
    (told,) = problems(FILO_HANDLES_DATABASE_URL=url)
    assert told.startswith("FILO_HANDLES_DATABASE_URL: ")


def test_a_server_is_named_by_a_url() -> None:
    """Under any of its usual names; then nothing is made, neither schema nor keys, and a key file is named apart."""
    for scheme in ("postgres", "postgresql", "postgresql+asyncpg"):
        environ = {
            "FILO_HANDLES_DATABASE_URL": f"{scheme}://filo@db.example/filo?sslmode=require",
            "FILO_DATA_DIR": "/d",
        }
        settings = Settings.from_env(environ)
        assert not settings.embedded
        assert settings.shown_database == "postgresql://filo@db.example/filo?sslmode=require"
        assert settings.key_file == Path("/d/handles.key")
        assert Settings.from_env({**environ, "FILO_HANDLES_KEY_FILE": "/keys/k"}).key_file == Path("/keys/k")
    assert Settings.from_env({"FILO_HANDLES_DATABASE_URL": "sqlite:///x.db"}).database_file == Path("x.db")
    assert Settings().embedded


def test_a_password_is_not_repeated() -> None:
    """Neither a refused URL nor the settings themselves show what is secret in them."""
    settings = Settings.from_env({"FILO_HANDLES_DATABASE_URL": "postgresql+asyncpg://filo:hunter2@host/db"})
    assert "hunter2" not in repr(settings) + settings.shown_database
    told = problems(FILO_HANDLES_DATABASE_URL="postgresql://filo:hunter2@host")
    assert "hunter2" not in repr(told)
    assert "hunter2" not in repr(problems(FILO_HANDLES_DATABASE_URL="//filo:hunter2@[host"))


@pytest.mark.parametrize("port", [0, 65536, 99999])
def test_a_port_that_no_server_has_is_told(port: int) -> None:
    """In a line, rather than by whatever the attempt to connect raises."""
    (told,) = problems(FILO_HANDLES_DATABASE_URL=f"postgresql://host:{port}/db")
    assert "its port must be from 1 to 65535" in told


@pytest.mark.parametrize("option", ["password", "sslpassword", "PASSWORD"])
def test_a_password_is_no_option(option: str) -> None:
    """Among the options of a URL nothing would hide it: it is refused, and not shown."""
    (told,) = problems(FILO_HANDLES_DATABASE_URL=f"postgresql://host/db?user=filo&{option}=hunter2")
    assert "a password is no option" in told
    assert "hunter2" not in told

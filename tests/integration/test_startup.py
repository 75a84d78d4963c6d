"""A service that cannot start: one clear line, exit code 2, no traceback; for each service and each of its sockets."""

import importlib
import json
import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

SOCKETS = {
    "emulator": ("FILO_EMULATOR_ADDRESS", "FILO_EMULATOR_CONTROL_ADDRESS"),
    "handles": ("FILO_HANDLES_ADDRESS", "FILO_HANDLES_METRICS_ADDRESS"),
    "relay": ("FILO_RELAY_CLIENT_ADDRESS", "FILO_RELAY_CONTROL_ADDRESS", "FILO_RELAY_METRICS_ADDRESS"),
    "simulator": ("FILO_SIMULATOR_ADDRESS", "FILO_SIMULATOR_METRICS_ADDRESS"),
}
EACH = [(service, name) for service, names in SOCKETS.items() for name in names]


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """A service sets up logging for its process, which here is the tests' own."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def environ(directory: Path, service: str) -> dict[str, str]:
    """What a service needs to start on free ports."""
    free = dict.fromkeys(SOCKETS[service], "127.0.0.1:0")
    return {"FILO_DATA_DIR": str(directory), "GEMINI_API_KEY": "k", "FILO_LOG_LEVEL": "ERROR", **free}


def started(service: str, environ: dict[str, str]) -> int:
    """Run a service's own entry in this process; gives its exit code."""
    code: int = importlib.import_module(f"services.{service}.service").main(environ)
    return code


@pytest.mark.parametrize(("service", "name"), EACH)
def test_a_port_in_use(service: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The line names the address."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert started(service, {**environ(tmp_path, service), name: address}) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{service}: cannot listen on {address}")


@pytest.mark.parametrize(("service", "name"), EACH)
def test_an_address_that_is_none(service: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The line names the variable."""
    assert started(service, {**environ(tmp_path, service), name: "nowhere"}) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert name in line


def test_a_relay_without_a_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The line says which variable to set."""
    assert started("relay", {**environ(tmp_path, "relay"), "GEMINI_API_KEY": ""}) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("relay: GEMINI_API_KEY")


@pytest.mark.parametrize(("service", "file"), [("handles", "handles.db"), ("simulator", "runs.db")])
def test_a_database_that_is_none(service: str, file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The line names the file, which is left as it is."""
    (tmp_path / file).write_bytes(b"this is no database at all" * 100)
    assert started(service, environ(tmp_path, service)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert file in line
    assert (tmp_path / file).read_bytes() == b"this is no database at all" * 100


@pytest.mark.parametrize("file", ["session.key"])
def test_session_keys_that_others_may_read(file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The line says what to do."""
    (tmp_path / file).write_text(json.dumps({"newest": "k1", "keys": {"k1": "x" * 43}}))
    (tmp_path / file).chmod(0o644)
    assert started("relay", environ(tmp_path, "relay")) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "chmod 600" in line

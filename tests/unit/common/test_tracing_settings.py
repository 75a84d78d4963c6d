"""The variables of OpenTelemetry: what is honoured, and that a mistake is told at the start, all at once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.common import tracing_settings
from services.common.tracing_settings import Tracing
from services.handles.config import Settings as HandlesSettings
from services.relay.config import Settings as RelaySettings
from services.simulator.config import Settings as SimulatorSettings
from tests.support.certificates import Authority

ON = {"OTEL_TRACES_EXPORTER": "otlp"}


def read(**values: str) -> tuple[Tracing, list[str]]:
    """The settings, and what is wrong with them."""
    problems: list[str] = []
    return tracing_settings.read(values, problems), problems


def test_it_is_off_unless_it_is_asked_for() -> None:
    """An endpoint alone, as clusters give it to every pod, turns nothing on; nor is anything wrong with it."""
    for values in ({}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "nonsense", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}):
        tracing, problems = read(**values)
        assert not tracing.on
        assert not problems
    assert not read(**ON, OTEL_SDK_DISABLED="true")[0].on


def test_everything_can_be_set(tmp_path: Path) -> None:
    """In the specification's own words and units."""
    Authority().issue(tmp_path, "collector")
    tracing, problems = read(
        **ON,
        OTEL_EXPORTER_OTLP_ENDPOINT="https://collector.example.com:4317/",
        OTEL_EXPORTER_OTLP_PROTOCOL="grpc",
        OTEL_EXPORTER_OTLP_HEADERS="X-Key=a%20secret, x-tenant = filo",
        OTEL_EXPORTER_OTLP_CERTIFICATE=str(tmp_path / "ca.crt"),
        OTEL_EXPORTER_OTLP_TIMEOUT="2500",
        OTEL_TRACES_SAMPLER="parentbased_traceidratio",
        OTEL_TRACES_SAMPLER_ARG="0.25",
        OTEL_SERVICE_NAME="our-relay",
        OTEL_RESOURCE_ATTRIBUTES="deployment.environment=prod,team=voice",
    )
    assert not problems
    assert tracing == Tracing(
        exporter="otlp",
        endpoint="https://collector.example.com:4317",
        headers=(("x-key", "a secret"), ("x-tenant", "filo")),
        certificate=tmp_path / "ca.crt",
        export_timeout=2500,
        sampler="parentbased_traceidratio",
        ratio=0.25,
        service="our-relay",
        resource=(("deployment.environment", "prod"), ("team", "voice")),
    )
    assert "a secret" not in repr(tracing)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EXPORTER_OTLP_ENDPOINT", "collector:4317"),
        ("EXPORTER_OTLP_ENDPOINT", "https://user:hunter2@collector:4317"),
        ("EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("EXPORTER_OTLP_HEADERS", "hunter2"),
        ("EXPORTER_OTLP_HEADERS", "good=1,sp ace=hunter2"),
        ("EXPORTER_OTLP_CERTIFICATE", "/nowhere/ca.pem"),
        ("EXPORTER_OTLP_TIMEOUT", "10s"),
        ("EXPORTER_OTLP_TIMEOUT", "0"),
        ("TRACES_SAMPLER", "sometimes"),
        ("TRACES_SAMPLER_ARG", "2"),
        ("RESOURCE_ATTRIBUTES", "=x"),
    ],
)
def test_a_mistake_is_told_by_its_name_and_without_a_secret(name: str, value: str) -> None:
    """What the library would log and forget stops the start."""
    _, (problem,) = read(**ON, **{f"OTEL_{name}": value})
    assert problem.startswith(f"OTEL_{name}: ")
    assert "hunter2" not in problem


def test_an_exporter_that_is_not_known_is_told() -> None:
    """Also by who is off because of it."""
    tracing, (problem,) = read(OTEL_TRACES_EXPORTER="zipkin")
    assert problem == "OTEL_TRACES_EXPORTER: 'zipkin' is not one of none, otlp"
    assert not tracing.on


def test_every_service_reads_them() -> None:
    """The three that answer calls."""
    for kind, more in ((HandlesSettings, {}), (RelaySettings, {"GEMINI_API_KEY": "k"}), (SimulatorSettings, {})):
        assert kind.from_env({**ON, **more}).tracing.on


@pytest.mark.parametrize("service", ["handles", "relay", "simulator"])
def test_a_service_that_is_told_wrong_does_not_start(service: str, tmp_path: Path) -> None:
    """Exit code 2, and every problem on a line of its own."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("FILO_", "OTEL_"))}
    wrong = {**ON, "OTEL_EXPORTER_OTLP_ENDPOINT": "collector", "OTEL_TRACES_SAMPLER": "never"}
    done = subprocess.run(
        [sys.executable, "-m", "services.cli.main", service],
        env={**own, **wrong, "GEMINI_API_KEY": "k", "FILO_DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.returncode == 2, done.stderr
    told = [line for line in done.stderr.splitlines() if line.startswith(f"{service}: OTEL_")]
    assert len(told) == 2, done.stderr

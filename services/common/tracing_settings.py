"""Whether and where traces are exported: the variables of OpenTelemetry that Filo honours, read and checked as its own.

https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/ and .../protocol/exporter/. The
library would read them by itself, log what it does not understand, and go on without; here a mistake is told at the
start. Off unless ``OTEL_TRACES_EXPORTER`` is ``otlp``: the specification's default would dial a collector that most
machines do not have.
"""

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from services.common.config import Environment

SAMPLERS: Final = (
    "parentbased_always_on",
    "parentbased_traceidratio",
    "parentbased_always_off",
    "always_on",
    "traceidratio",
    "always_off",
)
_URL: Final = re.compile(r"https?://(\[[0-9a-fA-F:.]+\]|[\w.-]+)(:\d{1,5})?/?")
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


@dataclass(frozen=True, slots=True)
class Tracing:
    """Where traces go.

    Args:
        exporter: OTEL_TRACES_EXPORTER. ``otlp`` exports traces; ``none`` makes none.
        disabled: OTEL_SDK_DISABLED. ``true`` makes none either, whatever else is set.
        protocol: OTEL_EXPORTER_OTLP_PROTOCOL. Only ``grpc``.
        endpoint: OTEL_EXPORTER_OTLP_ENDPOINT. The collector, ``http://`` in the clear or ``https://`` with TLS.
        headers: OTEL_EXPORTER_OTLP_HEADERS. Sent with each export, for example a key: ``name=value,name=value``,
            percent-encoded. A secret.
        certificate: OTEL_EXPORTER_OTLP_CERTIFICATE. PEM file with the authority of the collector's certificate.
        export_timeout: OTEL_EXPORTER_OTLP_TIMEOUT. Milliseconds that one export may take.
        sampler: OTEL_TRACES_SAMPLER. Which traces are kept: ``parentbased_always_on``, ``parentbased_traceidratio``,
            ``parentbased_always_off``, ``always_on``, ``traceidratio`` or ``always_off``.
        ratio: OTEL_TRACES_SAMPLER_ARG. How many of them, from 0 to 1, where the sampler is a ratio.
        service: OTEL_SERVICE_NAME. What the service is called in traces; ``filo-`` and its own name when it is empty.
        resource: OTEL_RESOURCE_ATTRIBUTES. What else is told of the process: ``name=value,name=value``.
    """

    exporter: str = "none"
    disabled: bool = False
    protocol: str = "grpc"
    endpoint: str = "http://localhost:4317"
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    certificate: Path | None = None
    export_timeout: int = 10_000
    sampler: str = SAMPLERS[0]
    ratio: float = 1.0
    service: str = ""
    resource: tuple[tuple[str, str], ...] = ()

    @property
    def on(self) -> bool:
        """Whether anything is exported."""
        return self.exporter == "otlp" and not self.disabled


def read(values: Mapping[str, str], problems: list[str]) -> Tracing:
    """Read the settings.

    Args:
        values: The environment.
        problems: What is wrong is added to it. Nothing is wrong with the others while tracing is off: they may be
            meant for another program.
    """
    switch, env, default = Environment(values, "OTEL_", problems), Environment(values, "OTEL_"), Tracing()
    exporter = switch.choice("TRACES_EXPORTER", default.exporter, ("none", "otlp"))
    disabled = switch.flag("SDK_DISABLED", default=default.disabled)
    tracing = Tracing(
        exporter,
        disabled,
        env.choice("EXPORTER_OTLP_PROTOCOL", default.protocol, ("grpc",)),
        _endpoint(env, default.endpoint),
        _pairs(env, "EXPORTER_OTLP_HEADERS", lower=True),
        _certificate(env),
        env.integer("EXPORTER_OTLP_TIMEOUT", default.export_timeout, low=1),
        env.choice("TRACES_SAMPLER", default.sampler, SAMPLERS),
        env.number("TRACES_SAMPLER_ARG", default.ratio, high=1.0),
        env.text("SERVICE_NAME", default.service),
        _pairs(env, "RESOURCE_ATTRIBUTES"),
    )
    if tracing.on:
        problems += env.problems
    return tracing


def _endpoint(env: Environment, default: str) -> str:
    text = env.text("EXPORTER_OTLP_ENDPOINT", default)
    if _URL.fullmatch(text):
        return text.rstrip("/")
    return env.wrong("EXPORTER_OTLP_ENDPOINT", "is not http://HOST:PORT or https://HOST:PORT", default)


def _pairs(env: Environment, name: str, *, lower: bool = False) -> tuple[tuple[str, str], ...]:
    """Names and values, percent-decoded; a problem names no value, which may be a secret."""
    pairs: list[tuple[str, str]] = []
    for number, part in enumerate(filter(None, map(str.strip, env.text(name, "").split(","))), start=1):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not _NAME.fullmatch(key):
            env.wrong(name, f"its part {number} is not NAME=VALUE", None)
        else:
            pairs.append((key.lower() if lower else key, unquote(value)))
    return tuple(pairs)


def _certificate(env: Environment) -> Path | None:
    text = env.text("EXPORTER_OTLP_CERTIFICATE", "")
    if not text:
        return None
    path = Path(text).expanduser()
    try:
        ssl.create_default_context(cafile=str(path))
    except (OSError, ssl.SSLError) as error:
        return env.wrong("EXPORTER_OTLP_CERTIFICATE", f"{path} has no certificates: {error.strerror or error}", None)
    return path

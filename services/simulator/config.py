"""The simulator's settings. Every one has a default that works on one machine."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from filo.client import Policy
from services.common import api_keys, tls, tracing_settings
from services.common.api_keys import Access
from services.common.config import Address, Environment
from services.common.tls import Transport
from services.common.tracing_settings import Tracing

_ADDRESS: Final = Address("127.0.0.1", 7403)
_METRICS_ADDRESS: Final = Address("127.0.0.1", 7413)
_RELAY_CONTROL_ADDRESS: Final = Address("127.0.0.1", 7401)


@dataclass(frozen=True, slots=True)
class Settings:
    """How this simulator behaves. Durations are in seconds.

    Attributes:
        address: Where gRPC listens; port 0 means any free one.
        metrics_address: Where Prometheus reads.
        health_address: Where gRPC health is served besides, in the clear, for probes, which have no certificate;
            nowhere when it is empty.
        relay_control_address: The relay's gRPC.
        relay_client_url: The relay's WebSocket, without a path.
        emulator_url: The emulator's control API, for its account of each run; empty where there is none.
        data_dir: Where the runs are kept.
        database_url: A SQLAlchemy URL; empty for ``runs.db`` in the data directory.
        speed: How much faster than real time prospects speak, unless the run says otherwise.
        model: Gemini's model for the agent, unless the run says otherwise.
        channel: ``voice`` or ``text``, unless the run says otherwise.
        turn_timeout: How long one turn may take, every reconnect in it included, before the run is given up.
        pause: How long a prospect thinks before it speaks, at the pace of its speech.
        silence: How much silence (in audio) follows an utterance before the agent is expected to answer.
        reconnect: When to come back, and how often.
        text_model: The Gemini text model that plays prospects and judges, unless the run says otherwise.
        text_url: Where it answers; empty for Google's own address.
        text_ca: A PEM file with the certificate authority to trust there; empty for the system's.
        api_key: The key for it, ``GEMINI_API_KEY``. Secret.
        lease: How long a run stays with a simulator that gives no sign of life; then another one goes on with it.
        most_runs: How many runs are in progress here at once; others wait, or go to another simulator.
        transport: What encrypts the calls between services.
        access: Who may start, see and stop runs.
        tracing: Where traces go, if they go anywhere.
        log_level: DEBUG, INFO, WARNING or ERROR.
    """

    address: Address = _ADDRESS
    metrics_address: Address = _METRICS_ADDRESS
    health_address: Address | None = None
    relay_control_address: Address = _RELAY_CONTROL_ADDRESS
    relay_client_url: str = "ws://127.0.0.1:7400"
    emulator_url: str = ""
    data_dir: Path = Path(".filo")
    database_url: str = ""
    speed: float = 10.0
    model: str = "models/gemini-2.5-flash-native-audio"
    channel: str = "voice"
    turn_timeout: float = 120.0
    pause: float = 0.5
    silence: float = 0.8
    reconnect: Policy = field(default_factory=Policy)
    text_model: str = "gemini-2.5-flash"
    text_url: str = ""
    text_ca: Path | None = None
    api_key: str = field(default="", repr=False)
    lease: float = 10.0
    most_runs: int = 1_000
    transport: Transport = Transport()  # noqa: RUF009 - frozen
    access: Access = Access()  # noqa: RUF009 - frozen
    tracing: Tracing = Tracing()  # noqa: RUF009 - frozen
    log_level: str = "INFO"

    @property
    def database(self) -> str:
        """The SQLAlchemy URL of the runs."""
        return self.database_url or f"sqlite+aiosqlite:///{self.data_dir / 'runs.db'}"

    @classmethod
    def from_env(cls, values: Mapping[str, str]) -> "Settings":
        """Read ``FILO_SIMULATOR_*`` and the shared ``FILO_*`` from `values`.

        Raises:
            ConfigError: Some values cannot be used; it names them all.
        """
        env, shared, default = Environment(values, "FILO_SIMULATOR_"), Environment(values), cls()
        address = env.address("ADDRESS", default.address)
        relay = shared.address("RELAY_CONTROL_ADDRESS", default.relay_control_address)
        transport = tls.read(shared, "simulator", {"SIMULATOR_ADDRESS": address, "RELAY_CONTROL_ADDRESS": relay})
        settings = cls(
            address=address,
            metrics_address=env.address("METRICS_ADDRESS", default.metrics_address),
            health_address=env.optional_address("HEALTH_ADDRESS"),
            relay_control_address=relay,
            relay_client_url=_url(shared, "RELAY_CLIENT_URL", default.relay_client_url, ("ws", "wss")),
            emulator_url=_url(env, "EMULATOR_URL", default.emulator_url, ("http", "https")),
            data_dir=shared.path("DATA_DIR", default.data_dir),
            database_url=_database_url(env, default.database_url),
            transport=transport,
        )
        settings = replace(
            _with_runs(settings, env, values),
            access=api_keys.read(shared, transport, {"SIMULATOR_ADDRESS": address}),
            tracing=tracing_settings.read(values, shared.problems),
            log_level=shared.choice("LOG_LEVEL", default.log_level, ("DEBUG", "INFO", "WARNING", "ERROR")),
        )
        env.problems += shared.problems
        env.check()
        return settings


def _with_runs(default: Settings, env: Environment, values: Mapping[str, str]) -> Settings:
    """The settings with what says how runs are performed."""
    return replace(
        default,
        speed=env.number("SPEED", default.speed, low=0.1, high=1000.0),
        model=env.text("MODEL", default.model),
        channel=env.choice("CHANNEL", default.channel, ("voice", "text")),
        turn_timeout=env.duration("TURN_TIMEOUT", default.turn_timeout, low=0.1),
        pause=env.duration("PAUSE", default.pause, high=60.0),
        silence=env.duration("SILENCE", default.silence, low=0.02, high=60.0),
        reconnect=_policy(env, default.reconnect),
        text_model=env.text("TEXT_MODEL", default.text_model),
        text_url=_url(env, "TEXT_URL", default.text_url, ("https", "http")),
        text_ca=Path(ca) if (ca := env.text("TEXT_CA", "")) else None,
        api_key=Environment(values, "").secret("GEMINI_API_KEY") or default.api_key,
        lease=env.duration("LEASE", default.lease, low=0.2),
        most_runs=env.integer("MOST_RUNS", default.most_runs, low=1),
    )


def _policy(env: Environment, default: Policy) -> Policy:
    shortest = env.duration("RECONNECT_SHORTEST_WAIT", default.shortest_wait)
    first = env.duration("RECONNECT_FIRST_WAIT", max(default.first_wait, shortest))
    if first < shortest:
        env.wrong("RECONNECT_FIRST_WAIT", f"{first:g}s is less than RECONNECT_SHORTEST_WAIT, {shortest:g}s", None)
    return Policy(
        attempts=env.integer("RECONNECT_ATTEMPTS", default.attempts, high=1000),
        shortest_wait=shortest,
        first_wait=first,
        longest_wait=env.duration("RECONNECT_LONGEST_WAIT", max(default.longest_wait, first)),
        greeting_timeout=env.duration("GREETING_TIMEOUT", default.greeting_timeout, low=0.01),
    )


def _database_url(env: Environment, default: str) -> str:
    text = env.text("DATABASE_URL", default)
    try:
        kind = make_url(text).get_backend_name() if text else "sqlite"
    except (ArgumentError, ValueError):
        kind = ""
    if kind not in {"sqlite", "postgresql"}:  # the text may hold a password
        return env.wrong("DATABASE_URL", "it is not like postgresql://USER@HOST/NAME or sqlite:///FILE", default)
    return text


def _url(env: Environment, name: str, default: str, schemes: tuple[str, ...]) -> str:
    text = env.text(name, default)
    if text and (urlsplit(text).scheme not in schemes or not urlsplit(text).netloc):
        return env.wrong(name, f"{text!r} is not a URL such as {schemes[0]}://HOST:PORT", default)
    return text.rstrip("/")

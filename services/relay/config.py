"""The relay's settings."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from services.common import api_keys, tls, tracing_settings
from services.common.api_keys import Access
from services.common.config import Address, Environment
from services.common.tls import Transport
from services.common.tracing_settings import Tracing
from services.relay.core.model import FeedbackPolicy, FeedbackSignal, Policy
from services.relay.transport import LIBRARIES
from services.relay.upstream.breaker import BreakerPolicy

GEMINI_URL: Final = "wss://generativelanguage.googleapis.com"
_BASE_URL: Final = re.compile(r"wss?://(\[[0-9a-fA-F:.]+\]|[\w.-]+)(:\d{1,5})?(/[\w./~-]*)?")


@dataclass(frozen=True, slots=True)
class DrainPolicy:
    """How a relay that stops gives its conversations back.

    Args:
        timeout: Seconds in which all of it is over; less than the process is given to stop (Kubernetes: 30).
        spread: Seconds over which the beginnings are spread, so that the other replicas are not stormed.
    """

    timeout: float = 25.0
    spread: float = 10.0

    @property
    def latest(self) -> float:
        """Seconds after which no open turn is waited for: what is left is for closing and for the last writes."""
        return max(self.timeout / 2, self.timeout - 8.0)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the relay can be told; every field works as it is on one machine.

    Args:
        client_address: Where clients' sockets are taken, ``ws://``.
        control_address: Where the control API listens, gRPC.
        metrics_address: Where Prometheus scrapes.
        advertise_address: Where other relays reach this one's control API; as it listens when it is empty.
        health_address: Where gRPC health is served besides, in the clear, for probes, which have no certificate;
            nowhere when it is empty.
        handles_address: Where the handle store is, gRPC.
        upstream_url: Gemini's base URL, or the emulator's.
        upstream_ca: A PEM file to trust besides the system's, for the emulator.
        backend: Whose API it is: ``developer`` for the Gemini Developer API, or ``vertex``.
        api_key: Gemini's API key; the Developer API's only.
        access_token: A token for Vertex AI; empty for the machine's Application Default Credentials.
        session_keys: The key ring that signs session tokens, one file for all relays; made when it is not there.
        session_ttl: Seconds that a session token is good for.
        auth_timeout: Seconds in which the first message must bring the token when the URL does not.
        origins: Allowed values of ``Origin``; empty allows all.
        connect_timeout: Seconds for one dial, setup included, but for those in which this process was late.
        dials: So many connections are made at once; a handshake is processor time, and a relay uses one core.
        close_timeout: Seconds in which the upstream must acknowledge a close.
        replay_seconds: Audio that is kept for a new connection, oldest out first.
        summary_model: The Gemini text model that summarises what `history_budget` leaves out, for example
            ``gemini-2.5-flash``; it is dropped where this is empty. Only with the Developer API.
        outbox_bytes: What is kept for a client that is away or slow, oldest audio out first, then the oldest notices.
        conversations: As many conversations may be held at once; who comes beyond is sent to another replica.
        overloaded_lag: While the event loop comes back so many seconds late, ``/ready`` says that no further client
            should come; 0 turns it off.
        session_metrics: Conversations that have series of their own in Prometheus at most; 0 turns these off.
        transport_library: What carries the WebSockets of both sides: ``websockets``, or ``picows``, which is compiled.
        transport: What encrypts the calls between services.
        access: Who may call the control API.
        tracing: Where traces go, if they go anywhere.
        log_level: DEBUG, INFO, WARNING or ERROR.
        takeover_timeout: Seconds in which another relay must give a conversation back whose client has come here.
        drain: How its conversations are given back when it stops.
        breaker: When the whole relay holds its dials back.
        policy: What the core's decisions depend on.
    """

    client_address: Address = Address("127.0.0.1", 7400)
    control_address: Address = Address("127.0.0.1", 7401)
    metrics_address: Address = Address("127.0.0.1", 7411)
    advertise_address: Address | None = None
    health_address: Address | None = None
    handles_address: Address = Address("127.0.0.1", 7402)
    upstream_url: str = GEMINI_URL
    upstream_ca: Path | None = None
    backend: str = "developer"
    api_key: str = field(default="", repr=False)
    access_token: str = field(default="", repr=False)
    session_keys: Path = Path(".filo/session.key")
    session_ttl: float = 3600.0
    auth_timeout: float = 10.0
    origins: tuple[str, ...] = ()
    connect_timeout: float = 10.0
    dials: int = 16
    close_timeout: float = 3.0
    replay_seconds: float = 120.0
    summary_model: str = ""
    outbox_bytes: int = 4 * 1024 * 1024
    conversations: int = 1000
    overloaded_lag: float = 0.5
    session_metrics: int = 500
    transport_library: str = "websockets"
    transport: Transport = Transport()  # noqa: RUF009 - frozen
    access: Access = Access()  # noqa: RUF009 - frozen
    tracing: Tracing = Tracing()  # noqa: RUF009 - frozen
    log_level: str = "INFO"
    takeover_timeout: float = 5.0
    drain: DrainPolicy = field(default_factory=DrainPolicy)
    breaker: BreakerPolicy = field(default_factory=BreakerPolicy)
    policy: Policy = field(default_factory=Policy)

    @classmethod
    def from_env(cls, values: Mapping[str, str]) -> "Settings":
        """Read the environment.

        Raises:
            ConfigError: Something cannot be used; it names every problem.
        """
        default = cls()
        shared, env = Environment(values, "FILO_"), Environment(values, "FILO_RELAY_")
        env.problems = shared.problems
        backend = env.choice("BACKEND", default.backend, ("developer", "vertex"))
        url = env.text("UPSTREAM_URL", GEMINI_URL).rstrip("/")
        if _BASE_URL.fullmatch(url) is None:
            env.problems.append(
                f"FILO_RELAY_UPSTREAM_URL: {url!r} is not wss://HOST or ws://HOST, with or without :PORT"
            )
        ca = env.text("UPSTREAM_CA", "")
        if ca and not Path(ca).expanduser().is_file():
            env.problems.append(f"FILO_RELAY_UPSTREAM_CA: there is no file {ca}")
        control = env.address("CONTROL_ADDRESS", default.control_address)
        handles = shared.address("HANDLES_ADDRESS", default.handles_address)
        transport = tls.read(shared, "relay", {"RELAY_CONTROL_ADDRESS": control, "HANDLES_ADDRESS": handles})
        settings = cls(
            client_address=env.address("CLIENT_ADDRESS", default.client_address),
            control_address=control,
            metrics_address=env.address("METRICS_ADDRESS", default.metrics_address),
            advertise_address=env.optional_address("ADVERTISE_ADDRESS"),
            health_address=env.optional_address("HEALTH_ADDRESS"),
            handles_address=handles,
            upstream_url=url,
            upstream_ca=Path(ca).expanduser() if ca else None,
            backend=backend,
            api_key=_api_key(values, shared) if backend == "developer" else "",
            access_token=env.secret("ACCESS_TOKEN") or "",
            session_keys=env.path("SESSION_KEYS", shared.path("DATA_DIR", Path(".filo")) / "session.key"),
            session_ttl=env.duration("SESSION_TTL", default.session_ttl, low=60.0),
            auth_timeout=env.duration("AUTH_TIMEOUT", default.auth_timeout, low=0.1),
            origins=tuple(part.strip() for part in env.text("ORIGINS", "").split(",") if part.strip()),
            connect_timeout=env.duration("CONNECT_TIMEOUT", default.connect_timeout, low=0.1),
            dials=env.integer("DIALS", default.dials, low=1),
            close_timeout=env.duration("CLOSE_TIMEOUT", default.close_timeout, low=0.05),
            replay_seconds=env.duration("REPLAY", default.replay_seconds, low=1.0),
            summary_model=env.text("SUMMARY_MODEL", default.summary_model),
            outbox_bytes=env.integer("OUTBOX_BYTES", default.outbox_bytes, low=64 * 1024),
            conversations=env.integer("CONVERSATIONS", default.conversations, low=1),
            overloaded_lag=env.duration("OVERLOADED_LAG", default.overloaded_lag),
            session_metrics=env.integer("SESSION_METRICS", default.session_metrics),
            transport_library=env.choice("TRANSPORT", default.transport_library, LIBRARIES),
            transport=transport,
            access=_access(shared, transport, control),
            tracing=tracing_settings.read(values, shared.problems),
            log_level=shared.choice("LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR")),
            takeover_timeout=env.duration("TAKEOVER_TIMEOUT", default.takeover_timeout, low=0.1),
            drain=_drain(env),
            breaker=_breaker(env),
            policy=_policy(env),
        )
        if settings.summary_model and backend != "developer":
            env.problems.append("FILO_RELAY_SUMMARY_MODEL: only the Developer API is asked; leave it empty")
        if 0 < settings.policy.max_age < settings.policy.stable_after:
            env.problems.append("FILO_RELAY_MAX_AGE: is less than FILO_RELAY_STABLE_AFTER; nothing would be stable")
        shared.check()
        return settings


def _api_key(values: Mapping[str, str], env: Environment) -> str:
    key = (Environment(values, "").secret("GEMINI_API_KEY") or "").strip()
    if not key:
        env.problems.append("GEMINI_API_KEY: is missing; set it to your key (anything, for the emulator)")
    elif not (key.isascii() and key.isprintable()):
        env.problems.append("GEMINI_API_KEY: holds characters that no key has; set it to your key")
    return key


def _access(env: Environment, transport: Transport, control: Address) -> Access:
    access = api_keys.read(env, transport, {"RELAY_CONTROL_ADDRESS": control})
    alone = transport.encrypted or transport.api_key or tls.loopback(control.host)
    if access.api_keys is not None and not alone:
        env.wrong("API_KEY", "is missing; other relays ask for it. Make one with: filo api-key relay --as relay", None)
    return access


def _drain(env: Environment) -> DrainPolicy:
    default = DrainPolicy()
    drain = DrainPolicy(
        timeout=env.duration("DRAIN_TIMEOUT", default.timeout, low=1.0),
        spread=env.duration("DRAIN_SPREAD", default.spread),
    )
    if drain.spread > drain.latest:
        env.problems.append(
            f"FILO_RELAY_DRAIN_SPREAD: is more than {drain.latest:g} s, which FILO_RELAY_DRAIN_TIMEOUT leaves for it"
        )
    return drain


def _breaker(env: Environment) -> BreakerPolicy:
    default = BreakerPolicy()
    return BreakerPolicy(
        failures=env.integer("BREAKER_FAILURES", default.failures, low=1),
        probe_interval=env.duration("BREAKER_PROBE_INTERVAL", default.probe_interval, low=0.01),
        dials_a_second=env.number("DIALS_A_SECOND", default.dials_a_second, low=0.1),
    )


def _policy(env: Environment) -> Policy:
    default = Policy()
    return Policy(
        goaway_margin=env.duration("GOAWAY_MARGIN", default.goaway_margin),
        goaway_unknown=env.duration("GOAWAY_UNKNOWN", default.goaway_unknown),
        max_age=env.duration("MAX_AGE", default.max_age),
        age_patience=env.duration("AGE_PATIENCE", default.age_patience),
        age_spread=env.duration("AGE_SPREAD", default.age_spread),
        grace=env.duration("GRACE", default.grace),
        retry_base=env.duration("RETRY_BASE", default.retry_base),
        retry_cap=env.duration("RETRY_CAP", default.retry_cap),
        dials_a_drop=env.integer("DIALS_A_DROP", default.dials_a_drop, low=1),
        dials_a_life=env.integer("DIALS_A_LIFE", default.dials_a_life, low=1),
        stable_after=env.duration("STABLE_AFTER", default.stable_after, low=0.1),
        stall_after=env.duration("STALL_AFTER", default.stall_after),
        context_limit=env.integer("CONTEXT_LIMIT", default.context_limit),
        patience=env.duration("PATIENCE", default.patience),
        store_patience=env.duration("STORE_PATIENCE", default.store_patience),
        unsaved_turns=env.integer("UNSAVED_TURNS", default.unsaved_turns, low=1),
        feedback_policy=FeedbackPolicy(env.choice("FEEDBACK_POLICY", default.feedback_policy, tuple(FeedbackPolicy))),
        feedback_signal=FeedbackSignal(env.choice("FEEDBACK_SIGNAL", default.feedback_signal, tuple(FeedbackSignal))),
        rebase_tokens=env.integer("REBASE_TOKENS", default.rebase_tokens),
        rebase_reserve=env.integer("REBASE_RESERVE", default.rebase_reserve),
        rebase_interval=env.duration("REBASE_INTERVAL", default.rebase_interval),
        history_budget=env.integer("HISTORY_BUDGET", default.history_budget),
        cached_price=env.number("CACHED_PRICE", default.cached_price, high=1.0),
        compression=env.flag("COMPRESSION", default=default.compression),
    )

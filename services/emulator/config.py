"""The emulator's settings. Every one has a default that works on one machine."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.common.config import Address, Environment
from services.emulator import faults, vad
from services.emulator.faults import Fault

_ADDRESS: Final = Address("127.0.0.1", 7443)
_CONTROL_ADDRESS: Final = Address("127.0.0.1", 7444)
_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")


@dataclass(frozen=True, slots=True)
class Settings:
    """How this emulator behaves. Durations are in seconds.

    Attributes:
        address: Where the WebSocket listens, with TLS; port 0 means any free one.
        control_address: Where the control API listens, plain HTTP, for tests and tools on this machine.
        data_dir: Where the CA and the server's certificate are kept.
        lifetime: How long a connection lives; the model's own if not set.
        goaway_lead: How long before its end goAway is sent, 0 sends none; the model's own if not set, and at most a
            quarter of the lifetime then.
        long_lived: Models that were once seen open for 58 minutes and ended with 1011 [OBS] live so long, and end so.
        session_audio: How long a session without compression lives, over all its connections [DOC].
        session_video: The same once it has seen video [DOC].
        sessions: How many sessions may be open at once; 1,000 a project on Vertex [DOC].
        handle_lifetime: How long a handle lives after its session ended; if not set, 2 h, and 24 h on Vertex [DOC].
        window: Size of the context window in tokens; the model's own if not set.
        text_answered: Whether text in the live input is answered at once; the model's own way if not set.
        speed: Pace of answers relative to real time.
        thinking: How long the model thinks before it answers.
        silence: How much silence ends the user's turn, unless the setup says otherwise.
        refuse_resume_while_open: Refuse a resume with 1011 until the old socket is closed [OBS].
        close_delay: How long a client's close waits for its acknowledgement; 1.4 to 3 s were seen [OBS].
        explicit_unresumable: Send ``{"resumable": false}`` rather than the empty update of proto3 JSON.
        pong_delay: How long a ping waits for its pong; 8 to 30 s were seen [OBS].
        bad_key: An API key that is refused; every other key but the empty one is accepted.
        faults: What shall go wrong from the start, read from a JSON file (see `faults`); the control API adds more.
        remembered: How many conversations, and voices, the control API remembers; handles of ten times as many.
        remembered_connections: How many connections of each of these it remembers one by one; of older ones the sums.
        seed: Chooses wordings, the jitter of timings and the chance of faults.
        log_level: DEBUG, INFO, WARNING or ERROR.
    """

    address: Address = _ADDRESS
    control_address: Address = _CONTROL_ADDRESS
    data_dir: Path = Path(".filo")
    lifetime: float | None = None
    goaway_lead: float | None = None
    long_lived: bool = False
    session_audio: float = 900.0
    session_video: float = 120.0
    sessions: int = 1_000
    handle_lifetime: float | None = None
    window: int | None = None
    text_answered: bool | None = None
    speed: float = 1.0
    thinking: float = 0.2
    silence: float = vad.DEFAULT_SILENCE
    refuse_resume_while_open: bool = True
    close_delay: float = 0.0
    explicit_unresumable: bool = False
    pong_delay: float = 0.0
    bad_key: str = "bad-key"
    faults: tuple[Fault, ...] = ()
    remembered: int = 1_000
    remembered_connections: int = 64
    seed: int = 0
    log_level: str = "INFO"

    @classmethod
    def from_env(cls, values: Mapping[str, str]) -> "Settings":
        """Read ``FILO_DATA_DIR``, ``FILO_LOG_LEVEL`` and ``FILO_EMULATOR_*`` from `values`.

        Raises:
            ConfigError: Some values cannot be used; it names them all.
        """
        env = Environment(values, "FILO_EMULATOR_")
        everywhere = Environment(values, problems=env.problems)
        default = cls()
        settings = cls(
            address=env.address("ADDRESS", default.address),
            control_address=env.address("CONTROL_ADDRESS", default.control_address),
            data_dir=everywhere.path("DATA_DIR", default.data_dir),
            lifetime=_optional(env, "LIFETIME", low=0.1),
            goaway_lead=_optional(env, "GOAWAY_LEAD"),
            long_lived=env.flag("LONG_LIVED", default=default.long_lived),
            session_audio=env.duration("SESSION_AUDIO", default.session_audio, low=0.1),
            session_video=env.duration("SESSION_VIDEO", default.session_video, low=0.1),
            sessions=env.integer("SESSIONS", default.sessions, low=1),
            handle_lifetime=_optional(env, "HANDLE_LIFETIME"),
            window=env.integer("WINDOW", 0) or default.window,
            text_answered=env.flag("TEXT_ANSWERED", default=True) if env.text("TEXT_ANSWERED", "") else None,
            speed=env.number("SPEED", default.speed, low=0.1, high=10_000.0),
            thinking=env.duration("THINKING", default.thinking),
            silence=env.duration("SILENCE", default.silence, low=0.02),
            refuse_resume_while_open=env.flag("REFUSE_RESUME_WHILE_OPEN", default=default.refuse_resume_while_open),
            close_delay=env.duration("CLOSE_DELAY", default.close_delay),
            explicit_unresumable=env.flag("EXPLICIT_UNRESUMABLE", default=default.explicit_unresumable),
            pong_delay=env.duration("PONG_DELAY", default.pong_delay),
            bad_key=env.text("BAD_KEY", default.bad_key),
            faults=_faults(env),
            remembered=env.integer("REMEMBERED", default.remembered, low=1),
            remembered_connections=env.integer("REMEMBERED_CONNECTIONS", default.remembered_connections, low=1),
            seed=env.integer("SEED", default.seed),
            log_level=everywhere.choice("LOG_LEVEL", default.log_level, _LEVELS),
        )
        _check_lead(env, settings.goaway_lead, settings.lifetime)
        env.check()
        return settings


def _check_lead(env: Environment, lead: float | None, lifetime: float | None) -> None:
    if lead is not None and lifetime is not None and lead >= lifetime:
        env.wrong("GOAWAY_LEAD", f"{lead:g}s is not shorter than the connection's lifetime of {lifetime:g}s", None)


def _optional(env: Environment, name: str, low: float = 0.0) -> float | None:
    """A duration that may be left to the model."""
    return env.duration(name, low, low=low) if env.text(name, "") else None


def _faults(env: Environment) -> tuple[Fault, ...]:
    """Read the file that ``FILO_EMULATOR_FAULTS`` names."""
    name = env.text("FAULTS", "")
    if not name:
        return ()
    try:
        return tuple(faults.read(Path(name).expanduser().read_bytes()))
    except OSError as error:
        return env.wrong("FAULTS", f"cannot read {name}: {error.strerror}", ())
    except ValueError as error:
        return env.wrong("FAULTS", f"{name}: {error}", ())

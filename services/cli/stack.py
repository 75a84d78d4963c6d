"""All of Filo on one machine: which services, in which order, with which environment. Decides only; starts nothing."""

import random
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Final

from services.cli.supervisor import Service
from services.common.config import Address, Environment

LOOPBACK: Final = "127.0.0.1"

# Every socket of the stack: the service that listens, the setting that says where, the port when nobody says.
SOCKETS: Final[Mapping[str, tuple[str, int]]] = MappingProxyType(
    {
        "FILO_EMULATOR_ADDRESS": ("emulator", 7443),
        "FILO_EMULATOR_CONTROL_ADDRESS": ("emulator", 7444),
        "FILO_HANDLES_ADDRESS": ("handles", 7402),
        "FILO_HANDLES_METRICS_ADDRESS": ("handles", 7412),
        "FILO_RELAY_CLIENT_ADDRESS": ("relay", 7400),
        "FILO_RELAY_CONTROL_ADDRESS": ("relay", 7401),
        "FILO_RELAY_METRICS_ADDRESS": ("relay", 7411),
        "FILO_SIMULATOR_ADDRESS": ("simulator", 7403),
        "FILO_SIMULATOR_METRICS_ADDRESS": ("simulator", 7413),
    }
)

OWN_SPEED: Final = 12.0
"""How much faster than real time both sides speak in a stack of a command's own."""

API_KEY: Final = "GEMINI_API_KEY"

_THINKING: Final = 0.2
"""Seconds, at the pace of real time, before the emulated model answers."""

_PORTS: Final = range(20_000, 32_000)
"""Below the range from which Linux takes the near end of outgoing connections, so none of them gets in between."""

_ANY_HOST: Final = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - recognised, not bound


class Upstream(StrEnum):
    """Who answers: Google, or the emulator."""

    EMULATOR = "emulator"
    GEMINI = "gemini"


@dataclass(frozen=True, slots=True)
class Choices:
    """How to run the stack.

    Args:
        upstream: Who answers.
        data_dir: Where databases, keys and logs live.
        connection_lifetime: Seconds after which the emulator ends a connection.
        goaway_lead: Seconds before that at which it says so.
        speed: How much faster than real time both sides speak, with the emulator.
        window: The emulated models' context window in tokens; 0 for each model's own.
        backend: Whose API the emulator plays, `developer` or `vertex`.
    """

    upstream: Upstream = Upstream.EMULATOR
    data_dir: Path = Path(".filo")
    connection_lifetime: float = 10.0
    goaway_lead: float = 2.0
    speed: float = 4.0
    window: int = 0
    backend: str = "developer"


class MissingKeyError(Exception):
    """Gemini is wanted, and there is no API key."""


def free_ports(count: int) -> list[int]:
    """Ports on which nobody listens, all different.

    Another process may take one before it is used; services say so and exit with code 2.
    """
    with ExitStack() as taken:
        ports: list[int] = []
        while len(ports) < count:
            port = random.choice(_PORTS)  # noqa: S311 - no secret
            probe = taken.enter_context(socket.socket())
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            ports.append(port)
        return ports


def addresses(environ: Mapping[str, str], pick: Callable[[int], list[int]] = free_ports) -> dict[str, Address]:
    """Where each socket of `SOCKETS` listens; port 0 is replaced by a free one, so that the others can be told.

    Raises:
        ConfigError: Some addresses cannot be used; it names them all.
    """
    env = Environment(environ, prefix="")
    found = {name: env.address(name, Address(LOOPBACK, port)) for name, (_, port) in SOCKETS.items()}
    env.check()
    anywhere = [name for name, address in found.items() if not address.port]
    free = dict(zip(anywhere, pick(len(anywhere)), strict=True))
    return {name: address._replace(port=free.get(name, address.port)) for name, address in found.items()}


_ALONE: Final = {"FILO_RELAY_DRAIN_TIMEOUT": "5s", "FILO_RELAY_DRAIN_SPREAD": "0s"}
"""A relay that stops need not be gentle to others: there are none."""


def services(choices: Choices, environ: Mapping[str, str], where: Mapping[str, Address]) -> list[Service]:
    """What to start, in order: each one finds those before it.

    Args:
        choices: How to run the stack.
        environ: The user's environment; what it sets wins over what is filled in here, and `choices` over both.
        where: From `addresses`.

    Raises:
        MissingKeyError: `choices` wants Gemini and `environ` has no key for it.
    """
    emulated = choices.upstream is Upstream.EMULATOR
    if not emulated and not environ.get(API_KEY):
        raise MissingKeyError(f"{API_KEY} is not set; --upstream gemini needs a key for the Gemini API")
    shared = {name: value for name, value in environ.items() if name != API_KEY}
    shared |= {name: str(address) for name, address in where.items()} | {"FILO_DATA_DIR": str(choices.data_dir)}
    talk = {"FILO_RELAY_CLIENT_URL": f"ws://{_reach(where['FILO_RELAY_CLIENT_ADDRESS'])}"}
    if not emulated:
        return [
            _filo("handles", shared),
            _filo("relay", {**_ALONE, **shared, API_KEY: environ[API_KEY]}),
            _filo("simulator", {**talk, "FILO_SIMULATOR_CHANNEL": "text", **shared, API_KEY: environ[API_KEY]}),
        ]
    return [
        _filo("emulator", shared | _emulator(choices)),
        _filo("handles", shared),
        _filo("relay", _ALONE | _towards_emulator(choices, where) | shared | {API_KEY: "emulator"}),
        _filo("simulator", talk | _prospect(choices, where) | shared | {API_KEY: "emulator"}),
    ]


def _filo(name: str, environ: Mapping[str, str]) -> Service:
    """A subcommand of this command line, of this Python, whatever lies in the working directory."""
    return Service(name, (sys.executable, "-P", "-m", "services.cli.main", name), environ)


def _emulator(choices: Choices) -> dict[str, str]:
    window = {"FILO_EMULATOR_WINDOW": f"{choices.window}"} if choices.window else {}
    return window | {
        "FILO_EMULATOR_LIFETIME": f"{choices.connection_lifetime:g}s",
        "FILO_EMULATOR_GOAWAY_LEAD": f"{choices.goaway_lead:g}s",
        "FILO_EMULATOR_SPEED": f"{choices.speed:g}",
        "FILO_EMULATOR_THINKING": f"{_THINKING / choices.speed:g}s",
    }


def _towards_emulator(choices: Choices, where: Mapping[str, Address]) -> dict[str, str]:
    vertex = {"FILO_RELAY_ACCESS_TOKEN": "emulator"} if choices.backend == "vertex" else {}
    return vertex | {
        "FILO_RELAY_BACKEND": choices.backend,
        "FILO_RELAY_UPSTREAM_URL": f"wss://{_reach(where['FILO_EMULATOR_ADDRESS'])}",
        "FILO_RELAY_UPSTREAM_CA": str(choices.data_dir / "emulator-ca.pem"),
    }


def _prospect(choices: Choices, where: Mapping[str, Address]) -> dict[str, str]:
    return {
        "FILO_SIMULATOR_EMULATOR_URL": f"http://{_reach(where['FILO_EMULATOR_CONTROL_ADDRESS'])}",
        "FILO_SIMULATOR_SPEED": f"{choices.speed:g}",
        "FILO_SIMULATOR_TEXT_URL": f"https://{_reach(where['FILO_EMULATOR_ADDRESS'])}",
        "FILO_SIMULATOR_TEXT_CA": str(choices.data_dir / "emulator-ca.pem"),
    }


def _reach(listening: Address) -> Address:
    """How to reach, on this machine, what listens there."""
    return listening._replace(host=LOOPBACK) if listening.host in _ANY_HOST else listening

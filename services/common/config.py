"""Configuration from the environment: everything is read, everything that is wrong is told at once.

A service's `Settings.from_env` makes one `Environment`, reads its fields from it, and calls `Environment.check` last.
A reader never raises for a bad value: it notes the problem and returns the default, so one start shows every mistake.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

T = TypeVar("T")

_UNITS: Final = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?")
_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_FALSE: Final = frozenset({"0", "false", "no", "off"})
_HIGHEST_PORT: Final = 65535


class ConfigError(Exception):
    """The configuration cannot be used; a service exits with code 2.

    Args:
        problems: One sentence each: what is wrong and what to do. Never holds a secret's value.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(self.problems))


class Address(NamedTuple):
    """Where a socket listens or connects. Port 0 means any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """Read ``host:port`` or ``[v6]:port``.

    Raises:
        ValueError: It is neither, or the port is not in 0..65535.
    """
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isdecimal() or int(port) > _HIGHEST_PORT:
        raise ValueError(f"{text!r} is not HOST:PORT with a port from 0 to {_HIGHEST_PORT}")
    return Address(host, int(port))


def parse_duration(text: str) -> float:
    """Read a duration such as ``250ms``, ``10s``, ``30m``, ``2h``; a bare number is seconds.

    Returns:
        Seconds.

    Raises:
        ValueError: It is not a duration.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a duration such as 250ms, 10s, 30m or 2h")
    return float(match[1]) * _UNITS[match[2] or ""]


@dataclass
class Environment:
    """A reader of one service's settings that remembers every problem.

    Args:
        values: Usually ``os.environ``; only a ``__main__`` touches the real one.
        prefix: Put before each name, for example ``FILO_RELAY_``.
    """

    values: Mapping[str, str]
    prefix: str = "FILO_"
    problems: list[str] = field(default_factory=list)

    def text(self, name: str, default: str) -> str:
        """A string as it stands; an empty one means the default."""
        return self.values.get(self.prefix + name, "") or default

    def secret(self, name: str) -> str | None:
        """A string that must never be shown, or None."""
        return self.values.get(self.prefix + name) or None

    def path(self, name: str, default: Path) -> Path:
        """A path, with ``~`` expanded."""
        return Path(self.text(name, str(default))).expanduser()

    def flag(self, name: str, *, default: bool) -> bool:
        """A switch: 1/0, true/false, yes/no, on/off."""
        text = self.text(name, "").lower()
        if not text:
            return default
        if text not in _TRUE | _FALSE:
            return self.wrong(name, f"{text!r} is neither true nor false", default)
        return text in _TRUE

    def integer(self, name: str, default: int, *, low: int = 0, high: int = 2**31 - 1) -> int:
        """A whole number within bounds, both included."""
        text = self.text(name, "")
        if not text:
            return default
        try:
            value = int(text)
        except ValueError:
            return self.wrong(name, f"{text!r} is not a whole number", default)
        if not low <= value <= high:
            return self.wrong(name, f"{value} is not between {low} and {high}", default)
        return value

    def number(self, name: str, default: float, *, low: float = 0.0, high: float = 1e9) -> float:
        """A number within bounds, both included."""
        text = self.text(name, "")
        if not text:
            return default
        try:
            value = float(text)
        except ValueError:
            return self.wrong(name, f"{text!r} is not a number", default)
        if not low <= value <= high:
            return self.wrong(name, f"{value} is not between {low} and {high}", default)
        return value

    def duration(self, name: str, default: float, *, low: float = 0.0, high: float = 366 * 86400.0) -> float:
        """Seconds, written like ``10s``, within bounds, both included."""
        text = self.text(name, "")
        if not text:
            return default
        try:
            value = parse_duration(text)
        except ValueError as error:
            return self.wrong(name, str(error), default)
        if not low <= value <= high:
            return self.wrong(name, f"{text} is not between {low:g}s and {high:g}s", default)
        return value

    def address(self, name: str, default: Address) -> Address:
        """A ``host:port``."""
        text = self.text(name, "")
        if not text:
            return default
        try:
            return parse_address(text)
        except ValueError as error:
            return self.wrong(name, str(error), default)

    def optional_address(self, name: str) -> Address | None:
        """A ``host:port``, or None where there is none."""
        return self.address(name, Address("", 0)) if self.text(name, "") else None

    def choice(self, name: str, default: str, allowed: Sequence[str]) -> str:
        """One of a closed set of words."""
        text = self.text(name, default)
        if text not in allowed:
            return self.wrong(name, f"{text!r} is not one of {', '.join(allowed)}", default)
        return text

    def wrong(self, name: str, why: str, default: T) -> T:
        """Note that the value of ``name`` cannot be used, and go on with the default."""
        self.problems.append(f"{self.prefix}{name}: {why}")
        return default

    def check(self) -> None:
        """Raise what was found.

        Raises:
            ConfigError: At least one value cannot be used; it names them all.
        """
        if self.problems:
            raise ConfigError(self.problems)

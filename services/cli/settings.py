"""The settings of a service as its own code knows them: for ``--help`` and for the documentation.

A service's ``config.Settings`` is a frozen dataclass with a ``from_env``, and its docstring explains each field. What
``from_env`` asks for is recorded, so a variable that is written down and not read cannot happen. A variable belongs to
the field whose explanation names it; else to the one that its own name ends with, or begins after the prefix.
"""

import dataclasses
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import typer.core

from services.common.config import ConfigError

_SECTION: Final = re.compile(r"^ *(?:Args|Attributes):\n", re.MULTILINE)
_FIELD: Final = re.compile(r"^(?P<name>[a-z_]+): (?P<text>.+?)(?=\n[a-z_]+: |\n\n|\Z)", re.MULTILINE | re.DOTALL)
_VARIABLE: Final = re.compile(r"\b(?:FILO|GEMINI|OTEL)_[A-Z_]+\b")


class Setting(NamedTuple):
    """One environment variable."""

    name: str
    default: str
    meaning: str


SHARED: Final = MappingProxyType(
    {
        setting.name: setting
        for setting in (
            Setting("FILO_DATA_DIR", ".filo", "Where databases, keys and certificates live."),
            Setting("FILO_LOG_LEVEL", "INFO", "DEBUG, INFO, WARNING or ERROR."),
        )
    }
)
"""What means the same for every service."""


class _Field(NamedTuple):
    """A field of the settings, or of a dataclass within them."""

    name: str
    default: object
    meaning: str


class _Recorder(Mapping[str, str]):
    """An environment in which nothing is set, and which remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __getitem__(self, name: str) -> str:
        if name not in self.asked:
            self.asked.append(name)
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def settings(service: str) -> list[Setting]:
    """Every setting of a service, in the order in which it reads them.

    Args:
        service: Its room, for example ``relay``.

    Returns:
        One a variable; without a meaning where the code has none for it.
    """
    kind: Any = importlib.import_module(f"services.{service}.config").Settings
    recorder = _Recorder()
    with suppress(ConfigError):  # something has no default, for example a key
        kind.from_env(recorder)
    fields = list(_fields(kind()))
    return [SHARED.get(variable) or _setting(variable, service, fields) for variable in recorder.asked]


def _setting(variable: str, service: str, fields: Sequence[_Field]) -> Setting:
    field = _owner(variable, variable.removeprefix(f"FILO_{service.upper()}_").lower(), fields)
    meaning = " ".join(_VARIABLE.sub("", field.meaning).replace("``", "`").strip(" .,").split())
    return Setting(variable, _plain(field.default), f"{meaning}." if meaning else "")


def _fields(instance: Any) -> Iterator[_Field]:  # noqa: ANN401 - any dataclass
    """The fields of a dataclass and of those within it, with the meanings in their docstrings."""
    section = _SECTION.split(inspect.getdoc(instance) or "", maxsplit=1)[-1]
    meanings = {found["name"]: found["text"] for found in _FIELD.finditer(textwrap.dedent(section))}
    for field in dataclasses.fields(instance):
        value = getattr(instance, field.name)
        if dataclasses.is_dataclass(value):
            yield from _fields(value)
        else:
            yield _Field(field.name, value, meanings.get(field.name, ""))


def _owner(variable: str, name: str, fields: Sequence[_Field]) -> _Field:
    """The field that a variable sets; `name` is the variable's own name, without its service's prefix."""
    named = [field for field in fields if variable in _VARIABLE.findall(field.meaning)]
    ending = [field for field in fields if f"_{variable.lower()}".endswith(f"_{field.name}")]
    begun = [field for field in fields if field.name.startswith(f"{name}_")]
    for candidates in (named, ending, begun):
        if candidates:
            return max(candidates, key=lambda field: len(field.name))
    return _Field(name, None, "")


def _plain(value: object) -> str:
    """A default as one would write it into the environment."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
        case timedelta():
            return f"{value.total_seconds():g}s"
        case tuple() if type(value) is tuple:
            return ", ".join(map(_plain, value))
    return str(value)


class SettingsCommand(typer.core.TyperCommand):
    """A subcommand whose help ends with the settings of the service that it is called after."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - typer's own types are private
        """Write every setting: its name, what it means, its default."""
        del ctx
        _write(self.name or "", formatter)


class SettingsGroup(typer.core.TyperGroup):
    """As `SettingsCommand`, for a service that has subcommands."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - typer's own types are private
        """Write every setting: its name, what it means, its default."""
        del ctx
        _write(self.name or "", formatter)


def _write(service: str, formatter: Any) -> None:  # noqa: ANN401 - typer's own types are private
    rows = [(name, f"{meaning} [{default or 'nothing'}]") for name, default, meaning in settings(service)]
    with formatter.section("Environment"):
        formatter.write_dl(rows)

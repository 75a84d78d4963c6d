"""The settings of a service as its own code knows them: for ``--help`` and for the documentation.

A service's ``config.Settings`` is a frozen dataclass with a ``from_env``; its docstring explains each field in an
``Attributes:`` section. What ``from_env`` asks for is recorded, so a name written here and nowhere else cannot happen.
"""

import dataclasses
import importlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import typer.core

_ATTRIBUTE: Final = re.compile(r"^(?P<name>[a-z_]+): (?P<text>.+?)(?=\n[a-z_]+: |\Z)", re.MULTILINE | re.DOTALL)


class Setting(NamedTuple):
    """One environment variable."""

    name: str
    default: str
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

    Raises:
        LookupError: A variable belongs to no field: the field that ends a variable's name is the one it sets.
    """
    kind: Any = importlib.import_module(f"services.{service}.config").Settings
    recorder = _Recorder()
    read = kind.from_env(recorder)
    meanings = _meanings(kind.__doc__ or "")
    fields = {field.name: getattr(read, field.name) for field in dataclasses.fields(kind)}
    found = []
    for name in recorder.asked:
        field = _field(name, fields)
        found.append(Setting(name, _plain(fields[field]), meanings.get(field, "")))
    return found


def _field(variable: str, fields: Mapping[str, object]) -> str:
    """The field with the longest name that the variable's ends with."""
    ends = [field for field in fields if f"_{variable.lower()}".endswith(f"_{field}")]
    if not ends:
        raise LookupError(f"{variable} is read, and no field is called after it")
    return max(ends, key=len)


def _meanings(docstring: str) -> dict[str, str]:
    """The ``Attributes:`` section, by field."""
    section = docstring.partition("Attributes:\n")[2]
    plain = "\n".join(line.removeprefix("        ") for line in section.splitlines())
    return {found["name"]: " ".join(found["text"].split()) for found in _ATTRIBUTE.finditer(plain)}


def _plain(value: object) -> str:
    """A default as one would write it into the environment."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
        case Path() | str() | int():
            return str(value)
    return str(value)


class SettingsCommand(typer.core.TyperCommand):
    """A subcommand whose help ends with the settings of the service that it is called after."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - typer's own types are private
        """Write every setting: its name, what it means, its default."""
        del ctx
        rows = [(name, f"{meaning} [{default or 'nothing'}]") for name, default, meaning in settings(self.name or "")]
        with formatter.section("Environment"):
            formatter.write_dl(rows)

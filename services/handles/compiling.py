"""Statements as one database takes them: text, placeholders in order, and what its driver gives otherwise."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, cast

from sqlalchemy import Boolean, ClauseElement, Dialect, Executable, Select
from sqlalchemy.sql.compiler import SQLCompiler

from services.handles.models import UtcDateTime


class Compiled(NamedTuple):
    """A statement as one database takes it.

    Args:
        text: With the placeholders of its driver.
        names: The parameter of each placeholder, in order.
        fixed: Values that are part of the statement itself.
        moments: Where moments stand among the parameters.
        columns: Those columns of the answer that the driver gives otherwise than the store wants them, with the repair.
    """

    text: str
    names: tuple[str, ...]
    fixed: Mapping[str, Any]
    moments: tuple[int, ...]
    columns: tuple[tuple[int, Callable[[Any], Any]], ...]

    def arguments(self, given: Mapping[str, Any]) -> list[Any]:
        """The parameters in the order of their placeholders."""
        return [given[name] if name in given else self.fixed[name] for name in self.names]


def compiled(statement: Executable, dialect: Dialect, repairs: Mapping[type, Callable[[Any], Any]]) -> Compiled:
    """Compile a statement for one database.

    Args:
        statement: One of this module's.
        dialect: SQLAlchemy's, with a positional parameter style.
        repairs: What a driver's values of a column's type become.
    """
    text = cast("SQLCompiler", cast("ClauseElement", statement).compile(dialect=dialect))
    names = tuple(text.positiontup or ())
    moments = tuple(at for at, name in enumerate(names) if isinstance(text.binds[name].type, UtcDateTime))
    selected = list(statement.selected_columns) if isinstance(statement, Select) else []
    found = ((at, repairs.get(type(column.type))) for at, column in enumerate(selected))
    fixed = {name: text.binds[name].value for name in names if text.binds[name].value is not None}
    return Compiled(str(text), names, fixed, moments, tuple((at, repair) for at, repair in found if repair))


def moment_to_text(moment: datetime | None) -> str | None:
    """A moment as SQLite stores it; the texts sort as the moments do.

    Raises:
        ValueError: The moment has no time zone.
    """
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise ValueError("a stored moment has a time zone")
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


def moment_from_text(text: str | None) -> datetime | None:
    """A moment that SQLite stored."""
    return None if text is None else datetime.fromisoformat(f"{text}+00:00")


def truth(value: int | None) -> bool | None:
    """SQLite's numbers as truth values; an outer join gives none."""
    return None if value is None else bool(value)


SQLITE_REPAIRS: Final[Mapping[type, Callable[[Any], Any]]] = {UtcDateTime: moment_from_text, Boolean: truth}

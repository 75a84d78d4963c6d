"""What the operator's tools show: tables from what JSON has. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from rich.table import Table

_COLUMNS: Final = ("name", "mode", "owner", "state", "holder", "epoch", "turns", "handles_live", "seen")
_RIGHT: Final = frozenset({"epoch", "turns", "handles_live"})
_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 86400


def listing(rows: Sequence[Mapping[str, Any]], now: datetime) -> Table:
    """Conversations, one a line."""
    table = Table(box=None, pad_edge=False)
    for column in _COLUMNS:
        heading = "live handles" if column == "handles_live" else column
        table.add_column(heading, justify="right" if column in _RIGHT else "left", no_wrap=column == "name")
    for row in rows:
        shown = {**row, "seen": ago(datetime.fromisoformat(row["seen"]), now)}
        shown["mode"] = f"{row['mode']} (test)" if row["test"] else row["mode"]
        table.add_row(*(str(shown[column]) for column in _COLUMNS), style="dim" if row["state"] == "ended" else "")
    return table


def facts(values: Mapping[str, Any], prefix: str = "") -> Table:
    """One thing, a fact a line; what is within it is indented by its name."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in flat(values, prefix):
        table.add_row(name, value)
    return table


def flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Facts by name, those within others as ``ledger.context_tokens``; what is not there is left out."""
    found: list[tuple[str, str]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            found += flat(value, f"{prefix}{name}.")
        elif value not in (None, ""):
            found.append((f"{prefix}{name}".replace("_", " "), "yes" if value is True else _no(value)))
    return found


def ago(moment: datetime, now: datetime) -> str:
    """How long ago something was: ``12 s ago``."""
    seconds = max(0, round((now - moment).total_seconds()))
    for unit, length in (("d", _DAY), ("h", _HOUR), ("min", _MINUTE)):
        if seconds >= length:
            return f"{seconds // length} {unit} ago"
    return f"{seconds} s ago"


def _no(value: object) -> str:
    return "no" if value is False else str(value)

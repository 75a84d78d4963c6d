"""The rotation bench's result as a table, for the terminal and for the documentation."""

from collections.abc import Mapping
from typing import Any, Final

PARTS: Final = ("delayed", "gap", "waiting", "connecting", "setup", "replay", "silence")
"""What is measured of a rotation, in the order of the columns."""


def _ms(spread: Mapping[str, float] | None) -> str:
    return "-" if spread is None else f"{spread['p50']:.0f} / {spread['p99']:.0f}"


_COLUMNS = (
    "at the deadline", "close delay", "rotations", "input delayed", "gap", "close", "connect", "setup", "replay",
    "agent silent", "direct dial", "beyond it", "lost",
)  # fmt: skip


def _cells(row: Mapping[str, Any]) -> list[str]:
    beyond = row["beyond_direct_ms"]
    return [
        row["situation"],
        f"{row['close_delay_ms']:,}",
        str(row["rotations"]),
        *(_ms(row[part]) for part in PARTS),
        _ms(row["direct"]["whole"]),
        "-" if beyond is None else f"{beyond['p50']:+.0f} / {beyond['p99']:+.0f}",
        str(row["frames_lost"]),
    ]


def line(row: Mapping[str, Any]) -> str:
    """One cell, as soon as it is known."""
    told = ", ".join(f"{name} {value}" for name, value in zip(_COLUMNS, _cells(row), strict=True))
    return f"{told}; {row['goal']}; {row['seconds']} s"


def table(report: Mapping[str, Any]) -> str:
    """All cells, as Markdown; milliseconds, p50 / p99."""
    rows = [_COLUMNS, ("---",) * len(_COLUMNS), *(_cells(row) for row in report["cells"])]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)

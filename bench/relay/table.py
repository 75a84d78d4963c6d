"""The result of the relay bench as a table, for the terminal and for the documentation."""

from collections.abc import Mapping
from typing import Any, Final

_COLUMNS: Final = (
    ("cpu_us", "CPU a message, µs", 1),
    ("saturated_cpu_us", "saturated, µs", 1),
    ("store_us", "handle store, µs", 1),
    ("round_trips", "round trips a second", 0),
    ("p50_ms", "p50, ms", 2),
    ("p99_ms", "p99, ms", 2),
    ("idle_kib", "KiB idle", 0),
    ("busy_kib", "KiB busy", 0),
)


def _cell(spread: Mapping[str, float] | None, digits: int) -> str:
    if spread is None or not any(spread.values()):
        return "-"
    median, low, high = (f"{spread[key]:,.{digits}f}" for key in ("median", "min", "max"))
    return median if low == high else f"{median} ({low} to {high})"


def table(report: Mapping[str, Any]) -> str:
    """All contenders as Markdown: medians, with the least and the most; then the ratios."""
    rows = report["contenders"]
    head = ("", *(title for _, title, _ in _COLUMNS))
    lines = [head, ("---",) * len(head)]
    lines += [(name, *(_cell(row.get(key), digits) for key, _, digits in _COLUMNS)) for name, row in rows.items()]
    drawn = "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
    return drawn + "".join(f"\n{ratio}" for ratio in ratios(rows)) + "\n"


def ratios(rows: Mapping[str, Any]) -> list[str]:
    """Filo against each of the others, in CPU a message."""
    own = rows.get("Filo")
    if own is None:
        return []
    return [
        f"Filo / {name}: {own['cpu_us']['median'] / row['cpu_us']['median']:.2f} at the pace of speech, "
        f"{own['saturated_cpu_us']['median'] / row['saturated_cpu_us']['median']:.2f} saturated."
        for name, row in rows.items()
        if name != "Filo" and row["cpu_us"]["median"]
    ]

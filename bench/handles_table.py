"""The result of the handle store's bench: its goals, and the table for the documentation."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

GOALS: Final[Mapping[str, float]] = {"validate": 0.5, "checkpoint": 0.3}
"""At least so much of the echo's rate, on SQLite."""

FLAT: Final = 0.9
"""At least so much of the rate at the fewest rows is left at the most."""

_HEAD: Final = (
    "call",
    "database",
    "conversations",
    "calls/s",
    "server, µs a call",
    "of echo",
    "by processor",
    "of fewest rows",
    "by processor",
    "goals",
)


def verdict(row: Mapping[str, Any]) -> str:
    """Which goals a row has, and whether they are met."""
    goal = GOALS.get(row["operation"]) if row["database"] == "sqlite" else None
    told = [] if goal is None else [f"{'met' if row['of_echo'] >= goal else 'MISSED'}: {goal:g} of echo"]
    if row["of_fewest_rows"] != 1:
        told.append("flat" if row["of_fewest_rows"] >= FLAT else f"NOT FLAT: {FLAT:g}")
    return ", ".join(told)


def table(report: Mapping[str, Any]) -> str:
    """What was measured, as Markdown."""
    echo = report["echo"]
    rows = [("echo", "", "", f"{echo['calls_a_second']:,}", f"{echo['server_cpu_us']:.0f}", "1", "1", "", "", "")]
    rows += [
        (
            row["operation"],
            row["database"],
            f"{row['rows']:,}",
            f"{row['calls_a_second']:,}",
            f"{row['server_cpu_us']:.0f}",
            *(f"{row[name]:.2f}" for name in ("of_echo", "of_echo_by_cpu", "of_fewest_rows", "of_fewest_rows_by_cpu")),
            verdict(row),
        )
        for row in report["results"]
    ]
    return _drawn(_HEAD, rows)


def run(report: Mapping[str, Any]) -> str:
    """What the run was, on which machine, and how busy that was, as Markdown."""
    machine = report["machine"]
    facts = {
        "rounds, of which these are the medians": str(report["rounds"]),
        "calls under way": str(report["calls_under_way"]),
        "durability": ", ".join(sorted({settings["setting"] for settings in report["durability"].values()})),
        "machine": f"{machine['cores']} cores, {machine['system']}, Python {machine['python']}",
        "load of the machine at the end": f"{report['load_at_the_end']:g}",
    }
    return _drawn(("the run", ""), facts.items())


def _drawn(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (head, ("---",) * len(head), *rows))

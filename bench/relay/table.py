"""The result of the relay bench as a table, for the terminal and for the documentation."""

from collections.abc import Iterable, Mapping, Sequence
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
    return _drawn(lines)


def _drawn(lines: Iterable[Sequence[str]]) -> str:
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def rotating(report: Mapping[str, Any]) -> str:
    """What the others feel of rotations, as Markdown."""
    lines: list[Sequence[str]] = [
        ("the others", "rotations a second", "p50, ms", "p99, ms", "least to most"),
        ("---",) * 5,
    ]
    for name, rate in (("calm", 0.0), ("rotating", report["rate"]["median"])):
        p50, p99 = report[f"{name}_p50"], report[f"{name}_p99"]
        lines.append(
            (
                name,
                f"{rate:.0f}",
                f"{p50['median']:.2f}",
                f"{p99['median']:.2f}",
                f"{p99['min']:.2f} to {p99['max']:.2f}",
            )
        )
    return _drawn(lines)


def turning(report: Mapping[str, Any]) -> str:
    """What a turn costs, as Markdown."""
    return _drawn([("CPU a turn, ms", _cell(report["turn_ms"], 2))])


def growing(report: Mapping[str, Any]) -> str:
    """The price of a message among more and more conversations, as Markdown."""
    rows = report["cpu_us"]
    crowds = list(rows["Filo"])
    lines: list[Sequence[str]] = [("CPU a message, µs", *(f"{int(crowd):,}" for crowd in crowds))]
    lines.append(("---",) * len(lines[0]))
    lines += [(name, *(_cell(row[crowd], 1) for crowd in crowds)) for name, row in rows.items()]
    against = (rows["Filo"][crowd]["median"] / rows["bare floor"][crowd]["median"] for crowd in crowds)
    lines.append(("Filo against bare floor", *(f"{ratio:.2f}" for ratio in against)))
    return _drawn(lines)


def soak(report: Mapping[str, Any]) -> str:
    """What a relay does over minutes, as Markdown."""
    lines = ["| minute | memory, MiB | p50, ms | p99, ms |", "| --- | --- | --- | --- |"]
    samples = report["samples"]
    for sample in samples[:: max(1, len(samples) // 8)]:
        cells = (sample["minute"], sample["mib"], sample["p50_ms"], sample["p99_ms"])
        lines.append(f"| {' | '.join(f'{cell:.1f}' for cell in cells)} |")
    return "\n".join(lines) + (
        f"\n\n{report['open']} open, {report['talking']} of them talking, {report['minutes']:g} minutes: "
        f"{len(report['lost'])} lost, {report['unanswered']} messages unanswered, {report['core']:.0%} of a core, "
        f"event-loop lag p50 at most {report['lag_p50_ms']:.0f} ms, p99 at most {report['lag_p99_ms']:.0f} ms.\n"
    )


def ratios(report: Mapping[str, Any]) -> str:
    """Filo against each of the others in CPU a message, as Markdown."""
    rows = report["contenders"]
    lines: list[Sequence[str]] = [("Filo against", "at the pace of speech", "saturated"), ("---",) * 3]
    own = rows.get("Filo", {})
    for name, row in rows.items():
        if own and name != "Filo" and row["cpu_us"]["median"]:
            keys = ("cpu_us", "saturated_cpu_us")
            lines.append((name, *(f"{own[key]['median'] / row[key]['median']:.2f}" for key in keys)))
    return _drawn(lines)

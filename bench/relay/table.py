"""The result of the relay bench as a table, for the terminal and for the documentation."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

_OWN: Final = ("Filo", "Filo on picows")
"""What is compared with the others."""
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


def kept(report: Mapping[str, Any]) -> str:
    """Each talk on each transport as Markdown, KiB a conversation."""
    rows: list[Sequence[str]] = [
        ("relay", "the client", "begun", "voice kept upwards", "voice kept downwards", "all else of talk", "together"),
    ]
    rows.append(("---",) * len(rows[0]))
    for name, talks in report["kept"].items():
        for talk, found in talks.items():
            rest = found["busy"] - found["idle"] - found["up"] - found["down"]
            sizes = (found["idle"], found["up"], found["down"], rest, found["busy"])
            rows.append((name, talk, *(f"{size:,.0f}" for size in sizes)))
    return _drawn(rows)


def rotating(report: Mapping[str, Any]) -> str:
    """What the others feel of rotations, as Markdown."""
    lines: list[Sequence[str]] = [
        ("relay", "rotations a second", "others' p50, ms", "others' p99, ms"),
        ("---",) * 4,
    ]
    for name, loads in report["others"].items():
        for found in loads.values():
            rate = f"{found['rate']['median']:.1f}"
            lines.append((name, rate, _cell(found["p50"], 2), _cell(found["p99"], 2)))
    return _drawn(lines)


def turning(report: Mapping[str, Any]) -> str:
    """What a turn costs, as Markdown."""
    return _drawn([("CPU a turn, ms", _cell(report["turn_ms"], 2))])


def growing(report: Mapping[str, Any]) -> str:
    """The price of a message, and the memory, among more and more conversations, as Markdown."""
    rows = report["cpu_us"]
    crowds = list(rows["Filo"])
    lines: list[Sequence[str]] = [("conversations", *(f"{int(crowd):,}" for crowd in crowds))]
    lines.append(("---",) * len(lines[0]))
    lines += [(f"{name}, CPU a message, µs", *(_cell(row[crowd], 1) for crowd in crowds)) for name, row in rows.items()]
    against = (rows["Filo"][crowd]["median"] / rows["bare floor"][crowd]["median"] for crowd in crowds)
    lines.append(("Filo against bare floor", *(f"{ratio:.2f}" for ratio in against)))
    lines += [
        (f"{name}, MiB of the process", *(_cell(row[crowd], 0) for crowd in crowds))
        for name, row in report["mib"].items()
    ]
    return _drawn(lines)


_SOAK: Final = (
    ("minute", "minute", 1),
    ("mib", "memory, MiB", 0),
    ("kept_mib", "of that voice kept, MiB", 0),
    ("p50_ms", "p50, ms", 0),
    ("p99_ms", "p99, ms", 0),
    ("rotations", "rotations so far", 0),
)


def soak(report: Mapping[str, Any]) -> str:
    """What a relay does over minutes, as Markdown."""
    samples = report["samples"]
    columns = [column for column in _SOAK if column[0] in samples[0]]
    lines: list[Sequence[str]] = [[title for _, title, _ in columns], ["---"] * len(columns)]
    lines += [
        [f"{sample[key]:,.{digits}f}" for key, _, digits in columns] for sample in samples[:: max(1, len(samples) // 8)]
    ]
    return _drawn(lines)


def soak_run(report: Mapping[str, Any]) -> str:
    """What was held, and what came of it, as Markdown."""
    cells = {
        "open": f"{report['open']:,}",
        "talking": f"{report['talking']:,}",
        "minutes": f"{report['minutes']:g}",
        "replaced after, s": f"{report['age_seconds']:g}",
        "rotations": f"{report['rotations']:,.0f}",
        "lost": f"{len(report['lost']):,}",
        "unanswered messages": f"{report['unanswered']:,}",
        "of a core": f"{report['core']:.0%}",
        "event-loop lag, ms, p50 / p99 below": f"{report['lag_p50_ms']:.0f} / {report['lag_p99_ms']:.0f}",
    }
    return _drawn([tuple(cells), ("---",) * len(cells), tuple(cells.values())])


def ratios(report: Mapping[str, Any]) -> str:
    """Filo, on each of its transports, against each of the others in CPU a message, as Markdown."""
    rows = report["contenders"]
    own = [name for name in _OWN if name in rows]
    keys = (("cpu_us", "at the pace of speech"), ("saturated_cpu_us", "saturated"))
    titles = [f"{name}, {title}" for name in own for _, title in keys]
    lines: list[Sequence[str]] = [("against", *titles), ("---",) * (1 + len(titles))]
    for name, row in rows.items():
        if own and name not in _OWN and row["cpu_us"]["median"]:
            found = (rows[ours][key]["median"] / row[key]["median"] for ours in own for key, _ in keys)
            lines.append((name, *(f"{ratio:.2f}" for ratio in found)))
    return _drawn(lines)

"""``make bench-handles``: the handle store beside grpc.aio's own no-op echo, in one run.

Every server is a process of its own, and so is this client; they share the machine's cores. A round measures every
operation on every server once, one after the other, so that whatever else the machine does falls on all alike; the
medians of the rounds are shown. Rates come from what the client gets; the processor time for each call is the server's
alone, and tells what a faster client would get.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import uvloop
from rich.console import Console
from rich.table import Column, Table

from bench import databases, load
from bench.databases import Database
from bench.handles_table import verdict
from bench.load import Client, Held, Round
from bench.processes import Server, started

RESULTS: Final = Path(__file__).parent / "results" / "handles.json"
SAMPLE: Final = 1024
"""Conversations that are asked for; the rest is weight."""

OPERATIONS: Final = ("validate", "attach", "checkpoint")
"""What is measured of the handle store."""

Report = dict[str, Any]
"""What is written to `RESULTS`, or a part of it."""


class Case(NamedTuple):
    """One database at one size: ``sqlite``, 1000."""

    database: str
    rows: int


Measured = dict[tuple[Case | None, str], list[Round]]
"""Every round, by server (None is the echo) and operation."""


@dataclass(frozen=True)
class Subject:
    """A server that is measured, with a connection and the conversations to ask for."""

    server: Server
    client: Client
    sample: Sequence[Held]


@asynccontextmanager
async def _handles(database: Database) -> AsyncIterator[Server]:
    environ = {
        "FILO_HANDLES_ADDRESS": "127.0.0.1:0",
        "FILO_HANDLES_METRICS_ADDRESS": "127.0.0.1:0",
        "FILO_LOG_LEVEL": "WARNING",
        **database.environ,
    }
    async with started([sys.executable, "-m", "services.cli.main", "handles"], environ) as server:
        yield server


async def _prepare(database: Database, rows: int) -> list[Held]:
    """Store the sample through the service, and the weight beside it."""
    began = time.perf_counter()
    async with _handles(database) as server, load.connected(server) as client:
        sample = await load.create(client, min(SAMPLE, rows))
    if rows > len(sample):
        await database.fill(rows - len(sample), sample[0].name.removeprefix("conversations/"))
    print(f"{database.name}: {rows:,} conversations in {time.perf_counter() - began:.0f} s", file=sys.stderr)
    return sample


async def run(cases: Sequence[Case], rounds: int, seconds: float) -> Report:
    """Measure everything; the result is what is written to `RESULTS`."""
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="filo-bench-")))
        subjects: dict[Case, Subject] = {}
        durability: dict[str, Mapping[str, str]] = {}
        for case in cases:
            database = await stack.enter_async_context(databases.opened(case.database, directory / f"{case.rows}"))
            sample = await _prepare(database, case.rows)
            server = await stack.enter_async_context(_handles(database))
            client = await stack.enter_async_context(load.connected(server))
            subjects[case] = Subject(server, client, sample)
            durability[case.database] = await database.durability()
        server = await stack.enter_async_context(started([sys.executable, "-m", "bench.echo"], {}))
        client = await stack.enter_async_context(load.connected(server))
        echo = Subject(server, client, next(iter(subjects.values())).sample)
        measured = await _rounds(echo, subjects, rounds, seconds)
    return _report(measured, durability, rounds, seconds)


async def _rounds(echo: Subject, subjects: Mapping[Case, Subject], rounds: int, seconds: float) -> Measured:
    """Measure everything in every round, the echo before each operation of the others."""
    measured: Measured = {}
    for number in range(rounds + 1):
        for name in OPERATIONS:
            plan: list[tuple[Case | None, Subject, str]] = [(None, echo, load.ECHO)]
            plan += [(case, subject, name) for case, subject in subjects.items()]
            for case, subject, operation in plan:
                result = await load.measure(subject.server, subject.client, operation, subject.sample, seconds)
                if number:  # the first round is to get warm
                    measured.setdefault((case, name), []).append(result)
    return measured


def _report(measured: Measured, durability: Mapping[str, Mapping[str, str]], rounds: int, seconds: float) -> Report:
    echoes = [one for (case, _), found in measured.items() if case is None for one in found]
    return {
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.system()},
        "load_at_the_end": round(os.getloadavg()[0], 1),
        "rounds": rounds,
        "seconds": seconds,
        "calls_under_way": load.WORKERS,
        "echo": _median(echoes),
        "durability": {name: dict(values) for name, values in durability.items()},
        "results": [_row(case, name, measured) for case, name in measured if case is not None],
    }


def _row(case: Case, name: str, measured: Measured) -> Report:
    """One operation on one server: medians, and medians of what it was beside others in the same round."""
    found, echo = measured[case, name], measured[None, name]
    fewest = min(other.rows for other, _ in measured if other is not None and other.database == case.database)
    base = measured[Case(case.database, fewest), name]
    return {
        "operation": name,
        "database": case.database,
        "rows": case.rows,
        **_median(found),
        "of_echo": _ratio([one.rate for one in found], [one.rate for one in echo]),
        "of_echo_by_cpu": _ratio([one.cpu for one in echo], [one.cpu for one in found]),
        "of_fewest_rows": _ratio([one.rate for one in found], [one.rate for one in base]),
        "of_fewest_rows_by_cpu": _ratio([one.cpu for one in base], [one.cpu for one in found]),
    }


def _median(found: Sequence[Round]) -> Report:
    return {
        "calls_a_second": round(statistics.median(one.rate for one in found)),
        "server_cpu_us": round(statistics.median(one.cpu for one in found), 1),
    }


def _ratio(values: Sequence[float], base: Sequence[float]) -> float:
    """The median of the ratios of the rounds: what slows down a whole round cancels out."""
    return round(statistics.median(value / other for value, other in zip(values, base, strict=True)), 3)


def show(report: Report, console: Console) -> None:
    """Print a report."""
    table = Table(*(Column(name, justify=justify) for name, justify in _COLUMNS))
    echo = report["echo"]
    table.add_row("echo", "", "", f"{echo['calls_a_second']:,}", f"{echo['server_cpu_us']:.0f}")
    for row in report["results"]:
        table.add_row(
            row["operation"],
            row["database"],
            f"{row['rows']:,}",
            f"{row['calls_a_second']:,}",
            f"{row['server_cpu_us']:.0f}",
            *(f"{row[name]:.2f}" for name in ("of_echo", "of_echo_by_cpu", "of_fewest_rows", "of_fewest_rows_by_cpu")),
            verdict(row),
        )
    console.print(table)
    for name, settings in report["durability"].items():
        console.print(f"durability of {name}: " + ", ".join(f"{key} = {value}" for key, value in settings.items()))


_COLUMNS: Final[Sequence[tuple[str, Literal["left", "right"]]]] = (
    ("operation", "left"),
    ("database", "left"),
    ("rows", "right"),
    ("calls/s", "right"),
    ("server us/call", "right"),
    ("of echo", "right"),
    ("by cpu", "right"),
    ("of fewest rows", "right"),
    ("by cpu", "right"),
    ("goals", "left"),
)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default="1000,1000000", help="sizes, for example 1000,1000000")
    parser.add_argument("--databases", default=",".join(databases.OPEN), help="which, for example sqlite")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=0.25, help="for one operation in one round")
    parser.add_argument("--write", type=Path, default=RESULTS, help="where the result goes, as JSON")
    given = parser.parse_args()
    cases = [Case(name, int(rows)) for name in given.databases.split(",") for rows in given.rows.split(",")]
    report = uvloop.run(run(cases, given.rounds, given.seconds))
    show(report, Console(width=140))
    given.write.parent.mkdir(parents=True, exist_ok=True)
    given.write.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

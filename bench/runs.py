"""Many runs at once in one simulator process: do they all pass, and what does a run cost?

Real time on purpose: what a run does in a second of conversation is done in a second. The services run beside
it on the same machine and are not counted.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

from filo.simulator.v1 import simulator_pb2 as pb
from filo.simulator.v1 import simulator_pb2_grpc as rpc
from services.cli import ownstack
from services.cli.screen import Screen
from services.cli.stack import Choices
from services.cli.suite import Conductor, is_good
from services.common import grpc_client
from services.simulator import persona
from services.simulator.suite import Planned, Stack, Suite

RESULTS: Final = Path(__file__).parent / "results" / "runs.json"
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_WHO: Final = ("enthusiastic", "skeptical", "price-sensitive", "talkative")
"""Personas without long silences."""


_PATIENCE: Final = {"longest_gap_ms": 1e9, "longest_silence_s": 1e9}
"""How long a gap is when two hundred conversations share two cores is told, and says nothing of what was kept."""


class Usage(NamedTuple):
    """What a process has used so far: seconds of processor, bytes of memory."""

    cpu: float
    memory: int

    @classmethod
    def of(cls, pid: int) -> "Usage":
        """Read it of the kernel (proc(5))."""
        fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
        pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
        return cls((int(fields[11]) + int(fields[12])) / _TICKS, pages * _PAGE)


def planned(runs: int, turns: int) -> Suite:
    """So many runs, each with another seed."""
    who = [name for name in _WHO if name in persona.shipped()]
    specs = [
        pb.RunSpec(persona=who[at % len(who)], seed=at, turns=turns, title=f"run {at}", thresholds=_PATIENCE)
        for at in range(runs)
    ]
    stack = Stack(connection_lifetime=30.0, goaway_lead=8.0, speed=1.0)
    return Suite("bench", stack, tuple(Planned(spec.title, spec) for spec in specs))


async def measure(suite: Suite, screen: Screen) -> tuple[pb.SuiteResult, Usage, Usage, float]:
    """Run them all at once; what the simulator used before and after, and how long it took."""
    with tempfile.TemporaryDirectory(prefix="filo-bench-") as scratch:
        choices = Choices(data_dir=Path(scratch), connection_lifetime=30.0, goaway_lead=8.0, speed=1.0)
        async with (
            ownstack.running(choices, os.environ, Path(scratch) / "logs", screen.say) as own,
            grpc_client.channel(own.simulator, "simulator") as channel,
        ):
            pid = own.supervisor.pid("simulator")
            before, began = Usage.of(pid), time.monotonic()
            conductor = Conductor(rpc.SimulatorServiceStub(channel), suite, len(suite.runs), screen)
            result = await own.supervisor.guard(conductor.perform())
            return result, before, Usage.of(pid), time.monotonic() - began


def rows(result: pb.SuiteResult, before: Usage, after: Usage, seconds: float) -> list[tuple[str, str]]:
    """What was found, as rows of a table."""
    runs = [run.run for run in result.runs if not run.error]
    good = sum(is_good(run) for run in result.runs)
    turns = sum(run.turns_completed for run in runs)
    cuts = sum(len(run.report.rotations) for run in runs)
    frames = sum(run.report.audio.frames_sent for run in runs)
    lost = sum(run.report.audio.frames_lost + run.report.audio.frames_doubled for run in runs)
    gaps = sorted(mark.gap_ms for run in runs for mark in run.report.rotations) or [0]
    talked = sum(run.report.conversation_seconds for run in runs)
    cpu = after.cpu - before.cpu
    return [
        ("runs at once, in one simulator process", f"{len(result.runs)}, {good} passed, in {seconds:.0f} s"),
        ("turns, rotations under them", f"{turns:,} and {cuts:,}"),
        ("gap of a rotation, median and longest", f"{median(gaps):,.0f} and {gaps[-1]:,} ms"),
        ("spoken frames, of these lost or doubled", f"{frames:,} and {lost:,}"),
        ("processor, all runs", f"{cpu:.1f} s: {cpu / seconds:.0%} of one core"),
        ("processor, a run", f"{cpu / max(1, len(runs)) * 1000:.0f} ms"),
        ("processor, a second of conversation", f"{cpu / max(1.0, talked) * 1000:.2f} ms"),
        ("memory before and after", f"{before.memory / 2**20:.0f} and {after.memory / 2**20:.0f} MiB"),
        ("load of the machine meanwhile (2 cores)", f"{os.getloadavg()[0]:.1f}"),
        ("when", f"{datetime.now(UTC):%Y-%m-%d}"),
    ]


def main(arguments: Sequence[str]) -> int:
    """Measure, print, and keep the result; the exit code is 1 when a run did not pass."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--turns", type=int, default=4)
    given = parser.parse_args(arguments)
    suite = planned(given.runs, given.turns)
    result, before, after, seconds = asyncio.run(measure(suite, Screen()))
    found = rows(result, before, after, seconds)
    for name, value in found:
        print(f"{name:<45} {value}")
    RESULTS.write_text(json.dumps({"rows": found}, indent=2) + "\n", encoding="utf-8")
    return 0 if result.passed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""What a relayed audio message costs.

The load and Gemini's stand-in share one process on the second core; each contender is a process of its own on the
first one. All of them run all the time, one is used at a time, in turns, and every round starts with another one.
Clients come without TLS, as behind an ingress; Gemini is reached with it, as in life. The TCP proxy passes TLS through
unread.
"""

import argparse
import asyncio
import gc
import json
import os
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import uvloop
from picows import ws_create_server

from bench.relay import keeping, measure
from bench.relay.caller import called
from bench.relay.contenders import CONTENDERS, LOAD_CORE, Contender, Upstream, ready
from bench.relay.gemini import Gemini
from bench.relay.table import kept, ratios, table
from services.emulator import tls

RESULTS: Final = Path(__file__).parents[1] / "results" / "relay.json"

_TALKED: Final = 15.0
"""Seconds of speech after which a busy conversation's memory is looked at: three turns, so that it grows no more."""


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, least and most."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


async def _round(contender: Contender, seconds: float) -> dict[str, float]:
    callers = await called(contender, measure.CONVERSATIONS)
    try:
        await measure.at_pace(contender, callers, 0.5)  # warm
        found = await measure.at_pace(contender, callers, seconds)
        trips, pressed = await measure.saturated(contender, callers, seconds)
    finally:
        for caller in callers:
            caller.close()
    await asyncio.sleep(0.5)
    return {
        "cpu_us": found.cpu_us,
        "store_us": found.beside_us,
        "p50_ms": found.p50_ms,
        "p99_ms": found.p99_ms,
        "round_trips": trips,
        "saturated_cpu_us": pressed,
    }


async def gemini(stack: ExitStack, kind: type[Gemini] = Gemini) -> Upstream:
    """Gemini's stand-in, in this process, on the second core; `kind` is how its connections are."""
    os.sched_setaffinity(0, {int(LOAD_CORE)})
    certificates = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    secure = tls.server_context(certificates, "127.0.0.1", datetime.now(UTC))
    server = await ws_create_server(lambda _request: kind(), "127.0.0.1", 0, ssl=secure)
    stack.callback(server.close)
    return Upstream(f"wss://127.0.0.1:{server.sockets[0].getsockname()[1]}", certificates / tls.CA_FILE)


Found = dict[str, dict[str, list[float]]]
"""Measurements by contender and by what was measured."""


async def _measure(contenders: list[Contender], wanted: argparse.Namespace) -> Found:
    found: Found = defaultdict(lambda: defaultdict(list))
    gc.collect()
    gc.freeze()
    for contender in contenders if wanted.memory else ():
        idle, busy = await measure.memory(contender, wanted.memory, _TALKED)
        found[contender.name] |= {"idle_kib": [idle], "busy_kib": [busy]}
    for number in range(wanted.rounds):
        first = number % len(contenders)
        for contender in contenders[first:] + contenders[:first]:
            row = found[contender.name]
            for key, value in (await _round(contender, wanted.seconds)).items():
                row[key].append(value)
            print(f"round {number + 1}: {contender.name}: {row['cpu_us'][-1]:.1f} us a message", flush=True)
    return found


async def _kept(upstream: Upstream, wanted: argparse.Namespace) -> dict[str, dict[str, dict[str, float]]]:
    """What a conversation keeps, by relay and by how its client talks."""
    found: dict[str, dict[str, dict[str, float]]] = defaultdict(dict)
    for name in wanted.only.split(",") if wanted.memory else ():
        for talk, how in keeping.TALKS.items() if name in keeping.TELLING else ():
            title, start = keeping.TELLING[name]
            found[title][talk] = await keeping.kept(start, upstream, how, wanted.memory)
            print(f"{title}, {talk}: {found[title][talk]['busy']:.0f} KiB", flush=True)
    return found


async def bench(wanted: argparse.Namespace) -> dict[str, Any]:
    """Measure what is wanted; gives the report."""
    with ExitStack() as stack:
        keeps = await _kept(await gemini(stack, keeping.Polite), wanted)
        upstream = await gemini(stack)
        async with ready(wanted.only.split(",") if wanted.rounds else (), upstream) as contenders:
            found = await _measure(contenders, wanted)
    return {
        "rounds": wanted.rounds,
        "seconds": wanted.seconds,
        "conversations": measure.CONVERSATIONS,
        "memory_conversations": wanted.memory,
        "load_average": os.getloadavg()[0],
        "kept": keeps,
        "contenders": {name: {key: spread(values) for key, values in row.items()} for name, row in found.items()},
    }


def main() -> None:
    """Measure, print the table, write the result."""
    parser = argparse.ArgumentParser(description=__doc__, prog="bench.relay")
    parser.add_argument("--only", default=",".join(CONTENDERS), help="which, for example Filo,floor")
    parser.add_argument("--rounds", type=int, default=5, help="0 for what is kept alone")
    parser.add_argument("--seconds", type=float, default=4.0, help="for each measurement")
    parser.add_argument("--memory", type=int, default=80, help="conversations whose memory is measured; 0 for none")
    parser.add_argument("--write", type=Path, default=RESULTS, help="where the result goes, as JSON")
    wanted = parser.parse_args()
    report = uvloop.run(bench(wanted))
    wanted.write.parent.mkdir(parents=True, exist_ok=True)
    wanted.write.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(table(report), ratios(report), kept(report), sep="\n")


if __name__ == "__main__":
    main()

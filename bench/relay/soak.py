"""Many open conversations for minutes: no error, memory that stays, and how long the loop makes anybody wait."""

import argparse
import asyncio
import json
import os
import re
import time
import urllib.request
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any, Final

import uvloop

from bench.relay import measure, table
from bench.relay.__main__ import gemini
from bench.relay.caller import Caller, called, paced
from bench.relay.contenders import filo

RESULTS: Final = Path(__file__).parents[1] / "results" / "relay-soak.json"
_LAG: Final = re.compile(r'filo_event_loop_lag_seconds_bucket\{.*?le="([^"]+)".*?\} ([0-9.e+]+)')


def lag_quantile(before: dict[float, float], after: dict[float, float], share: float) -> float:
    """The upper bound of the bucket in which this share of the lags ends, milliseconds."""
    counts = {bound: after[bound] - before.get(bound, 0.0) for bound in after}
    total = max(counts.values(), default=0.0)
    return min((bound for bound, count in counts.items() if count >= share * total), default=float("inf")) * 1e3


def _lags(metrics: str) -> dict[float, float]:
    with urllib.request.urlopen(f"http://{metrics}/metrics", timeout=10) as answer:
        return {float(bound): float(count) for bound, count in _LAG.findall(answer.read().decode())}


async def bench(wanted: argparse.Namespace) -> dict[str, Any]:
    """Open, talk, look; gives the report."""
    samples: list[dict[str, float]] = []
    with ExitStack() as outer:
        upstream = await gemini(outer)
        async with AsyncExitStack() as stack:
            relay = await filo(stack, upstream, FILO_RELAY_CONVERSATIONS=str(wanted.open + 10))
            if relay.process is None or relay.metrics is None:
                raise RuntimeError("the relay is a process")
            idle = await called(relay, wanted.open - wanted.talking)
            talking = await called(relay, wanted.talking)
            await _talk(talking, 60.0)
            before, began = await asyncio.to_thread(_lags, relay.metrics), time.monotonic()
            cpu = relay.process.cpu()
            while time.monotonic() - began < wanted.minutes * 60:
                for caller in talking:
                    del caller.took[:]
                await _talk(talking, 30.0)
                took = [value for caller in talking for value in caller.took]
                sample = {
                    "minute": (time.monotonic() - began) / 60,
                    "mib": relay.process.memory() / 2**20,
                    "p50_ms": measure.quantile(took, 0.5) * 1e3,
                    "p99_ms": measure.quantile(took, 0.99) * 1e3,
                }
                samples.append(sample)
                print(", ".join(f"{name} {value:.1f}" for name, value in sample.items()), flush=True)
            spent = (relay.process.cpu() - cpu) / (time.monotonic() - began)
            lags = await asyncio.to_thread(_lags, relay.metrics)
            lost = [caller.lost for caller in (*idle, *talking) if caller.lost]
            unanswered = sum(caller.under_way for caller in talking)
    return {
        "open": wanted.open,
        "talking": wanted.talking,
        "minutes": wanted.minutes,
        "lost": lost,
        "unanswered": unanswered,
        "core": spent,
        "lag_p50_ms": lag_quantile(before, lags, 0.5),
        "lag_p99_ms": lag_quantile(before, lags, 0.99),
        "load_average": os.getloadavg()[0],
        "samples": samples,
    }


async def _talk(callers: list[Caller], seconds: float) -> None:
    await paced(callers, seconds)
    await asyncio.sleep(0.5)


def main() -> None:
    """Run, print, write; exit code 1 where a conversation was lost."""
    parser = argparse.ArgumentParser(description=__doc__, prog="bench.relay.soak")
    parser.add_argument("--open", type=int, default=1000)
    parser.add_argument("--talking", type=int, default=300)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--write", type=Path, default=RESULTS)
    wanted = parser.parse_args()
    report = uvloop.run(bench(wanted))
    wanted.write.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(table.soak(report))
    raise SystemExit(1 if report["lost"] else 0)


if __name__ == "__main__":
    main()

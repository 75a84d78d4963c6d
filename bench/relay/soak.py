"""Many open conversations for minutes: nobody lost, memory that stays, and how long the loop makes anybody wait.

They are opened one after another and grow old one after another, but each is replaced before the soak is over; idle
ones too. A relay that has more to do than it can answers late, and loses nobody.
"""

import argparse
import asyncio
import json
import os
import time
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any, Final

import uvloop

from bench.relay import measure, table
from bench.relay.__main__ import gemini
from bench.relay.caller import Caller, called, paced
from bench.relay.contenders import Contender, filo
from bench.relay.told import Told, lag_quantile

RESULTS: Final = Path(__file__).parents[1] / "results" / "relay-soak.json"
_PATIENCE: Final = 20.0
"""Seconds in which the last messages must be answered."""


async def bench(wanted: argparse.Namespace) -> dict[str, Any]:
    """Open, talk, look; gives the report."""
    samples: list[dict[str, float]] = []
    settings = {
        "FILO_RELAY_CONVERSATIONS": str(wanted.open + 10),
        "FILO_RELAY_MAX_AGE": f"{wanted.age:g}s",
        "FILO_RELAY_AGE_PATIENCE": f"{min(60.0, wanted.age / 9):g}s",
    }
    with ExitStack() as outer:
        upstream = await gemini(outer)
        async with AsyncExitStack() as stack:
            relay = await filo(stack, upstream, **settings)
            if relay.process is None or relay.metrics is None:
                raise RuntimeError("the relay is a process")
            opened = time.monotonic()
            idle = await called(relay, wanted.open - wanted.talking)
            talking = await called(relay, wanted.talking)
            opened = time.monotonic() - opened
            print(f"{wanted.open} conversations opened in {opened:.0f} s", flush=True)
            await _talk(talking, min(60.0, wanted.minutes * 20))
            before, began = await asyncio.to_thread(Told, relay.metrics), time.monotonic()
            cpu = relay.process.cpu()
            while time.monotonic() - began < wanted.minutes * 60:
                for caller in talking:
                    del caller.took[:]
                await _talk(talking, min(30.0, wanted.minutes * 15))
                samples.append(await _sample(relay, talking, time.monotonic() - began))
                gone = sum(caller.lost is not None for caller in (*idle, *talking))
                print(*(f"{name} {value:.1f}," for name, value in samples[-1].items()), f"lost {gone}", flush=True)
            spent = (relay.process.cpu() - cpu) / (time.monotonic() - began)
            after = await asyncio.to_thread(Told, relay.metrics)
            unanswered = await _answered(talking)
            lost = [caller.lost for caller in (*idle, *talking) if caller.lost]
    return {
        "open": wanted.open,
        "talking": wanted.talking,
        "minutes": wanted.minutes,
        "age_seconds": wanted.age,
        "opened_seconds": opened,
        "lost": lost,
        "unanswered": unanswered,
        "rotations": after.sum("filo_relay_rotations_total"),
        "late_dials": after.sum("filo_relay_upstream_dials_total", 'outcome="late"'),
        "core": spent,
        "lag_p50_ms": lag_quantile(before.lags(), after.lags(), 0.5),
        "lag_p99_ms": lag_quantile(before.lags(), after.lags(), 0.99),
        "load_average": os.getloadavg()[0],
        "samples": samples,
    }


async def _sample(relay: Contender, talking: list[Caller], seconds: float) -> dict[str, float]:
    """How it goes."""
    told = await asyncio.to_thread(Told, relay.metrics or "")
    took = [value for caller in talking for value in caller.took] or [float("inf")]
    return {
        "minute": seconds / 60,
        "mib": (relay.process.memory() if relay.process else 0) / 2**20,
        "kept_mib": (told.sum("filo_relay_replay_bytes") + told.sum("filo_relay_outbox_bytes")) / 2**20,
        "p50_ms": measure.quantile(took, 0.5) * 1e3,
        "p99_ms": measure.quantile(took, 0.99) * 1e3,
        "rotations": told.sum("filo_relay_rotations_total"),
        "dials_waiting": told.sum("filo_relay_dials_waiting"),
    }


async def _answered(talking: list[Caller]) -> int:
    """Give what is under way some time; gives how many messages were not answered."""
    waited = time.monotonic()
    while time.monotonic() - waited < _PATIENCE and any(caller.under_way for caller in talking):  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    return sum(caller.under_way for caller in talking)


async def _talk(callers: list[Caller], seconds: float) -> None:
    await paced(callers, seconds)
    await asyncio.sleep(0.5)


def main() -> None:
    """Run, print, write; exit code 1 where a conversation was lost."""
    parser = argparse.ArgumentParser(description=__doc__, prog="bench.relay.soak")
    parser.add_argument("--open", type=int, default=1000)
    parser.add_argument("--talking", type=int, default=300)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--age", type=float, default=540.0, help="seconds after which a connection is replaced")
    parser.add_argument("--write", type=Path, default=RESULTS)
    wanted = parser.parse_args()
    report = uvloop.run(bench(wanted))
    wanted.write.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(table.soak(report), table.soak_run(report), sep="\n")
    raise SystemExit(1 if report["lost"] else 0)


if __name__ == "__main__":
    main()

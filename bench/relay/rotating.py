"""Whether rotations in some conversations are felt in the others.

Forty conversations talk at the pace of speech. In the second half of each round four of them lose their connection to
Gemini over and over, each a few times a second: as many rotations as tens of thousands of conversations have. What is
timed is the others.
"""

import argparse
import asyncio
import json
import os
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any, Final

import uvloop

from bench.relay import measure, table
from bench.relay.__main__ import gemini, spread
from bench.relay.caller import Caller, called, paced
from bench.relay.contenders import RESTLESS, Contender, filo
from bench.relay.gemini import Gemini

RESULTS: Final = Path(__file__).parents[1] / "results" / "relay-rotating.json"
_SHARE: Final = 10
"""One in so many is restless."""


async def _quantiles(callers: list[Caller], timed: list[Caller], seconds: float) -> tuple[float, float]:
    for caller in callers:
        del caller.took[:]
    await paced(callers, seconds)
    took = [value for caller in timed for value in caller.took]
    return measure.quantile(took, 0.5) * 1e3, measure.quantile(took, 0.99) * 1e3


async def bench(rounds: int, seconds: float) -> dict[str, Any]:
    """Measure in turns; gives the report."""
    found: dict[str, list[float]] = {
        key: [] for key in ("calm_p50", "calm_p99", "rotating_p50", "rotating_p99", "rate")
    }
    with ExitStack() as outer:
        upstream = await gemini(outer)
        async with AsyncExitStack() as stack:
            settings = {
                "FILO_RELAY_STABLE_AFTER": "100ms",
                "FILO_RELAY_MAX_AGE": "0",
                "FILO_RELAY_DIALS_A_SECOND": "1000",
            }
            relay = await filo(stack, upstream, **settings)
            steady = await called(relay, measure.CONVERSATIONS * (_SHARE - 1) // _SHARE)
            restless = await called(Contender(relay.name, relay.process, lambda: relay.url(RESTLESS)), 4)
            callers = [*steady, *restless]
            await paced(callers, 1.0)
            for _ in range(rounds):
                for rotating in (False, True):
                    Gemini.restless_after, before = (10 if rotating else None), Gemini.departures
                    p50, p99 = await _quantiles(callers, steady, seconds)
                    name = "rotating" if rotating else "calm"
                    found[f"{name}_p50"].append(p50)
                    found[f"{name}_p99"].append(p99)
                    if rotating:
                        found["rate"].append((Gemini.departures - before) / seconds)
                    Gemini.restless_after = None
                    await asyncio.sleep(1.0)
            lost = [caller.lost for caller in callers if caller.lost]
    return {
        "rounds": rounds,
        "seconds": seconds,
        "conversations": len(callers),
        "restless": len(restless),
        "lost": lost,
        "load_average": os.getloadavg()[0],
        **{key: spread(values) for key, values in found.items()},
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, prog="bench.relay.rotating")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--write", type=Path, default=RESULTS)
    wanted = parser.parse_args()
    report = uvloop.run(bench(wanted.rounds, wanted.seconds))
    wanted.write.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(table.rotating(report))


if __name__ == "__main__":
    main()

"""How the price of a message grows with the number of conversations that share a relay.

Ten, a hundred and a thousand conversations have the same number of messages a second between them, so that nothing but
their number differs; the bare floor has the same to do beside it.
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
from bench.relay.caller import called
from bench.relay.contenders import CONTENDERS, Contender, filo

RESULTS: Final = Path(__file__).parents[1] / "results" / "relay-growing.json"
CROWDS: Final = (10, 100, 1_000)
"""Conversations."""
_LEFT: Final = 3.0
"""Seconds in which the conversations of a round are given back before the next one."""
RATE: Final = 2_000.0
"""Messages of all clients a second: what forty send that talk."""


async def _price(contender: Contender, crowd: int, seconds: float) -> float:
    """Microseconds of processor time for a message, among so many conversations."""
    callers = await called(contender, crowd)
    try:
        await measure.at_pace(contender, callers, 1.0, RATE)  # warm
        return (await measure.at_pace(contender, callers, seconds, RATE)).cpu_us
    finally:
        for caller in callers:
            caller.close()
        await asyncio.sleep(_LEFT)


async def bench(rounds: int, seconds: float) -> dict[str, Any]:
    """Measure in turns; gives the report."""
    found: dict[str, dict[int, list[float]]] = {}
    with ExitStack() as outer:
        upstream = await gemini(outer)
        async with AsyncExitStack() as stack:
            settings = {"FILO_RELAY_CONVERSATIONS": str(2 * max(CROWDS)), "FILO_RELAY_GRACE": "100ms"}
            contenders = (
                await filo(stack, upstream, **settings),
                await CONTENDERS["floor"](stack, upstream),
            )
            for number in range(rounds):
                for crowd in CROWDS:
                    for contender in contenders:
                        row = found.setdefault(contender.name, {}).setdefault(crowd, [])
                        row.append(await _price(contender, crowd, seconds))
                        print(f"round {number + 1}: {contender.name}, {crowd}: {row[-1]:.1f} us a message", flush=True)
    return {
        "rounds": rounds,
        "seconds": seconds,
        "messages_a_second": 2 * RATE,
        "load_average": os.getloadavg()[0],
        "cpu_us": {name: {str(crowd): spread(row) for crowd, row in rows.items()} for name, rows in found.items()},
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, prog="bench.relay.growing")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--write", type=Path, default=RESULTS)
    wanted = parser.parse_args()
    report = uvloop.run(bench(wanted.rounds, wanted.seconds))
    wanted.write.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(table.growing(report))


if __name__ == "__main__":
    main()

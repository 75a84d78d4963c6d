"""How the price of a message grows with the number of conversations that share a relay.

Ten, a hundred and a thousand conversations have the same number of messages a second between them, so that nothing but
their number differs; the bare floor has the same to do beside it. How much memory the process has with so many is
looked at as well; what a crowd before it has used and given back is used again.
"""

import argparse
import asyncio
import json
import os
import re
import urllib.request
from collections.abc import Sequence
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
_LEFT: Final = 60.0
"""Seconds in which the conversations of a round must be given back before the next one."""
_HELD: Final = re.compile(r"^filo_relay_conversations\{.*?\} ([0-9.e+]+)$", re.MULTILINE)
RATE: Final = 2_000.0
"""Messages of all clients a second: what forty send that talk."""


async def _price(contender: Contender, crowd: int, seconds: float) -> tuple[float, float]:
    """Among so many conversations: microseconds of processor time for a message, and MiB of the process."""
    callers = await called(contender, crowd)
    try:
        await measure.at_pace(contender, callers, 1.0, RATE)  # warm
        price = (await measure.at_pace(contender, callers, seconds, RATE)).cpu_us
        return price, (contender.process.memory() if contender.process else 0) / 2**20
    finally:
        for caller in callers:
            caller.close()
        await _given_back(contender)


async def _given_back(contender: Contender) -> None:
    """Wait until no conversation is held any more.

    Raises:
        TimeoutError: Some are.
    """
    await asyncio.sleep(1.0)  # the bare floor holds nothing, and tells nothing
    async with asyncio.timeout(_LEFT):
        while contender.metrics is not None and await asyncio.to_thread(_held, contender.metrics) > 0:  # noqa: ASYNC110
            await asyncio.sleep(0.5)


def _held(metrics: str) -> float:
    with urllib.request.urlopen(f"http://{metrics}/metrics", timeout=30) as answer:
        return sum(float(found) for found in _HELD.findall(answer.read().decode()))


async def bench(rounds: int, seconds: float, crowds: Sequence[int] = CROWDS) -> dict[str, Any]:
    """Measure in turns; gives the report."""
    found: dict[str, dict[int, list[tuple[float, float]]]] = {}
    with ExitStack() as outer:
        upstream = await gemini(outer)
        async with AsyncExitStack() as stack:
            settings = {"FILO_RELAY_CONVERSATIONS": str(max(crowds) + 10), "FILO_RELAY_GRACE": "100ms"}
            contenders = (
                await filo(stack, upstream, **settings),
                await CONTENDERS["floor"](stack, upstream),
            )
            for number in range(rounds):
                for crowd in crowds:
                    for contender in contenders:
                        row = found.setdefault(contender.name, {}).setdefault(crowd, [])
                        row.append(await _price(contender, crowd, seconds))
                        price, mib = row[-1]
                        print(f"{number + 1}: {contender.name}, {crowd}: {price:.1f} us, {mib:.0f} MiB", flush=True)
    return {
        "rounds": rounds,
        "seconds": seconds,
        "messages_a_second": 2 * RATE,
        "load_average": os.getloadavg()[0],
        "cpu_us": _spread(found, 0),
        "mib": _spread(found, 1),
    }


def _spread(
    found: dict[str, dict[int, list[tuple[float, float]]]], which: int
) -> dict[str, dict[str, dict[str, float]]]:
    return {
        name: {str(crowd): spread([measured[which] for measured in row]) for crowd, row in rows.items()}
        for name, rows in found.items()
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, prog="bench.relay.growing")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--crowds", default=",".join(map(str, CROWDS)), help="conversations, for example 10,100")
    parser.add_argument("--write", type=Path, default=RESULTS)
    wanted = parser.parse_args()
    report = uvloop.run(bench(wanted.rounds, wanted.seconds, [int(crowd) for crowd in wanted.crowds.split(",")]))
    wanted.write.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(table.growing(report))


if __name__ == "__main__":
    main()

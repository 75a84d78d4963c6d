"""What a turn costs the relay, apart from its frames.

The same frames are sent again and again, with turns of the usual length and with many short ones, in turns; what the
short ones cost more is divided by how many more of them there are.
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
from bench.relay.caller import Caller, called, paced, settled
from bench.relay.contenders import Contender, Upstream, filo
from bench.relay.gemini import TURN, Gemini

RESULTS: Final = Path(__file__).parents[1] / "results" / "relay-turning.json"
SHORT: Final = 25
"""Audio messages in a short turn: half a second."""


async def cpu(relay: Contender, callers: list[Caller], seconds: float, turn: int) -> tuple[float, int]:
    """Seconds of the relay's processor time for so many seconds of speech in turns of a length, and how many turns."""
    if relay.process is None:
        raise RuntimeError("the relay is a process")
    Gemini.turn = turn
    used, turns = relay.process.cpu(), Gemini.turns
    await paced(callers, seconds)
    await settled(callers)
    await asyncio.sleep(0.1)  # the last of them is stored
    return relay.process.cpu() - used, Gemini.turns - turns


async def turn_cost(relay: Contender, callers: list[Caller], seconds: float) -> float:
    """Milliseconds of processor time that one turn costs."""
    (many, turns), (few, rest) = [await cpu(relay, callers, seconds, turn) for turn in (SHORT, TURN)]
    return (many - few) / (turns - rest) * 1e3


async def talking(stack: AsyncExitStack, upstream: Upstream) -> tuple[Contender, list[Caller]]:
    """A relay, and clients that have talked for a moment."""
    relay = await filo(stack, upstream)
    callers = await called(relay, measure.CONVERSATIONS)
    await cpu(relay, callers, 1.0, SHORT)
    return relay, callers


async def bench(rounds: int, seconds: float) -> dict[str, Any]:
    """Measure; gives the report."""
    with ExitStack() as outer:
        upstream = await gemini(outer)
        async with AsyncExitStack() as stack:
            relay, callers = await talking(stack, upstream)
            found = [await turn_cost(relay, callers, seconds) for _ in range(rounds)]
            lost = [caller.lost for caller in callers if caller.lost]
    return {
        "rounds": rounds,
        "seconds": seconds,
        "conversations": len(callers),
        "lost": lost,
        "load_average": os.getloadavg()[0],
        "turn_ms": spread(found),
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, prog="bench.relay.turning")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="for each of the two halves of a round")
    parser.add_argument("--write", type=Path, default=RESULTS)
    wanted = parser.parse_args()
    report = uvloop.run(bench(wanted.rounds, wanted.seconds))
    wanted.write.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(table.turning(report))


if __name__ == "__main__":
    main()

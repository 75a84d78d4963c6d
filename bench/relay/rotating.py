"""Whether rotations in some conversations are felt in the others.

Forty conversations talk at the pace of speech. Four of them lose their connection to Gemini over and over, in the
middle of an answer and of what the client says, which is the dearest moment. What is timed is the others. The floor is
used in the same way: it makes as many new connections and does nothing else about them, so it shows what any relay has
to pay for them, and what the load feels of its own side of the handshakes.
"""

import argparse
import gc
import json
import os
from collections import defaultdict
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import uvloop

from bench.relay import measure, table
from bench.relay.__main__ import gemini, spread
from bench.relay.caller import Caller, called, paced
from bench.relay.contenders import CONTENDERS, RESTLESS, Contender, filo
from bench.relay.gemini import Gemini

RESULTS: Final = Path(__file__).parents[1] / "results" / "relay-rotating.json"
_RESTLESS: Final = 4
LOADS: Final[dict[str, float | None]] = {"calm": None, "as a thousand": 1.9, "as three thousand": 0.55}
"""Seconds that each restless connection lasts. A relay with a thousand conversations has two rotations a second."""
_SETTINGS: Final = {
    "FILO_RELAY_STABLE_AFTER": "100ms",
    "FILO_RELAY_MAX_AGE": "0",
    "FILO_RELAY_DIALS_A_SECOND": "1000",
}


@dataclass(frozen=True)
class _Crowd:
    """A contender with its conversations."""

    contender: Contender
    steady: list[Caller]
    restless: list[Caller]

    @property
    def all(self) -> list[Caller]:
        """Every client of it."""
        return [*self.steady, *self.restless]


async def _crowd(contender: Contender) -> _Crowd:
    restless = Contender(contender.name, contender.process, lambda: contender.url(RESTLESS))
    return _Crowd(
        contender, await called(contender, measure.CONVERSATIONS - _RESTLESS), await called(restless, _RESTLESS)
    )


async def _under(load: float | None, crowd: _Crowd, seconds: float) -> dict[str, float]:
    """What the steady ones feel meanwhile."""
    Gemini.restless_after = load
    await paced(crowd.all, 1.0)
    for caller in crowd.all:
        del caller.took[:]
    left = -Gemini.departures
    await paced(crowd.all, seconds)
    left += Gemini.departures
    Gemini.restless_after = None
    took = [value for caller in crowd.steady for value in caller.took]
    await paced(crowd.all, 1.5)  # until the last of the rotations is over
    return {
        "rate": left / seconds,
        "p50": measure.quantile(took, 0.5) * 1e3,
        "p99": measure.quantile(took, 0.99) * 1e3,
    }


Found = dict[str, dict[str, dict[str, list[float]]]]
"""Measurements by contender, load, and what was measured."""


async def _measured(crowds: list[_Crowd], rounds: int, seconds: float) -> Found:
    found: Found = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    gc.collect()
    gc.freeze()
    for number in range(rounds):
        for crowd in crowds[::-1] if number % 2 else crowds:
            for name, load in LOADS.items():
                values = await _under(load, crowd, seconds)
                for key, value in values.items():
                    found[crowd.contender.name][name][key].append(value)
                print(crowd.contender.name, name, {key: round(value, 2) for key, value in values.items()}, flush=True)
    return found


async def bench(rounds: int, seconds: float) -> dict[str, Any]:
    """Measure in turns; gives the report."""
    with ExitStack() as outer:
        upstream = await gemini(outer)
        async with AsyncExitStack() as stack:
            contenders = [await CONTENDERS["floor"](stack, upstream), await filo(stack, upstream, **_SETTINGS)]
            crowds = [await _crowd(contender) for contender in contenders]
            found = await _measured(crowds, rounds, seconds)
            lost = [caller.lost for crowd in crowds for caller in crowd.all if caller.lost]
    return {
        "rounds": rounds,
        "seconds": seconds,
        "conversations": measure.CONVERSATIONS,
        "restless": _RESTLESS,
        "lost": lost,
        "load_average": os.getloadavg()[0],
        "others": {
            contender: {
                load: {key: spread(values) for key, values in measured.items()} for load, measured in loads.items()
            }
            for contender, loads in found.items()
        },
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

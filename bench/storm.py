"""A thousand conversations, and a Gemini that refuses everything for half a minute."""

import argparse
import json
import logging
import tempfile
from pathlib import Path
from statistics import median
from typing import Final

import uvloop

from services.relay.upstream.breaker import BreakerPolicy
from tests.support.storm import storm

RESULTS: Final = Path("bench/results/storm.json")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--conversations", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=30.0, help="for which everything is refused")
    parser.add_argument("--write", type=Path, default=RESULTS, help="where the result goes, as JSON")
    given = parser.parse_args()
    logging.disable()  # every conversation loses its connection here, and each would say so
    with tempfile.TemporaryDirectory() as directory:
        outcome = uvloop.run(storm(Path(directory), given.conversations, given.seconds, BreakerPolicy()))
    print(outcome)
    report = {
        "conversations": len(outcome.clients),
        "refused_for_seconds": round(outcome.lasted, 1),
        "dials_meanwhile": outcome.refused,
        "most_dials_in_a_second": outcome.busiest,
        "bound_dials_a_second": outcome.policy.dials_a_second,
        "recovered": len(outcome.recovered),
        "recovered_after_seconds": {
            "min": round(min(outcome.recovered), 2),
            "median": round(median(outcome.recovered), 2),
            "max": round(max(outcome.recovered), 2),
        },
    }
    given.write.parent.mkdir(parents=True, exist_ok=True)
    given.write.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""`make deploy-drill`: what deploys and deaths do to a hundred conversations, printed as a table.

    python -m tests.drills.deploy [--conversations 100] [--only WORDS] [--write]

The exit code is 1 if anything was lost or doubled.
"""

import argparse
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Final

import uvloop

from services.common import logs
from tests.drills.drill import DRILLS, Report, drill

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "deploys.md"
_PLACE: Final = re.compile(r"(<!-- as last printed -->\n).*?(<!-- end -->)", re.DOTALL)
_HEADER: Final = (
    "what happens", "conversations", "turns", "moved to another relay", "continuity", "lost or doubled",
    "turns begun again", "of these heard to the end before", "answers complete twice", "longest gap",
)  # fmt: skip


def row(report: Report) -> tuple[str, ...]:
    """A report as a line of the table."""
    found = report.verdicts
    continuity = Counter(one.continuity for one in found)
    return (
        report.name,
        str(len(found)),
        str(sum(one.turns for one in found)),
        str(sum(one.moves > 0 for one in found)),
        ", ".join(f"{kind} {count}" for kind, count in continuity.most_common()),
        str(sum(bool(one.problems) for one in found)),
        str(sum(one.restarts for one in found)),
        str(sum(one.heard for one in found)),
        str(sum(one.twice for one in found)),
        f"{max((one.gap for one in found), default=0.0):.1f} s",
    )


def table(reports: list[Report]) -> str:
    """All of them as Markdown, with what else is to be told."""
    lines = [_HEADER, ("---",) * len(_HEADER), *(row(report) for report in reports)]
    text = "".join(f"| {' | '.join(line)} |\n" for line in lines) + "\n"
    return text + "".join(f"* {report.name}: {note}.\n" for report in reports for note in report.notes)


def main() -> int:
    """The command; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--conversations", type=int, default=100)
    parser.add_argument("--only", default="", help="drills whose name has this in it")
    parser.add_argument("--write", action="store_true", help="put the table into docs/deploys.md")
    given = parser.parse_args()
    logs.configure("CRITICAL")
    reports = []
    for name in DRILLS:
        if given.only in name:
            reports.append(uvloop.run(drill([name], given.conversations)))
            sys.stdout.write(table(reports[-1:]) + f"({reports[-1].seconds:.0f} s)\n\n")
            for one in reports[-1].verdicts:
                for problem in one.problems:
                    sys.stdout.write(f"FAIL {problem}\n")
            sys.stdout.flush()
    if given.write:
        page = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(_PLACE.sub(lambda found: found[1] + table(reports) + found[2], page), encoding="utf-8")
    return any(report.failed for report in reports)


if __name__ == "__main__":
    sys.exit(main())

"""`make faults`: play every cell over real sockets, print the matrix, and exit with 1 if a cell failed.

With ``--write`` the matrix goes into docs/faults.md as well. Any other word plays only the cells whose name holds it.
"""

import re
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import uvloop

from services.common import logs
from tests.faults.play import CELLS, AnyCell, excluded, play_all
from tests.faults.scene import Outcome
from tests.faults.table import Point

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "faults.md"
_PLACE: Final = re.compile(r"(<!-- as last printed -->\n).*?(<!-- end -->)", re.DOTALL)


def shown(outcome: Outcome) -> str:
    """A cell of the matrix: how the context survived, restarted turns, the gap."""
    verdict = "FAIL" if outcome.problems else "ok"
    restarts = f", {outcome.restarts} restarted" if outcome.restarts else ""
    return f"{verdict}: {outcome.continuity}{restarts}, {outcome.gap * 1000:.0f} ms"


def table(outcomes: Mapping[AnyCell, Outcome]) -> str:
    """The matrix as Markdown, its columns aligned."""
    names = list(dict.fromkeys(cell.name for cell in outcomes))
    found = {(cell.name, cell.point): shown(outcome) for cell, outcome in outcomes.items()}
    lines = [["what happens", *Point], *([name, *(found.get((name, point), "-") for point in Point)] for name in names)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    lines.insert(1, ["-" * width for width in widths])
    rows = (" | ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) for line in lines)
    return "".join(f"| {row} |\n" for row in rows)


def reasons() -> str:
    """Why some combinations are not played, as Markdown."""
    rows = "".join(f"| {name} | {point} | {why} |\n" for name, point, why in excluded())
    return f"| not played | at | why |\n| --- | --- | --- |\n{rows}"


def main(arguments: list[str]) -> int:
    """Play, print; the exit code."""
    logs.configure("CRITICAL")
    words = [word for word in arguments if word != "--write"]
    cells = [cell for cell in CELLS if all(word in str(cell) for word in words)]
    began = time.monotonic()
    outcomes = uvloop.run(play_all(cells))
    outcomes = {cell: outcomes[cell] for cell in cells}
    matrix = table(outcomes)
    sys.stdout.write(matrix)
    failed = {cell: outcome for cell, outcome in outcomes.items() if outcome.problems}
    for cell, outcome in failed.items():
        sys.stdout.write(f"FAIL {cell}: {'; '.join(outcome.problems)}\n")
    took = time.monotonic() - began
    sys.stdout.write(f"{len(outcomes)} cells in {took:.0f} s, {len(failed)} failed\n")
    if "--write" in arguments:
        text = f"\\g<1>{matrix}\n{reasons()}\\g<2>"
        PAGE.write_text(_PLACE.sub(text, PAGE.read_text("utf-8")), "utf-8")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

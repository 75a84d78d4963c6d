"""The context bench's result as a table, for the terminal and for the documentation."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, Final

CACHED_PRICE: Final = 0.25
"""Of a cached token, as a share of another one: the relay's default."""
AT: Final = 20
"""The turn at which all policies can be compared: the last that all of them reach."""
_COLUMNS: Final = (
    "policy", "turns", f"context at {AT}", f"billed at {AT}: uncached", "cached", "cost", "billed in all: uncached",
    "cached", "cost a turn", "saved", "rebuilds", "gap, ms (median / most)", "recalls turn 1",
)  # fmt: skip


def cost(bill: Mapping[str, int]) -> int:
    """Prompts in tokens at the full price."""
    return round(bill["uncached"] + CACHED_PRICE * bill["cached"])


def _cells(case: Mapping[str, Any]) -> Sequence[object]:
    at, last, gaps = case["at"], case["last"], case["gaps_ms"]
    recalls = {True: "yes", False: "no", None: "-"}[case["recalls"]]
    gap = f"{median(gaps):.0f} / {max(gaps)}" if gaps else "-"
    turns = f"{case['turns']:,}{'' if case['ended'] else ', no end'}"
    at_cells = (f"{at['context']:,}", f"{at['uncached']:,}", f"{at['cached']:,}", f"{cost(at):,}")
    in_all = (f"{last['uncached']:,}", f"{last['cached']:,}", f"{cost(last) // case['turns']:,}", f"{last['saved']:,}")
    return (case["policy"], turns, *at_cells, *in_all, case["rebuilds"], gap, recalls)


def table(report: Mapping[str, Any]) -> str:
    """All cases, as Markdown."""
    rows = [_COLUMNS, ("---",) * len(_COLUMNS), *(_cells(case) for case in report["cases"])]
    return "".join(f"| {' | '.join(map(str, row))} |\n" for row in rows)

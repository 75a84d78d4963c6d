"""The context bench's result as a plot: the context, turn by turn, under each policy."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from matplotlib.figure import Figure

_MOST_TURNS: Final = 200
_STYLES: Final = ("-", "--", "-", "-", "-", ":")


def draw(report: Mapping[str, Any], path: Path) -> None:
    """Write the plot as PNG."""
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.axhline(report["window"], color="black", linewidth=1, linestyle=":")
    axes.text(_MOST_TURNS, report["window"] + 150, "window", ha="right")
    for case, style in zip(report["cases"], _STYLES, strict=False):
        context = case["context"][:_MOST_TURNS]
        end = f"full after turn {case['turns']}" if case["ended"] else f"{case['turns']:,} turns, no end"
        axes.plot(range(1, len(context) + 1), context, style, label=f"{case['policy']}: {end}")
    axes.set(
        title=f"Context with advice of {report['advice']} tokens in every turn, script of {report['script']:,}",
        xlabel="turn",
        ylabel="tokens",
        xlim=(0, _MOST_TURNS),
    )
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=110)

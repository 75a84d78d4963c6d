"""The context bench's result as a plot: the context, turn by turn, under each policy."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

_STYLES: Final[Mapping[str, Mapping[str, Any]]] = {
    "append": {"color": "tab:blue", "linewidth": 2.5},
    "just_in_time": {"color": "tab:orange", "linestyle": "--"},
    "replace": {"color": "tab:green"},
    "rebase": {"color": "tab:red"},
    "rebase, budget": {"color": "tab:purple", "linewidth": 0.8},
    "rebase, budget, summaries": {"color": "tab:brown", "linewidth": 0.8},
}
_MARGIN: Final = 1.03


def draw(report: Mapping[str, Any], path: Path) -> None:
    """Write the plot as PNG: the conversations that end, on their own scale; then all of them to the last turn."""
    figure = Figure(figsize=(9, 8), layout="constrained")
    near, far = figure.subplots(2, 1)
    cases = report["cases"]
    ending = [case for case in cases if case["ended"]] or cases
    _panel(near, report, ending)
    _marks(near, ending)
    _panel(far, report, cases)
    near.set_title(f"Context with advice of {report['advice']} tokens in every turn, script of {report['script']:,}")
    near.legend(loc="lower right")
    unending = [case for case in cases if not case["ended"]]
    if unending:
        far.legend(handles=[line for line in far.lines if line.get_label() in map(_label, unending)], loc="lower right")
    figure.savefig(path, dpi=110)


def _panel(axes: Axes, report: Mapping[str, Any], cases: list[Mapping[str, Any]]) -> None:
    last = max(len(case["context"]) for case in cases)
    axes.axhline(report["window"], color="black", linewidth=1, linestyle=":")
    axes.text(last * _MARGIN, report["window"] + 100, "window ", ha="right")
    for case in cases:
        context = case["context"]
        axes.plot(range(1, len(context) + 1), context, label=_label(case), **_STYLES.get(case["policy"], {}))
    axes.set(xlabel="turn", ylabel="tokens", xlim=(0, last * _MARGIN))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")


def _marks(axes: Axes, cases: list[Mapping[str, Any]]) -> None:
    """A dot at each turn after which the session was rebuilt: in the end, where nothing else is left, at each one."""
    for case in cases:
        turns, context = case["rebuilt_after"], case["context"]
        if turns:
            colour = _STYLES.get(case["policy"], {}).get("color")
            axes.plot(turns, [context[turn - 1] for turn in turns], ".", color=colour, label="rebuilt after this turn")


def _label(case: Mapping[str, Any]) -> str:
    end = f"full after turn {case['turns']}" if case["ended"] else f"{case['turns']:,} turns, no end"
    return f"{case['policy']}: {end}"

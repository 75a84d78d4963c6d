"""A picture of dashboards for the documentation, from real series.

Filo runs on this machine under a real Prometheus while training runs talk, their connections replaced and their sockets
cut; then the panels are drawn from what Prometheus has. Not Grafana, but each query and each number is the dashboard's.
"""

import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import matplotlib.dates
import matplotlib.ticker
from cycler import cycler
from matplotlib import pyplot as plt

from tests.deploy.promql import filled
from tests.support import stack
from tests.support.prometheus import Prometheus, Series, hurried, scraping, targets
from tools.dashboards.context import CONTEXT
from tools.dashboards.conversations import CONVERSATIONS
from tools.dashboards.model import Dashboard, Kind, Panel, Unit

IMAGES: Final = Path(__file__).resolve().parent.parent / "docs/images"
RUNS: Final = (
    ("--turns", "44", "--cut-client-at", "8,21,30", "--seed", "1", "--manager", "rules"),
    ("--turns", "36", "--cut-client-at", "15", "--seed", "2", "--persona", "skeptical", "--manager", "rules"),
    ("--turns", "24", "--seed", "3", "--persona", "talkative", "--manager", "rules"),
)
TIMES: Final = 20
"""An hour is three minutes here."""
_KILO: Final = 1000
_FORMATS: Final = {
    Unit.SECONDS: lambda value: f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s",
    Unit.SHARE: lambda value: f"{value:.1%}",
    Unit.RATE: lambda value: f"{_short(value)}/s",
}
_STYLE: Final[Any] = {
    "figure.facecolor": "#111217",
    "axes.facecolor": "#181b1f",
    "axes.edgecolor": "#2c3235",
    "axes.grid": True,
    "grid.color": "#2c3235",
    "grid.linewidth": 0.6,
    "text.color": "#ccccdc",
    "axes.labelcolor": "#ccccdc",
    "xtick.color": "#8e8e9a",
    "ytick.color": "#8e8e9a",
    "font.size": 8,
    "axes.prop_cycle": cycler(color=["#73bf69", "#f2cc0c", "#5794f2", "#ff9830", "#f2495c", "#b877d9", "#8ab8ff"]),
}


def main() -> int:
    """Run, watch, draw; returns the exit code."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        (home / "prometheus").mkdir()
        with stack.up(home / "filo", "--speed", "8", "--connection-lifetime", "8s", "--goaway-lead", "2s") as up:
            up.wait_ready()
            with scraping(targets(up), home / "prometheus", interval="1s", times=TIMES) as prometheus:
                since = time.time()
                words = [*stack.FILO, "train", "--address", up.simulator()]
                talks = [
                    subprocess.Popen([*words, *run], env=os.environ, cwd=home, stdout=subprocess.DEVNULL)  # noqa: S603 - its own
                    for run in RUNS
                ]
                talks[-1].wait(timeout=600)
                time.sleep(8)  # what is counted at its end is scraped, and the others go on
                for made in (CONVERSATIONS, CONTEXT):
                    draw(made, prometheus, since, IMAGES / f"{made.uid}.png")
                codes = [talk.wait(timeout=600) for talk in talks]
    print(f"runs ended with {codes}; pictures are in docs/images")
    return max(codes)


def draw(made: Dashboard, prometheus: Prometheus, since: float, into: Path) -> None:
    """Draw one dashboard."""
    stats = [panel for panel in made.panels if panel.kind is Kind.STAT]
    graphs = [panel for panel in made.panels if panel.kind in {Kind.LINES, Kind.STACK}]
    rows = (len(graphs) + 1) // 2
    with mpl.rc_context(_STYLE):
        figure = plt.figure(figsize=(13, 1.2 + (1.1 if stats else 0) + 2.5 * rows), layout="constrained")
        figure.suptitle(f"{made.title}    {made.text}", x=0.01, ha="left", fontsize=11)
        heights = ([0.4] if stats else []) + [1.0] * rows
        grid = figure.add_gridspec(len(heights), 12, height_ratios=heights)
        for number, panel in enumerate(stats):
            width = 12 // len(stats)
            place = grid[0, number * width : (number + 1) * width]
            _number(figure.add_subplot(place), panel, prometheus, since)
        for number, panel in enumerate(graphs):
            row, column = number // 2 + bool(stats), number % 2
            _graph(figure.add_subplot(grid[row, column * 6 : (column + 1) * 6]), panel, prometheus, since)
        figure.savefig(into, dpi=110)
        plt.close(figure)


def _series(panel: Panel, prometheus: Prometheus, since: float) -> list[tuple[str, Series]]:
    """What a panel draws: each series with what the legend calls it."""
    found = []
    for query in panel.queries:
        for series in prometheus.series(hurried(filled(query.expr), TIMES), since):
            name = query.legend
            for label, value in series["metric"].items():
                name = name.replace(f"{{{{{label}}}}}", value[:8] if label == "session" else value)
            if panel.kind is not Kind.STACK or any(value for _, value in series["values"]):
                found.append((name, series))
    return found


def _told(panel: Panel, value: float) -> str:
    return _FORMATS.get(panel.unit, _short)(value)


def _short(value: float) -> str:
    return f"{value / _KILO:,.3g} k" if value >= _KILO else f"{value:.3g}"


def _colour(panel: Panel, value: float) -> str:
    if panel.bad is not None and value >= panel.bad:
        return "#f2495c"
    return "#ff9830" if panel.warn is not None and value >= panel.warn else "#73bf69"


def _number(axes: Any, panel: Panel, prometheus: Prometheus, since: float) -> None:  # noqa: ANN401 - its own
    found = _series(panel, prometheus, since)
    value = found[0][1]["values"][-1][1] if found else 0.0
    axes.set_axis_off()
    axes.set_title(panel.title, loc="left", fontsize=8)
    axes.text(0.02, 0.35, _told(panel, value), fontsize=20, color=_colour(panel, value), transform=axes.transAxes)


def _graph(axes: Any, panel: Panel, prometheus: Prometheus, since: float) -> None:  # noqa: ANN401 - its own
    axes.set_title(panel.title, loc="left", fontsize=9)
    drawn = _series(panel, prometheus, since)[:7]
    if panel.kind is Kind.STACK and drawn:
        moments = sorted({at for _, series in drawn for at, _ in series["values"]})
        columns = [[dict(series["values"]).get(at, 0.0) for at in moments] for _, series in drawn]
        axes.stackplot([_time(at) for at in moments], columns, labels=[name for name, _ in drawn], alpha=0.5)
    for name, series in drawn if panel.kind is Kind.LINES else ():
        axes.plot(
            [_time(at) for at, _ in series["values"]], [value for _, value in series["values"]], lw=1.2, label=name
        )
    highest = axes.get_ylim()[1]
    for limit, colour in ((panel.warn, "#ff9830"), (panel.bad, "#f2495c")):
        if limit is not None and limit <= highest * 1.5:
            axes.axhline(limit, color=colour, ls="--", lw=0.8)
    axes.set_ylim(bottom=0, top=None if drawn and highest > 0 else 1)
    axes.set_xlim(_time(since), _time(time.time()))
    axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator(6))
    axes.yaxis.set_major_formatter(lambda value, _: _told(panel, value))
    axes.xaxis.set_major_formatter(mpl.dates.DateFormatter("%H:%M:%S"))  # type: ignore[no-untyped-call]
    if drawn:
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=7)


def _time(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


if __name__ == "__main__":
    sys.exit(main())

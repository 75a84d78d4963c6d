"""Grafana's JSON of the dashboards, made with Grafana's own builders."""

import itertools
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import prometheus as prometheus_models

from tools.dashboards.context import CONTEXT
from tools.dashboards.conversations import CONVERSATIONS
from tools.dashboards.model import Dashboard, Kind, Panel, Query
from tools.dashboards.relay import RELAY
from tools.dashboards.store import STORE
from tools.dashboards.training import TRAINING

DASHBOARDS: Final = (CONVERSATIONS, CONTEXT, STORE, RELAY, TRAINING)
"""Every dashboard, the first one first."""

_WIDTHS: Final[Mapping[Kind, tuple[int, int]]] = MappingProxyType(
    {Kind.STAT: (6, 4), Kind.LINES: (12, 8), Kind.STACK: (12, 8), Kind.TABLE: (12, 8)}
)
"""Columns of 24, and rows, of a panel."""
_SOURCE: Final = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
_RUNBOOKS: Final = "docs/runbook.md"


def files() -> dict[str, str]:
    """Every dashboard as a file: its name and its content."""
    return {f"{made.uid}.json": render(made) for made in DASHBOARDS}


def render(made: Dashboard) -> str:
    """One dashboard as Grafana imports it."""
    others = dashboard.DashboardLink("Filo")
    builder = (
        dashboard.Dashboard(made.title)
        .uid(made.uid)
        .description(made.text)
        .tags(["filo"])
        .timezone("browser")
        .refresh("30s")
        .time("now-1h", "now")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .readonly()
        .link(others.type(models.DashboardLinkType.DASHBOARDS).tags(["filo"]).as_dropdown(True))  # noqa: FBT003 - the same
    )
    for variable in _variables():
        builder = builder.with_variable(variable)
    numbers = itertools.count(1)
    for section in made.sections:
        builder = builder.with_row(dashboard.Row(section.title).id(next(numbers)))
        for panel in section.panels:
            builder = builder.with_panel(_DRAW[panel.kind](panel).id(next(numbers)))
    return JSONEncoder(sort_keys=True, indent=1).encode(builder.build()) + "\n"


def _variables() -> Iterable[Any]:
    everything = models.VariableOption(text="All", value="$__all", selected=True)
    yield dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus")
    yield (
        dashboard.QueryVariable("namespace")
        .label("Namespace")
        .datasource(_SOURCE)
        .query("label_values(filo_build_info, namespace)")
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .include_all(True)  # noqa: FBT003 - the builder's own way
        .all_value(".*")
        .current(everything)
    )
    yield (
        dashboard.CustomVariable("test")
        .label("Tests")
        .description("Conversations that are marked as tests: without them, only them, or all.")
        .values("no,yes")
        .include_all(True)  # noqa: FBT003 - the same
        .all_value(".*")
        .current(everything)
    )
    yield (
        dashboard.TextBoxVariable("runbooks")
        .label("Runbooks")
        .description("Where your copy of the runbook is published.")
        .default_value(_RUNBOOKS)
    )


def _common(builder: Any, panel: Panel) -> Any:  # noqa: ANN401 - the builders have no common type
    width, height = _WIDTHS[panel.kind]
    builder = (
        builder.title(panel.title)
        .description(panel.text)
        .datasource(_SOURCE)
        .unit(panel.unit.value)
        .min(0)
        .no_value("nothing yet")
        .span(width)
        .height(height)
        .thresholds(_thresholds(panel))
    )
    if panel.alert:
        link = dashboard.DashboardLink(f"Runbook: {panel.alert}").url(f"${{runbooks}}#{panel.alert.lower()}")
        builder = builder.links([link.target_blank(True)])  # noqa: FBT003 - the same
    for letter, query in zip("ABCDEFGH", panel.queries, strict=False):
        builder = builder.with_target(_target(letter, query, instant=panel.kind is Kind.TABLE))
    return builder


def _target(letter: str, query: Query, *, instant: bool) -> Any:  # noqa: ANN401 - the same
    made = prometheus.Dataquery().ref_id(letter).expr(query.expr).legend_format(query.legend)
    return made.instant().format(prometheus_models.PromQueryFormat.TABLE) if instant else made.range()


def _thresholds(panel: Panel) -> dashboard.ThresholdsConfig:
    steps = [models.Threshold(value=None, color="green")]
    if panel.warn is not None:
        steps.append(models.Threshold(value=panel.warn, color="orange"))
    if panel.bad is not None:
        steps.append(models.Threshold(value=panel.bad, color="red"))
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)


def _stat(panel: Panel) -> Any:  # noqa: ANN401 - the same
    return (
        _common(stat.Panel(), panel)
        .graph_mode(common_models.BigValueGraphMode.AREA)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    )


def _lines(panel: Panel) -> Any:  # noqa: ANN401 - the same
    drawn = panel.warn is not None or panel.bad is not None
    mode = common_models.GraphThresholdsStyleMode.DASHED if drawn else common_models.GraphThresholdsStyleMode.OFF
    legend = common.VizLegendOptions().show_legend(True)  # noqa: FBT003 - the same
    return (
        _common(timeseries.Panel(), panel)
        .line_width(1)
        .fill_opacity(8)
        .show_points(common_models.VisibilityMode.NEVER)
        .thresholds_style(common.GraphThresholdsStyleConfig().mode(mode))
        .legend(
            legend.display_mode(common_models.LegendDisplayMode.TABLE)
            .placement(common_models.LegendPlacement.RIGHT)
            .calcs(["lastNotNull", "max"])
        )
    )


def _stack(panel: Panel) -> Any:  # noqa: ANN401 - the same
    stacking = common.StackingConfig().mode(common_models.StackingMode.NORMAL)
    return _lines(panel).fill_opacity(40).stacking(stacking)


def _table(panel: Panel) -> Any:  # noqa: ANN401 - the same
    return _common(table.Panel(), panel)


_DRAW: Final[Mapping[Kind, Callable[[Panel], Any]]] = MappingProxyType(
    {Kind.STAT: _stat, Kind.LINES: _lines, Kind.STACK: _stack, Kind.TABLE: _table}
)

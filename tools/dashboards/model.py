"""What a dashboard is made of, without anything of Grafana's in it."""

from enum import StrEnum
from typing import Final, NamedTuple


class Kind(StrEnum):
    """How a panel draws."""

    STAT = "stat"
    LINES = "lines"
    STACK = "stack"
    TABLE = "table"


class Unit(StrEnum):
    """Grafana's names of units."""

    COUNT = "short"
    RATE = "reqps"
    A_MINUTE = "cpm"
    SECONDS = "s"
    SHARE = "percentunit"
    BYTES = "bytes"
    CORES = "none"


class Query(NamedTuple):
    """A series, or several, and what the legend calls them."""

    expr: str
    legend: str


class Panel(NamedTuple):
    """One picture.

    Args:
        title: What it shows.
        text: What to make of it, in a sentence or two.
        kind: How it draws.
        unit: Of its values.
        queries: What is drawn.
        warn: From this value on it is orange; None for never.
        bad: From this value on it is red; None for never.
        alert: The alert that watches the same, whose runbook entry is linked.
    """

    title: str
    text: str
    kind: Kind
    unit: Unit
    queries: tuple[Query, ...]
    warn: float | None = None
    bad: float | None = None
    alert: str = ""


class Section(NamedTuple):
    """A row of panels under a heading."""

    title: str
    panels: tuple[Panel, ...]


class Dashboard(NamedTuple):
    """One dashboard.

    Args:
        uid: Its name in addresses and files.
        title: Its name for people.
        text: What it is for.
        sections: What it shows.
    """

    uid: str
    title: str
    text: str
    sections: tuple[Section, ...]

    @property
    def panels(self) -> tuple[Panel, ...]:
        """All panels, in order."""
        return tuple(panel for section in self.sections for panel in section.panels)


NS: Final = 'namespace=~"$namespace"'
"""Every selector has it; where Prometheus knows no namespaces, All means everything."""
REAL: Final = f'{NS}, test=~"$test"'
"""For metrics that tell tests from the rest."""
RATE: Final = "$__rate_interval"
"""Grafana's own: long enough for a rate at the step that is drawn."""


def quantiles(metric: str, selector: str = NS, by: str = "") -> tuple[Query, ...]:
    """The median, the 95th and the 99th percentile of a histogram."""
    group = f"{by}, le" if by else "le"
    suffix = f" {{{{{by}}}}}" if by else ""
    return tuple(
        Query(
            f"histogram_quantile({q}, sum by ({group}) (rate({metric}_bucket{{{selector}}}[{RATE}])))",
            f"p{round(q * 100)}{suffix}",
        )
        for q in (0.5, 0.95, 0.99)
    )


def rate(metric: str, by: str, selector: str = NS, legend: str = "") -> Query:
    """How often something happens a second, by a label."""
    return Query(f"sum by ({by}) (rate({metric}{{{selector}}}[{RATE}]))", legend or f"{{{{{by}}}}}")


def total(metric: str, selector: str = NS, legend: str = "all") -> Query:
    """A gauge, over all instances."""
    return Query(f"sum({metric}{{{selector}}})", legend)

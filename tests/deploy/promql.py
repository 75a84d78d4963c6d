"""PromQL taken apart: which series a query reads, and whether there can be any."""

from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Final, NamedTuple

import promql_parser
import yaml

from tools import metrics_catalogue
from tools.dashboards import build

ROOT: Final = Path(__file__).parents[2]
RULES: Final = ROOT / "deploy/prometheus/rules"
ADDED: Final = frozenset({"namespace", "pod", "instance", "job", "le"})
"""Labels that Prometheus adds when it scrapes, and a histogram's own."""
_VARIABLES: Final = {"$namespace": ".*", "$test": ".*", "$__rate_interval": "1m"}


class Read(NamedTuple):
    """One selector: the metric, and what it wants of labels (operator and value)."""

    metric: str
    wanted: tuple[tuple[str, str, str], ...]


class Rule(NamedTuple):
    """One rule: its name, whether it is an alert, its expression."""

    name: str
    alert: bool
    expr: str


def filled(expr: str) -> str:
    """A dashboard's query with its variables filled in."""
    for name, value in _VARIABLES.items():
        expr = expr.replace(name, value)
    return expr


def reads(expr: str) -> list[Read]:
    """Every selector of a query.

    Raises:
        ValueError: It is not PromQL.
    """
    found: list[Read] = []

    def visit(node: promql_parser.Expr) -> bool:
        selector = node.vector_selector if isinstance(node, promql_parser.MatrixSelector) else node
        if isinstance(selector, promql_parser.VectorSelector):
            wanted = tuple((each.name, str(each.op), each.value) for each in selector.matchers.matchers)
            found.append(Read(selector.name or "", wanted))
        return True

    promql_parser.walk(promql_parser.parse(expr), visit)
    return found


def rules() -> Iterator[Rule]:
    """Every rule under ``deploy/prometheus/rules``."""
    for path in sorted(RULES.glob("*.yml")):
        for group in yaml.safe_load(path.read_text())["groups"]:
            for rule in group["rules"]:
                yield Rule(rule.get("alert") or rule["record"], "alert" in rule, rule["expr"])


def queries() -> Iterator[tuple[str, str]]:
    """Every query of every dashboard: where it is, and itself with its variables filled in."""
    for dashboard in build.DASHBOARDS:
        for panel in dashboard.panels:
            for query in panel.queries:
                yield f"{dashboard.uid}: {panel.title}: {query.legend}", filled(query.expr)


def labels() -> dict[str, Mapping[str, tuple[str, ...]]]:
    """The labels of every series that any service gives, with their values where they are a small closed set."""
    found: dict[str, Mapping[str, tuple[str, ...]]] = {}
    for entry in chain.from_iterable(metrics_catalogue.entries(service) for service in metrics_catalogue.SERVICES):
        suffixes = ("_bucket", "_sum", "_count") if entry.kind == "histogram" else ("",)
        for suffix in suffixes:
            known = found.get(entry.name + suffix, {})
            both = {name: (*known.get(name, ()), *values) for name, values in entry.labels.items()}
            found[entry.name + suffix] = both
    return found

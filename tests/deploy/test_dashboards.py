"""Dashboards: what is committed is what the code makes, and each panel can be understood."""

import json
from typing import Any, Final

import pytest

from tests.deploy.promql import ROOT, queries, reads
from tools.dashboards import build
from tools.dashboards.model import Kind

GRAFANA: Final = ROOT / "deploy/grafana"


def boards() -> dict[str, Any]:
    """Every committed dashboard."""
    return {path.name: json.loads(path.read_text()) for path in sorted(GRAFANA.glob("*.json"))}


def test_the_committed_files_are_what_the_code_makes() -> None:
    """No more, no fewer, no difference."""
    assert {path.name: path.read_text() for path in GRAFANA.glob("*.json")} == build.files()


def test_the_five_dashboards() -> None:
    """Each with an address of its own."""
    assert [made.title.removeprefix("Filo / ") for made in build.DASHBOARDS] == [
        "Conversations",
        "Context tokens",
        "Handle store",
        "Relay health",
        "Training runs",
    ]
    assert len({made.uid for made in build.DASHBOARDS}) == len(build.DASHBOARDS)


@pytest.mark.parametrize("name", sorted(boards()))
def test_every_panel_can_be_understood(name: str) -> None:
    """A title, a description, a unit, thresholds, a data source that is chosen, and queries; no two on one place."""
    board = boards()[name]
    panels = [panel for panel in board["panels"] if panel["type"] != "row"]
    places: set[tuple[int, int]] = set()
    for panel in panels:
        assert panel["title"]
        assert panel["description"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["fieldConfig"]["defaults"]["thresholds"]["steps"][0]["value"] is None
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["targets"]
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & places, f"{panel['title']} lies over another panel"
        places |= cells
    numbers = [panel["id"] for panel in board["panels"]]
    assert len(set(numbers)) == len(numbers)
    assert {variable["name"] for variable in board["templating"]["list"]} == {
        "datasource",
        "namespace",
        "test",
        "runbooks",
    }


def test_every_query_asks_for_the_chosen_namespace() -> None:
    """In each of its selectors, so that two installations in one Prometheus do not mix."""
    for name, expr in queries():
        for read in reads(expr):
            assert "namespace" in {label for label, _, _ in read.wanted}, f"{name}: {read.metric}"


def test_a_panel_draws_every_query() -> None:
    """As many targets as queries, each with a legend; a table asks for one moment."""
    committed = boards()
    for made in build.DASHBOARDS:
        drawn = [panel for panel in committed[f"{made.uid}.json"]["panels"] if panel["type"] != "row"]
        for panel, has in zip(made.panels, drawn, strict=True):
            assert [target["expr"] for target in has["targets"]] == [query.expr for query in panel.queries]
            assert all(target["legendFormat"] for target in has["targets"])
            assert all(target["instant"] is (panel.kind is Kind.TABLE) for target in has["targets"])

"""Rules and alerts: valid, tested, explained."""

import re
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.deploy.promql import ADDED, ROOT, RULES, labels, queries, reads, rules
from tools import metrics_catalogue
from tools.dashboards import build

TESTS: Final = ROOT / "deploy/prometheus/tests"
RUNBOOK: Final = ROOT / "docs/runbook.md"
ALERTS: Final = [rule for rule in rules() if rule.alert]
RECORDED: Final = {rule.name for rule in rules() if not rule.alert}
SHOWN_AS_RECONNECTS: Final = {"filo_relay_rotations_total", "filo_relay_client_joins_total"}
SEVERITIES: Final = {"critical", "warning"}


def promtool(*arguments: str) -> None:
    """Run promtool, which must be content."""
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)  # noqa: S607
    assert done.returncode == 0, done.stdout + done.stderr


def written() -> list[dict[str, Any]]:
    """Every alert as it is written."""
    groups = yaml.safe_load((RULES / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_promtool_accepts_the_rules() -> None:
    """Syntax, templates, no two alike."""
    promtool("check", "rules", *(str(path) for path in sorted(RULES.glob("*.yml"))))


def test_every_alert_fires_and_stays_silent_as_it_should() -> None:
    """The unit tests of promtool itself, on series made up for each alert."""
    promtool("test", "rules", *(str(path) for path in sorted(TESTS.glob("*.yml"))))


def test_every_alert_has_a_test_of_each_kind() -> None:
    """One that fires and one that stays silent."""
    kinds = {
        (check["alertname"], bool(check["exp_alerts"]))
        for path in TESTS.glob("*.yml")
        for group in yaml.safe_load(path.read_text())["tests"]
        for check in group["alert_rule_test"]
    }
    assert kinds == {(alert.name, fires) for alert in ALERTS for fires in (True, False)}


def test_every_alert_has_a_runbook_entry_and_every_entry_an_alert() -> None:
    """Under its own name, where its annotation says."""
    entries = set(re.findall(r"^### (Filo\w+)$", RUNBOOK.read_text(), re.MULTILINE))
    assert entries == {alert.name for alert in ALERTS}
    for alert in written():
        base = '{{ or $externalLabels.runbooks "docs/runbook.md" }}'
        assert alert["annotations"]["runbook_url"] == f"{base}#{alert['alert'].lower()}"


def test_every_runbook_entry_says_what_to_do() -> None:
    """What it means, how to look, what to do: each in a paragraph of its own."""
    text = RUNBOOK.read_text()
    for name, body in re.findall(r"^### (Filo\w+)\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL):
        for word in ("**Means.**", "**Look.**", "**Do.**"):
            assert word in body, f"{name} has no {word}"


def test_every_alert_says_how_bad_it_is_and_what_is_wrong() -> None:
    """A page or a note; a line, and a sentence with the number."""
    for alert in written():
        assert alert["labels"]["severity"] in SEVERITIES
        assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}
        assert "for" in alert, "an alert waits until it is sure"


@pytest.mark.parametrize("where", ["rules", "dashboards"])
def test_every_series_that_is_read_can_exist(where: str) -> None:
    """Each metric is given by a service or recorded by a rule; each label is the metric's, each value one of its."""
    known = labels()
    asked = [(rule.name, rule.expr) for rule in rules()] if where == "rules" else list(queries())
    assert len(asked) > 20
    for name, expr in asked:
        for read in reads(expr):
            if read.metric in RECORDED:
                continue
            assert read.metric in known, f"{name}: nothing gives {read.metric}"
            for label, operator, value in read.wanted:
                has = {**dict.fromkeys(ADDED, ()), **known[read.metric]}
                assert label in has, f"{name}: {read.metric} has no label {label}"
                if has[label] and value != ".*":
                    unknown = set(value.split("|")) - set(has[label])
                    assert not unknown, f"{name}: {label} {operator} {unknown} is never so"


def test_every_metric_is_shown_somewhere() -> None:
    """On a dashboard or in a rule; those that are not say the same in other words."""
    shown = {read.metric for _, expr in queries() for read in reads(expr)}
    shown |= {read.metric for rule in rules() for read in reads(rule.expr)}
    given = {
        entry.name
        for service in metrics_catalogue.SERVICES
        for entry in metrics_catalogue.entries(service)
        if entry.name.startswith("filo_") and not {entry.name, f"{entry.name}_bucket", f"{entry.name}_sum"} & shown
    }
    assert given == SHOWN_AS_RECONNECTS


def test_what_is_recorded_is_used() -> None:
    """By an alert, another rule or a dashboard."""
    used = {read.metric for rule in rules() for read in reads(rule.expr)}
    used |= {read.metric for _, expr in queries() for read in reads(expr)}
    assert RECORDED - used == set()


def test_dashboards_link_to_alerts_that_exist() -> None:
    """And every alert is watched on some panel."""
    linked = {panel.alert for dashboard in build.DASHBOARDS for panel in dashboard.panels if panel.alert}
    assert linked == {alert.name for alert in ALERTS}


def test_the_operators_object_holds_the_same_rules() -> None:
    """All groups, recorded first."""
    made = yaml.safe_load((ROOT / "deploy/prometheus/operator/rules.yaml").read_text())
    groups = [
        group
        for name in ("recording", "alerts")
        for group in yaml.safe_load((RULES / f"{name}.yml").read_text())["groups"]
    ]
    assert made["spec"]["groups"] == groups
    assert Path(ROOT / "deploy/prometheus/operator/rules.yaml").read_text().startswith("# Generated")

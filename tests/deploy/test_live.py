"""A real Prometheus scrapes a running Filo: dashboards and rules read what is really there."""

import os
import subprocess
import time
from collections.abc import Iterator
from typing import Final, NamedTuple

import pytest

from tests.deploy.promql import filled, queries, reads, rules
from tests.support import stack
from tests.support.prometheus import Prometheus, hurried, scraping, targets

pytestmark = pytest.mark.timeout(180)

TIMES: Final = 20
"""An hour is three minutes here."""

EMPTY: Final = {
    "filo-store: Age of handles that are given out": "no conversation changes its relay here, so none is given out",
}
"""Panels that rightly show nothing here, each with the reason."""


class Live(NamedTuple):
    """What ran: the Prometheus that watched it, since when, and how the training run ended."""

    prometheus: Prometheus
    since: float
    exit_code: int
    output: str


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """All services under a Prometheus, and a training run whose connections live two seconds, its socket cut."""
    home = tmp_path_factory.mktemp("live")
    with stack.up(home / "filo", "--speed", "20", "--connection-lifetime", "2s", "--goaway-lead", "700ms") as up:
        up.wait_ready()
        (home / "prometheus").mkdir()
        with scraping(targets(up), home / "prometheus", interval="500ms", times=TIMES) as prometheus:
            since = time.time()
            words = ["train", "--turns", "24", "--cut-client-at", "6,13", "--address", up.simulator()]
            done = subprocess.run(
                [*stack.FILO, *words],
                env=os.environ,
                cwd=home,
                capture_output=True,
                text=True,
                check=False,
                timeout=120,
            )
            ended = "filo_simulator_runs_total > 0 and on () sum(filo_relay_conversation_reconnects_count) > 0"
            assert prometheus.until(lambda: bool(prometheus.series(ended, since)), 20), done.stdout + done.stderr
            yield Live(prometheus, since, done.returncode, done.stdout + done.stderr)


def test_the_run_survives(live: Live) -> None:
    """Every turn, through rotations and cuts; what follows looks at a Filo that worked."""
    assert live.exit_code == 0, live.output


def test_every_rule_can_be_evaluated(live: Live) -> None:
    """None has an error, and every series that one of them selects is there."""
    found = live.prometheus.rules()
    assert {rule["name"] for rule in found} == {rule.name for rule in rules()}
    assert live.prometheus.until(lambda: all(rule["health"] == "ok" for rule in live.prometheus.rules()), 20), [
        (rule["name"], rule.get("lastError")) for rule in live.prometheus.rules()
    ]
    for rule in rules():
        for read in reads(hurried(rule.expr, TIMES)):
            assert live.prometheus.series(read.metric, live.since), f"{rule.name}: nothing gives {read.metric}"
            if not rule.alert:
                assert live.prometheus.series(rule.name, live.since), f"{rule.name} records nothing"


def test_every_query_of_every_dashboard_shows_something(live: Live) -> None:
    """A number at least, or it is listed why there is none."""
    nothing = {
        name.rpartition(": ")[0]: expr
        for name, expr in queries()
        if not live.prometheus.series(hurried(filled(expr), TIMES), live.since)
    }
    assert nothing.keys() == EMPTY.keys(), nothing


def test_a_storm_of_tests_is_none(live: Live) -> None:
    """Connections that live two seconds would be a reconnect storm; of a training run it wakes nobody."""
    firing = live.prometheus.series('ALERTS{alertstate="firing"}', live.since)
    names = {series["metric"]["alertname"] for series in firing}
    (storm,) = [rule.expr for rule in rules() if rule.name == "namespace:filo_reconnects_per_conversation:rate2m"]
    assert live.prometheus.series(hurried(f"({storm}) * 60 / {TIMES} > 1".replace('"no"', '"yes"'), TIMES), live.since)
    assert not names & {
        "FiloReconnectStorm",
        "FiloConversationsLostFast",
        "FiloContextLost",
        "FiloStoreErrors",
        "FiloReplayDropped",
    }
    assert "FiloDown" not in live.prometheus.alerts(), "it was true before the first scrape, and no longer is"


def test_what_prometheus_has_is_what_happened(live: Live) -> None:
    """Rotations and the two cuts of the client's socket, each counted once on its side."""
    counted = {
        (series["metric"]["side"], series["metric"]["reason"]): series["values"][-1][1]
        for series in live.prometheus.series("sum by (side, reason) (filo_relay_reconnects_total) > 0", live.since)
    }
    assert counted["client", "returned"] == 2
    assert counted["upstream", "go_away"] >= 2
    (completed,) = live.prometheus.series('filo_simulator_runs_total{outcome="completed"}', live.since)
    assert completed["values"][-1][1] == 1

"""A real Prometheus that scrapes services of this machine, in a hurry."""

import json
import re
import signal
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import yaml

from services.cli.stack import LOOPBACK, free_ports
from tests.support.stack import Up

RULES: Final = Path(__file__).parents[2] / "deploy/prometheus/rules"
_DURATION: Final = re.compile(r"\b(\d+)([smhd])\b")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_METRICS: Final = re.compile(r"^  (\w+) .*metrics http://([0-9.:]+)/metrics")

Series = dict[str, Any]
"""``metric`` and ``values``, as Prometheus answers a range."""


def hurried(text: str, times: int) -> str:
    """PromQL, or a duration, in which every duration is so many times shorter; at least a second."""
    return _DURATION.sub(lambda found: f"{max(1, int(found[1]) * _SECONDS[found[2]] // times)}s", text)


def targets(up: Up) -> dict[str, str]:
    """Where each service of a `filo up` tells its metrics."""
    return {match[1]: match[2] for line in up.printed if (match := _METRICS.match(line))}


class Prometheus:
    """A running one.

    Args:
        port: Where it listens.
    """

    def __init__(self, port: int) -> None:
        self.url = f"http://{LOOPBACK}:{port}"

    def get(self, path: str, **parameters: object) -> Any:  # noqa: ANN401 - any JSON
        """Ask its API; the answer's data."""
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=10) as answer:  # noqa: S310 - its own
            return json.load(answer)["data"]

    def series(self, expr: str, since: float, step: float = 1.0) -> list[Series]:
        """What a query gives from a moment until now, without what is not a number."""
        found = self.get("query_range", query=expr, start=since, end=time.time(), step=step)["result"]
        for each in found:
            each["values"] = [(at, float(value)) for at, value in each["values"] if value != "NaN"]
        return [each for each in found if each["values"]]

    def alerts(self) -> dict[str, str]:
        """The alerts that are pending or firing, by name."""
        return {alert["labels"]["alertname"]: alert["state"] for alert in self.get("alerts")["alerts"]}

    def rules(self) -> list[dict[str, Any]]:
        """Every rule with its health."""
        return [rule for group in self.get("rules")["groups"] for rule in group["rules"]]

    def until(self, reached: Callable[[], bool], within: float) -> bool:
        """Wait until something is so; whether it was in time."""
        deadline = time.monotonic() + within
        while not reached():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)  # nothing tells when Prometheus has looked again
        return True


@contextmanager
def scraping(where: Mapping[str, str], directory: Path, *, interval: str, times: int) -> Iterator[Prometheus]:
    """A Prometheus that scrapes services and evaluates the rules, while the context is open.

    Args:
        where: Each service's metrics address.
        directory: Where it keeps its files.
        interval: How often it scrapes and evaluates.
        times: How many times shorter the durations in the rules are.
    """
    for path in RULES.glob("*.yml"):
        rules = yaml.safe_load(path.read_text())
        for rule in (rule for group in rules["groups"] for rule in group["rules"]):
            rule |= {key: hurried(rule[key], times) for key in ("expr", "for") if key in rule}
        (directory / path.name).write_text(yaml.safe_dump(rules))
    jobs = [{"targets": [address], "labels": {"service": service}} for service, address in where.items()]
    configuration = {
        "global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
        "rule_files": [str(directory / "*.yml")],
        "scrape_configs": [{"job_name": "filo", "static_configs": jobs}],
    }
    file = directory / "prometheus.yaml"
    file.write_text(yaml.safe_dump(configuration))
    (port,) = free_ports(1)
    words = [
        f"--config.file={file}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address={LOOPBACK}:{port}",
    ]
    with (directory / "log").open("w") as log:
        process = subprocess.Popen(["prometheus", *words, "--log.level=warn"], stdout=log, stderr=log)  # noqa: S607
    prometheus = Prometheus(port)
    try:
        assert prometheus.until(lambda: _answers(prometheus), 30), (directory / "log").read_text()
        yield prometheus
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


def _answers(prometheus: Prometheus) -> bool:
    try:
        found = prometheus.get("targets", state="active")["activeTargets"]
    except OSError:
        return False
    return bool(found) and all(target["health"] == "up" for target in found)

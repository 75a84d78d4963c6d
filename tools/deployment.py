"""What is generated under ``deploy/``: dashboards from code, the operator's rules, the locks of the image."""

from pathlib import Path
from typing import Any, Final

import yaml

from tools import image_lock
from tools.dashboards import build

_HEADER: Final = "# Generated from ../rules by `make gen`: change it there.\n"


def files(root: Path) -> dict[Path, str]:
    """Every generated file and its content.

    Args:
        root: The top of the tree.
    """
    made = {root / "deploy/grafana" / name: text for name, text in build.files().items()}
    made[root / "deploy/prometheus/operator/rules.yaml"] = _HEADER + _rules(root / "deploy/prometheus/rules")
    return made | image_lock.files(root)


def _rules(directory: Path) -> str:
    """The rule files as one object of the Prometheus Operator."""
    groups: list[Any] = []
    for path in sorted(directory.glob("*.yml"), reverse=True):  # what is recorded comes before what alerts on it
        groups += yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
    rule = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "filo"},
        "spec": {"groups": groups},
    }
    return yaml.safe_dump(rule, sort_keys=False, allow_unicode=True, width=1000)

"""The scrape configuration finds every service where it is by default."""

from pathlib import Path

import yaml

from services.handles.config import Settings as Handles
from services.relay.config import Settings as Relay
from services.simulator.config import Settings as Simulator

CONFIGURATION = Path(__file__).parents[2] / "deploy" / "prometheus" / "prometheus.yml"


def test_every_service_is_scraped() -> None:
    """The targets are the default metrics addresses, each labelled with its service; none is missing, none too many."""
    (job,) = yaml.safe_load(CONFIGURATION.read_text())["scrape_configs"]
    scraped = {target["labels"]["service"]: target["targets"] for target in job["static_configs"]}
    assert scraped == {
        "relay": [str(Relay().metrics_address)],
        "handles": [str(Handles().metrics_address)],
        "simulator": [str(Simulator().metrics_address)],
    }

"""The catalogue shows what the services give, and what they give is well made."""

import subprocess

import pytest
from prometheus_client import generate_latest

from tools import metrics_catalogue


@pytest.mark.parametrize("service", metrics_catalogue.SERVICES)
def test_promtool_has_nothing_to_say(service: str) -> None:
    """Names, units, suffixes and help texts are as Prometheus wants them."""
    page = generate_latest(metrics_catalogue.registry(service))
    done = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, check=False)  # noqa: S607
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


@pytest.mark.parametrize("service", metrics_catalogue.SERVICES)
def test_names_and_texts(service: str) -> None:
    """A metric of Filo's own begins with its service, or is of every service; its help is a sentence."""
    entries = [entry for entry in metrics_catalogue.entries(service) if entry.name.startswith("filo_")]
    everywhere = {"filo_build_info", "filo_event_loop_lag_seconds"}
    assert {entry.name for entry in entries if not entry.name.startswith(f"filo_{service}_")} == everywhere
    assert [entry.name for entry in entries if not entry.text.endswith(".")] == []


def test_a_counter_is_stored_under_its_full_name() -> None:
    """As a query names it; a histogram has its three series."""
    names = metrics_catalogue.names("relay")
    assert "filo_relay_reconnects_total" in names
    assert "filo_relay_rotation_gap_seconds_bucket" in names
    assert "grpc_client_handled_total" in names
    assert "filo_relay_breaker_trips_total" in names

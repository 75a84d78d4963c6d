"""What the relay counts."""

import itertools
from typing import get_args

import pytest
from prometheus_client import CollectorRegistry

from services.common.close_codes import CLOSE_CODES
from services.relay.client.protocol import MODES
from services.relay.core import notices as tell
from services.relay.core.model import Continuity, Role, RotationReason
from services.relay.metrics import HANDLE_RESULTS, Metrics, yes_or_no


def value(registry: CollectorRegistry, name: str, **labels: str) -> float:
    """A series that must exist."""
    found = registry.get_sample_value(name, labels)
    assert found is not None, f"no series {name} {labels}"
    return found


def test_every_label_starts_at_zero() -> None:
    """A rate over a series that appears with its first event would miss that event."""
    registry = CollectorRegistry()
    Metrics(registry)
    for test in ("yes", "no"):
        for name in ("filo_relay_turns_total", "filo_relay_turns_restarted_total"):
            assert value(registry, name, test=test) == 0
        for mode in MODES:
            assert value(registry, "filo_relay_conversations", mode=mode, test=test) == 0
        for continuity in (*Continuity, "started"):
            assert value(registry, "filo_relay_client_joins_total", continuity=continuity, test=test) == 0
        for reason, continuity in itertools.product(RotationReason, Continuity):
            labels = {"reason": reason, "continuity": continuity, "test": test}
            assert value(registry, "filo_relay_rotations_total", **labels) == 0
    for result in HANDLE_RESULTS.values():
        assert value(registry, "filo_relay_resume_handles_total", result=result) == 0
    for code in CLOSE_CODES:
        assert value(registry, "filo_relay_client_closes_total", code=str(code)) == 0


def test_names_and_help() -> None:
    """`filo_relay_<noun>`, and a sentence."""
    registry = CollectorRegistry()
    Metrics(registry)
    families = list(registry.collect())
    assert all(family.name.startswith("filo_relay_") for family in families)
    assert all(family.documentation.endswith(".") for family in families)


@pytest.mark.parametrize("test", [False, True])
def test_what_a_client_is_told_is_counted(test: bool) -> None:  # noqa: FBT001
    """A rotation with its gap, a turn, a restart; a test conversation apart from the others."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    metrics.observe(tell.Rotated(RotationReason.AGE, Continuity.HANDLE, 0.07, 3), test=test)
    metrics.observe(tell.TurnEnded(3, interrupted=False), test=test)
    metrics.observe(tell.TurnEnded(4, interrupted=True), test=test)
    metrics.observe(tell.TurnRestarted(5, RotationReason.GO_AWAY), test=test)
    for label in (False, True):
        times = 1 if label is test else 0
        labels = {"reason": "age", "continuity": "handle", "test": yes_or_no(label)}
        assert value(registry, "filo_relay_rotations_total", **labels) == times
        assert value(registry, "filo_relay_turns_total", test=yes_or_no(label)) == 2 * times
        assert value(registry, "filo_relay_turns_restarted_total", test=yes_or_no(label)) == times
    assert value(registry, "filo_relay_rotation_gap_seconds_sum") == pytest.approx(0.07)
    assert value(registry, "filo_relay_rotation_gap_seconds_bucket", le="0.05") == 0
    assert value(registry, "filo_relay_rotation_gap_seconds_bucket", le="0.1") == 1


def test_other_notices_count_nothing() -> None:
    """What is no event of these is let through."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    before = [
        sample.value for family in registry.collect() for sample in family.samples if "created" not in sample.name
    ]
    metrics.observe(tell.Transcript(Role.USER, "hello", 1), test=False)
    metrics.observe(tell.InputCovered(1, 1), test=False)
    after = [sample.value for family in registry.collect() for sample in family.samples if "created" not in sample.name]
    assert before == after
    assert tell.Transcript in get_args(tell.Notice)

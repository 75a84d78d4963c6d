"""What Prometheus sees."""

import pytest
from prometheus_client import CollectorRegistry

from services.common.errors import Reason, ServiceError, invalid
from services.handles.metrics import Metrics
from services.handles.policy import Redemption
from services.handles.refusals import ALWAYS, REFUSALS


@pytest.fixture(name="registry")
def _registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture(name="metrics")
def _metrics(registry: CollectorRegistry) -> Metrics:
    return Metrics(registry)


@pytest.mark.usefixtures("metrics")
def test_every_label_starts_at_zero(registry: CollectorRegistry) -> None:
    """A rate over the first event is right, since the series was there before it."""
    for result in Redemption:
        assert registry.get_sample_value("filo_handles_redemptions_total", {"result": result.value}) == 0
        assert registry.get_sample_value("filo_handles_validations_total", {"result": result.value}) == 0
    for call, reasons in REFUSALS.items():
        fenced = registry.get_sample_value("filo_handles_fenced_total", {"call": call})
        assert fenced == (0 if Reason.EPOCH_FENCED in reasons else None)
    for reason in (*REFUSALS["AttachConversation"], *ALWAYS):
        assert registry.get_sample_value("filo_handles_attaches_total", {"result": reason.value.lower()}) == 0


@pytest.mark.usefixtures("metrics")
def test_help_is_a_sentence(registry: CollectorRegistry) -> None:
    """Every series says what it is."""
    for family in registry.collect():
        assert family.documentation.endswith("."), family.name


def test_a_call_is_counted(registry: CollectorRegistry, metrics: Metrics) -> None:
    """Under the result that the call names."""
    with metrics.call("Checkpoint") as call:
        call.result = "stored"
    assert registry.get_sample_value("filo_handles_checkpoints_total", {"result": "stored"}) == 1


def test_a_fenced_write_counts_twice(registry: CollectorRegistry, metrics: Metrics) -> None:
    """As the call's result, and as a fence."""
    with pytest.raises(ServiceError), metrics.call("Checkpoint"):
        raise ServiceError(Reason.EPOCH_FENCED, "Stop.")
    assert registry.get_sample_value("filo_handles_checkpoints_total", {"result": "epoch_fenced"}) == 1
    assert registry.get_sample_value("filo_handles_fenced_total", {"call": "Checkpoint"}) == 1


def test_no_result_is_outside_the_closed_set(registry: CollectorRegistry, metrics: Metrics) -> None:
    """Refusals, unforeseen errors and cancellations make no series that was not there at the start."""
    before = {sample.name + str(sample.labels) for family in registry.collect() for sample in family.samples}
    for error in (invalid("name", "is bad"), RuntimeError("unforeseen"), KeyboardInterrupt()):
        with pytest.raises(type(error)), metrics.call("AttachConversation"):
            raise error
    assert {sample.name + str(sample.labels) for family in registry.collect() for sample in family.samples} == before

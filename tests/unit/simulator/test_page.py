"""The page about the simulator leaves out nothing of its contract."""

import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from filo.simulator.v1 import simulator_pb2 as pb
from services.simulator import persona
from services.simulator.documents import DocumentError
from services.simulator.metrics import OUTCOMES, Metrics

PAGE = (Path(__file__).parents[3] / "docs" / "simulator.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("field", [*pb.Report.DESCRIPTOR.fields, *pb.RunSpec.DESCRIPTOR.fields], ids=lambda f: f.name)
def test_every_field_is_explained(field: object) -> None:
    """Every field of a report and of a spec has a row that begins with its name, or with that of its parts."""
    name = getattr(field, "name", "")
    assert re.search(rf"^\| (`[a-z_.]+`, )*`{name}[`.]", PAGE, re.MULTILINE), name


@pytest.mark.parametrize("outcome", OUTCOMES.values())
def test_every_outcome_is_explained(outcome: str) -> None:
    """In the words of report.json."""
    assert f"| `{outcome}` |" in PAGE


def test_every_metric_is_named() -> None:
    """What Prometheus reads is on the page."""
    registry = CollectorRegistry()
    Metrics(registry)
    for family in registry.collect():
        assert f"`{family.name}" in PAGE, family.name


def test_the_example_is_a_persona_but_for_its_length() -> None:
    """The YAML of the page is read, and lacks nothing but facts and the shares of the phases left out."""
    example = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert example is not None
    with pytest.raises(DocumentError) as raised:
        persona.parse(example[1], "page")
    assert list(raised.value.problems) == [
        "facts: there must be at least 8, there are 1",
        "phases: the shares must make 1, they make 0.3",
    ]

"""The pages about the simulator leave out nothing of its contract, and what they show can be used."""

import re
from pathlib import Path

import pytest
from google.protobuf.json_format import MessageToDict
from prometheus_client import CollectorRegistry

from filo.simulator.v1 import simulator_pb2 as pb
from services.simulator import agent, faultplan, persona, suite
from services.simulator.metrics import OUTCOMES, Metrics
from services.simulator.prospect import Prospect

PAGE = (Path(__file__).parents[3] / "docs" / "simulator.md").read_text(encoding="utf-8")
DOCUMENTS = (Path(__file__).parents[3] / "docs" / "personas.md").read_text(encoding="utf-8")


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


def examples(kind: str) -> list[str]:
    """The YAML examples of the page about documents, by the comment they begin with."""
    return re.findall(rf"```yaml\n(# {kind}\n.*?)```", DOCUMENTS, re.DOTALL)


def test_the_persona_of_the_page_can_be_used() -> None:
    """It is read as it stands, and a whole run of it can be played."""
    (example,) = examples("persona")
    museum = persona.parse(example, "page")
    assert museum.name == "museum"
    prospect = Prospect(museum, seed=1, turns=40)
    lines = [prospect.speak(0) for _ in range(40)]
    assert {line.phase for line in lines} == {phase.name for phase in museum.phases}
    assert {fact for line in lines for fact in line.told} == set(museum.facts)


def test_the_agent_of_the_page_can_be_used() -> None:
    """With a script of the length it asks for, and its tool declared."""
    (example,) = examples("agent")
    config = MessageToDict(agent.parse(example, "page").config("models/x"))
    assert 20_000 <= len(config["systemInstruction"]) / 4 < 21_000
    assert config["tools"][0]["functionDeclarations"][0]["name"] == "price_list"


def test_the_fault_plan_of_the_page_can_be_used() -> None:
    """Every kind of target, and every way to say when."""
    (example,) = examples("fault plan")
    plan = faultplan.parse(example, "page")
    assert plan.targets == set(faultplan.Target)
    due = faultplan.schedule(plan, seed=1, turns=20)
    assert {4, 6, 9, 11} <= set(due.turns)
    assert (len(due.seconds), len(due.phases)) == (1, 1)


def test_the_suite_of_the_page_can_be_used(tmp_path: Path) -> None:
    """With the persona of the page beside it, as it says: every run has a title of its own."""
    (tmp_path / "museum.yaml").write_text(examples("persona")[0], encoding="utf-8")
    (tmp_path / "nightly.yaml").write_text(examples("suite")[0], encoding="utf-8")
    loaded = suite.load(tmp_path / "nightly.yaml")
    assert len(loaded.runs) == 2 * len(persona.shipped()) + 4 + 2 + 1
    assert {run.spec.thresholds["longest_gap_ms"] for run in loaded.runs} == {5000}


def test_every_shipped_plan_is_named() -> None:
    """And every agent."""
    for name in (*faultplan.shipped(), *agent.shipped()):
        assert f"`{name}`" in DOCUMENTS

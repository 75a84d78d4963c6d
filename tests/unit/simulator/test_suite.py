"""A suite is the product of its parts; what is wrong with it, or with a document it names, is told whole."""

from pathlib import Path

import pytest

from filo.handles.v1.resources_pb2 import FEEDBACK_POLICY_REBASE, FEEDBACK_POLICY_REPLACE
from filo.simulator.v1 import simulator_pb2 as pb
from services.simulator import faultplan, persona, suite
from services.simulator.documents import DocumentError

SUITES = Path(__file__).parents[3] / "suites"
LIMITS, ADVICE = SUITES / "limits.yaml", SUITES / "advice.yaml"


def test_the_shipped_suite_covers_every_persona_and_every_fault() -> None:
    """At least 24 runs; every persona, every plan, every target, both channels, both rotations."""
    loaded = suite.load(LIMITS)
    assert len(loaded.runs) >= 24
    specs = [run.spec for run in loaded.runs]
    assert {spec.persona for spec in specs} == set(persona.shipped())
    assert {spec.fault_plan for spec in specs} - {""} == set(faultplan.shipped())
    assert any(spec.chaos for spec in specs)
    assert {spec.channel for spec in specs} >= {pb.CHANNEL_UNSPECIFIED, pb.CHANNEL_TEXT}
    assert {spec.rotation for spec in specs} >= {pb.ROTATION_UNSPECIFIED, pb.ROTATION_CLIENT}
    assert {run.fault_plan for run in loaded.runs if run.exclusive} == {
        "relay-killed",
        "relay-rolled",
        "simulator-ended",
    }
    assert len({run.title for run in loaded.runs}) == len(loaded.runs)


def test_the_shipped_suite_of_advice_has_every_policy_that_takes_it_away() -> None:
    """Each with a manager, spoken and written, under faults and without; where an instruction can be replaced."""
    loaded = suite.load(ADVICE)
    assert loaded.stack.backend == "vertex"
    for policy in (FEEDBACK_POLICY_REPLACE, FEEDBACK_POLICY_REBASE):
        specs = [run.spec for run in loaded.runs if run.spec.feedback_policy == policy]
        assert {spec.manager for spec in specs} == {pb.MANAGER_KIND_RULES}
        assert {spec.channel for spec in specs} == {pb.CHANNEL_UNSPECIFIED, pb.CHANNEL_TEXT}
        assert {bool(spec.fault_plan) for spec in specs} == {True, False}


def test_the_world_before_filo_is_the_same_suite() -> None:
    """--no-resume changes that and nothing else."""
    with_filo, without = suite.load(LIMITS), suite.load(LIMITS, no_resume=True)
    assert all(run.spec.no_resume for run in without.runs)
    for run in without.runs:
        run.spec.no_resume = False
    assert with_filo == without


def test_an_entry_is_a_product_and_says_otherwise_than_the_defaults(tmp_path: Path) -> None:
    """Personas, agents, plans and seeds are multiplied; the rest comes from the entry, then from the defaults."""
    (tmp_path / "plans").mkdir()
    (tmp_path / "plans" / "mine.yaml").write_text(
        "name: mine\nfaults: [{at: client, do: cut, when: speech, turn: 2}]", encoding="utf-8"
    )
    path = tmp_path / "s.yaml"
    path.write_text(
        """
        name: s
        stack: {connection_lifetime: 4s, goaway_lead: 500ms, speed: 20, window: 32000}
        defaults: {turns: 9, thresholds: {lost_turns: 1}, channel: text}
        runs:
          - {persona: [hostile, skeptical], agent: [ada, assistant], faults: [none, plans/mine.yaml], seeds: [1, 2]}
          - {turns: 4, channel: voice, prospect: gemini, rotation: client, manager: rules, cut_client_at_turns: [2]}
        """,
        encoding="utf-8",
    )
    loaded = suite.load(path)
    assert len(loaded.runs) == 17
    assert loaded.stack == suite.Stack(4.0, 0.5, 20.0, 32_000)
    first, last = loaded.runs[1].spec, loaded.runs[-1].spec
    assert (first.turns, first.channel, first.thresholds["lost_turns"]) == (9, pb.CHANNEL_TEXT, 1)
    assert loaded.runs[2].title == "hostile, ada, mine, seed 1"
    assert loaded.runs[2].spec.fault_plan_document.startswith("name: mine")
    assert (last.turns, last.channel, last.prospect) == (4, pb.CHANNEL_VOICE, pb.PROSPECT_KIND_GEMINI)
    assert (last.rotation, last.manager, list(last.cut_client_at_turns)) == (
        pb.ROTATION_CLIENT, pb.MANAGER_KIND_RULES, [2]
    )  # fmt: skip


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    """Of the suite and of the documents it names, each with its file and its place."""
    (tmp_path / "bad.yaml").write_text("name: bad\nphases: []", encoding="utf-8")
    (tmp_path / "empty.yaml").write_text("", encoding="utf-8")
    path = tmp_path / "s.yaml"
    path.write_text(
        """
        name: s
        stack: {speed: 0, lifetime: 4s, goaway_lead: soon}
        runs:
          - {persona: bad.yaml, seeds: [one], turns: 0, rotation: us, thresholds: {happiness: 1}}
          - {persona: nobody, faults: gone.yaml, channel: smoke, who: me}
          - {persona: hostile}
          - {persona: hostile}
          - {name: large, seeds: [9223372036854775808]}
          - {name: nothing, persona: empty.yaml}
        """,
        encoding="utf-8",
    )
    with pytest.raises(DocumentError) as raised:
        suite.load(path)
    told = "\n".join(raised.value.lines)
    for expected in (
        "stack.lifetime: is not a field",
        "stack.speed: must be a number",
        "stack.goaway_lead: ",
        f"persona {tmp_path / 'bad.yaml'}: goals: must be a list",
        "runs[0].seeds[0]: must be a whole number, not 'one'",
        "runs[0].turns: must be a whole number",
        "runs[0].rotation: must be one of relay, client, not 'us'",
        "runs[0].thresholds.happiness: is not a field",
        "runs[1].who: is not a field",
        "persona nobody: there is none of that name",
        f"fault plan {tmp_path / 'gone.yaml'}: cannot be read: No such file",
        "runs[1].channel: must be one of voice, text, not 'smoke'",
        "runs: 'hostile, none, seed 0' is there 2 times",
        "runs[4].seeds[0]: must be a whole number of 64 bits, not 9223372036854775808",
        f"persona {tmp_path / 'empty.yaml'}: must be a mapping",
    ):
        assert expected in told, expected


def test_a_suite_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    """No file, no mapping."""
    with pytest.raises(DocumentError, match="cannot be read"):
        suite.load(tmp_path / "none.yaml")
    (tmp_path / "list.yaml").write_text("- a", encoding="utf-8")
    with pytest.raises(DocumentError, match="must be a mapping"):
        suite.load(tmp_path / "list.yaml")

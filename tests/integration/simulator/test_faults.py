"""Runs under fault plans, over the real relay, store and emulator: what is broken is told, and nothing is lost."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from filo.simulator.v1 import simulator_pb2 as pb
from services.common.errors import Reason, ServiceError
from services.simulator import persona
from tests.integration.simulator.conftest import Stack
from tests.support.simulator import running_simulator

pytestmark = pytest.mark.timeout(120)
SECONDS = 100


def struck(run: pb.Run) -> list[tuple[int, str, str, str]]:
    """What was broken, in order."""
    return [(mark.at_turn, mark.target, mark.kind, mark.moment) for mark in run.report.faults]


def assert_passed(run: pb.Run) -> None:
    """Completed, and every check holds."""
    assert run.outcome == pb.OUTCOME_COMPLETED, run.reason
    assert run.report.passed, [check for check in run.report.checks if not check.passed]


async def test_each_fault_strikes_in_its_turn_and_nothing_is_lost(stack: Stack) -> None:
    """Emulator, network and client, one after the other; each is an event and a mark in the report."""
    plan = """
    name: everything
    faults:
      - {at: emulator, do: close, when: answer, turn: 3, after: 0.02, code: 1011, reason: Internal error encountered.}
      - {at: network, do: cut, when: speech, turn: 5}
      - {at: network, do: stall, when: wait, turn: 6, seconds: 0.3}
      - {at: client, do: cut, when: answer, turn: 7}
      - {at: network, do: refuse, when: pause, turn: 9, seconds: 0.1}
      - {at: emulator, do: goaway, when: turn, phase: demo, time_left: 0.5, ends_in: 0.5}
    """
    async with asyncio.timeout(SECONDS), stack() as (simulator, _):
        run = await simulator.run(turns=14, seed=4, fault_plan="everything", fault_plan_document=plan)
        other = await simulator.run(turns=4)
    assert_passed(run)
    assert struck(run)[:5] == [
        (3, "emulator", "close", "answer"),
        (5, "network", "cut", "speech"),
        (6, "network", "stall", "wait"),
        (7, "client", "cut", "answer"),
        (9, "network", "refuse", "pause"),
    ]
    assert struck(run)[5][1:] == ("emulator", "goaway", "turn")
    reasons = [mark.reason for mark in run.report.rotations]
    assert "upstream_closed" in reasons
    assert [mark.at_turn for mark in run.report.client_reconnects if mark.reason == "cut"] == [5, 7, 9]
    assert (len(other.report.faults), len(other.report.rotations)) == (0, 0), "faults are for one conversation alone"


async def test_a_fault_that_never_struck_fails_the_run(stack: Stack) -> None:
    """Beyond the run's end, for a tool that is never called, for a phase that there is none of: nothing was proved.

    What struck is told, and what only chance would have brought is missed by nobody.
    """
    plan = """
    name: hollow
    faults:
      - {at: client, do: cut, when: answer, turn: 3}
      - {at: network, do: cut, when: speech, turn: 50}
      - {at: emulator, do: cut, when: tool_call, turn: 2}
      - {at: client, do: cut, when: wait, phase: bargaining}
      - {at: client, do: cut, when: wait, turn: 4, chance: 0}
    """
    async with asyncio.timeout(SECONDS), stack() as (simulator, _):
        run = await simulator.run(turns=5, fault_plan="hollow", fault_plan_document=plan)
        forgiven = await simulator.run(
            turns=5, fault_plan="hollow", fault_plan_document=plan, thresholds={"faults_struck": 0.25}
        )
    assert (run.outcome, run.report.passed) == (pb.OUTCOME_COMPLETED, False)
    (check,) = [check for check in run.report.checks if not check.passed]
    assert (check.name, check.value) == ("faults_struck", 0.25)
    assert [shown.text for shown in check.evidence] == [
        "fault 2 (network: cut at speech) never struck: it is due in turn 50 at the earliest, and the run has 5",
        "fault 3 (emulator: cut at tool_call) in turn 2 never struck: its moment did not come",
        "fault 4 (client: cut at wait) never struck: the persona has no phase bargaining",
    ]
    assert [(mark.label, mark.target) for mark in run.report.faults] == [("fault 1, turn 3", "client")]
    assert_passed(forgiven)


async def test_the_next_line_asks_after_a_cut_while_the_prospect_thinks(stack: Stack) -> None:
    """What it says is chosen when it begins to speak, so nothing comes between a cut and the question."""
    plan = "name: thoughtful\nfaults: [{at: emulator, do: close, when: turn, turn: 4, code: 1011, reason: Internal.}]"
    document = (persona.SHIPPED / "enthusiastic.yaml").read_text("utf-8")
    document += "\nmanner: {long_pause: 60, long_pause_every: 5}\n"
    async with asyncio.timeout(SECONDS), stack() as (simulator, _):
        run = await simulator.run(
            turns=9,
            fault_plan="thoughtful",
            fault_plan_document=plan,
            persona="enthusiastic",
            persona_document=document,
        )
    assert_passed(run)
    (mark,) = (mark for mark in run.report.rotations if mark.reason == "upstream_closed")
    lines = [line for line in run.transcript if line.prospect_time.ToDatetime() > mark.time.ToDatetime()]
    assert (lines[0].turn, [fact.phrase for fact in lines[0].asked]) == (5, [run.transcript[0].told[0].phrase])


async def test_what_waits_for_a_second_strikes_then(stack: Stack) -> None:
    """By the clock, wherever the talk is."""
    plan = "name: later\nfaults: [{at: client, do: cut, when: wait, second: 0.5}]"
    async with asyncio.timeout(SECONDS), stack() as (simulator, _):
        run = await simulator.run(turns=10, fault_plan="later", fault_plan_document=plan)
    assert_passed(run)
    assert [mark.kind for mark in run.report.faults] == ["cut"]
    assert len(run.report.client_reconnects) == 1


async def test_chaos_is_survived_and_repeats_itself(stack: Stack) -> None:
    """The same seed breaks the same things in the same turns."""
    asked: dict[str, Any] = {"turns": 10, "chaos": 0.6, "seed": 3}
    async with asyncio.timeout(SECONDS), stack() as (simulator, _):
        first, second = await asyncio.gather(simulator.run(**asked), simulator.run(**asked))
    assert_passed(first)
    assert_passed(second)
    assert len(first.report.faults) >= 2
    assert sorted(struck(first)) == sorted(struck(second))


@pytest.mark.parametrize("name", sorted(set(persona.shipped()) - {"enthusiastic"}))
async def test_every_persona_gets_to_the_demo(stack: Stack, name: str) -> None:
    """Each with its manner, across limits: silences, barge-in, long lines, Italian."""
    async with asyncio.timeout(SECONDS), stack(lifetime=2.0) as (simulator, _):
        run = await simulator.run(turns=10, persona=name, seed=2)
    assert_passed(run)
    assert run.report.phases[0] == "discovery"
    assert run.report.phases[-1] == "demo"


async def test_barge_in_cuts_answers_short_and_loses_nothing(stack: Stack) -> None:
    """The interrupter speaks into answers: those are marked, and every line still gets into the context.

    The agent speaks slowly, so that no answer is over before the prospect has drawn breath.
    """
    async with asyncio.timeout(SECONDS), stack(emulator={"speed": 4.0, "thinking": 0.02}) as (simulator, _):
        run = await simulator.run(turns=8, persona="interrupter", seed=2, thresholds={"longest_silence_s": 60})
    assert_passed(run)
    interrupted = [line for line in run.transcript if line.interrupted]
    assert len(interrupted) >= 2
    assert not any(line.asked for line in interrupted)
    assert all(line.recalled for line in run.transcript if line.asked)
    for line in run.transcript:
        assert line.agent.count("point") <= 1, "each answer names its point once: none has words of another"


async def test_an_agent_uses_its_tool(stack: Stack) -> None:
    """The prospect's words make it call; the document's result comes back in the answer."""
    document = (persona.SHIPPED / "enthusiastic.yaml").read_text(encoding="utf-8")
    lines = [line for phase in persona.load("enthusiastic").phases for line in phase.lines]
    for number, line in enumerate(lines):
        document = document.replace(line, f"Please use the tool price_list with plan as team. {number}, and {{topic}}.")
    async with asyncio.timeout(SECONDS), stack() as (simulator, _):
        own = {"persona": "buyer", "persona_document": document, "thresholds": {"repeated_answers": 99}}
        run = await simulator.run(turns=12, agent="assistant", seed=1, **own)
    assert_passed(run)
    used = [line for line in run.transcript if "price_list" in line.prospect]
    assert used
    assert all("19" in line.agent for line in used)


async def test_what_this_simulator_has_no_means_for_is_refused(stack: Stack) -> None:
    """At once, with the field."""
    async with asyncio.timeout(SECONDS), stack(with_account=False) as (simulator, _):
        for field, spec in (
            ("spec.fault_plan", {"fault_plan": "closes"}),
            ("spec.judge", {"judge": True}),
            ("spec.prospect", {"prospect": pb.PROSPECT_KIND_GEMINI}),
            ("spec.thresholds", {"thresholds": {"happiness": 1.0}}),
            ("spec.persona_document", {"persona_document": "name: x"}),
            ("spec.chaos", {"chaos": 1.5}),
        ):
            with pytest.raises(ServiceError) as refused:
                await simulator.start(turns=12, **spec)
            assert refused.value.reason is Reason.INVALID_ARGUMENT
            assert refused.value.metadata["field"] == field


@pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession")  # google-genai's own
async def test_a_gemini_model_plays_the_prospect_and_judges(stack: Stack, tmp_path: Path) -> None:
    """google-genai on another base URL, here the emulator's: its words are said, its points are checks with reasons."""
    async with asyncio.timeout(SECONDS), stack(lifetime=3.0) as (_, below):
        where: dict[str, Any] = {
            "control": below.where.control_address,
            "client_url": f"ws://{below.where.client_address}",
            "emulator_url": below.emulator.control_url,
            "text_url": below.emulator.url.replace("wss:", "https:"),
            "text_ca": below.emulator.ca_path,
            "api_key": "emulator",
        }
        async with running_simulator(tmp_path / "own", **where) as simulator:
            run = await simulator.run(turns=9, seed=5, prospect=pb.PROSPECT_KIND_GEMINI, judge=True)
            plain = await simulator.run(turns=9, seed=5)
    assert run.outcome == pb.OUTCOME_COMPLETED, run.reason
    points = {check.name: check for check in run.report.checks if check.name.startswith("judge_")}
    assert set(points) == {"judge_thread", "judge_answers", "judge_progress"}
    assert all(check.passed and check.value == 5 and check.finding for check in points.values())
    told = [line for line in run.transcript if line.told]
    assert [line.prospect for line in told] == [line.prospect for line in plain.transcript if line.told]
    chat = [line.prospect for line in run.transcript if not line.told and not line.asked]
    assert chat
    assert set(chat) != {line.prospect for line in plain.transcript if not line.told and not line.asked}
    assert run.report.facts.recalled == run.report.facts.asked > 0
    assert run.report.lost_turns == 0

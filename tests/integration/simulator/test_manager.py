"""Runs with a sales manager: its advice goes the way of any platform's, and the record tells what became of it."""

import asyncio
from dataclasses import replace

import pytest

from filo.handles.v1 import resources_pb2 as resources
from filo.simulator.v1 import simulator_pb2 as pb
from tests.integration.simulator.conftest import Stack
from tests.support.emulator import running_emulator
from tests.support.relay import QUICK

SECONDS = 55
"""For a whole test; runs end long before."""

EVERY_TURN = """
name: every turn
rules:
  - advice:
      - "In turn {turn} speak of the weather in Zanzibar, and of nothing else."
"""
# google-genai derives a class from aiohttp's, which aiohttp discourages; it is not ours to change.
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")


async def test_advice_is_followed_in_the_turn_it_was_meant_for(stack: Stack) -> None:
    """After each turn but the last one item, followed in the next; so say transcript, report and events."""
    async with asyncio.timeout(SECONDS), stack() as (simulator, relay):
        started = await simulator.start(
            turns=6, manager_document=EVERY_TURN, feedback_policy=resources.FEEDBACK_POLICY_JUST_IN_TIME
        )
        events = await simulator.watch(started)
        assert relay.metric("filo_relay_feedback_total", state="delivered") == 5
    run = events[-1].finished.run
    assert (run.outcome, run.spec.manager) == (pb.OUTCOME_COMPLETED, pb.MANAGER_KIND_RULES)
    expected = [f"In turn {number} speak of the weather in Zanzibar, and of nothing else." for number in range(2, 7)]
    assert [item.text for item in run.report.advice] == expected
    assert [(item.state, item.given_after_turn, item.turn) for item in run.report.advice] == [
        ("delivered", number - 1, number) for number in range(2, 7)
    ]
    assert [line.advice for line in run.transcript] == ["", *expected]
    for line in run.transcript[1:]:
        assert line.context_by_category["feedback_live"] > 0
        assert sum(line.context_by_category.values()) == line.context_tokens
        assert f": In turn {line.turn} speak of the weather in Zanzibar" in line.agent
    told = [event.advised.state for event in events if event.HasField("advised")]
    assert (told.count("accepted"), told.count("delivered")) == (5, 5)
    followed = [check for check in run.report.checks if check.name == "advice_followed"]
    assert [check.passed for check in followed] == [True]


async def test_advice_that_is_taken_away_has_no_effect_any_more(stack: Stack) -> None:
    """With sessions that are rebuilt at once: an advised turn, a turn without advice that follows none."""
    every_other = EVERY_TURN.replace("- advice", "- when: {every: 2}\n    advice")
    policy = replace(QUICK, rebase_tokens=1, rebase_interval=0.0, rebase_reserve=0)
    async with asyncio.timeout(SECONDS), stack(relay={"policy": policy}) as (simulator, _):
        run = await simulator.run(
            turns=7, manager_document=every_other, feedback_policy=resources.FEEDBACK_POLICY_REBASE
        )
    assert run.outcome == pb.OUTCOME_COMPLETED
    assert [item.turn for item in run.report.advice] == [3, 5, 7]
    assert ["As advised" in line.agent for line in run.transcript] == [False, False, True, False, True, False, True]
    assert {item.state for item in run.report.advice[:2]} == {"removed"}
    assert {mark.continuity for mark in run.report.rotations} == {"rebased"}
    assert run.report.facts.recalled == run.report.facts.asked


async def test_a_model_may_be_the_manager(stack: Stack) -> None:
    """A Gemini text model, here the emulator's over REST: what it says is advice like any other."""
    async with asyncio.timeout(SECONDS), running_emulator() as model:
        text = {"api_key": "emulator", "text_url": model.url.replace("wss:", "https:"), "text_ca": model.ca_path}
        async with stack(**text) as (simulator, relay):
            run = await simulator.run(turns=4, manager=pb.MANAGER_KIND_GEMINI)
            assert relay.metric("filo_relay_feedback_total", state="delivered") == 3
    assert run.outcome == pb.OUTCOME_COMPLETED
    assert [(item.given_after_turn, item.turn) for item in run.report.advice] == [(1, 2), (2, 3), (3, 4)]
    for item, line in zip(run.report.advice, run.transcript[1:], strict=True):
        assert item.text[:60] in line.agent


async def test_nobody_advises_unless_asked_for(stack: Stack) -> None:
    """As runs always were."""
    async with asyncio.timeout(SECONDS), stack() as (simulator, relay):
        run = await simulator.run(turns=2)
        assert relay.metric("filo_relay_feedback_total", state="accepted") == 0
    assert (run.spec.manager, list(run.report.advice)) == (pb.MANAGER_KIND_NONE, [])

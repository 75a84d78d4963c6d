"""Runs over the real relay, store and emulator: they cross every limit, and the emulator's account says so."""

import asyncio

import pytest

from filo.simulator.v1 import simulator_pb2 as pb
from services.simulator import checks
from tests.integration.simulator.conftest import Stack

SECONDS = 55
"""For a whole test; runs end long before."""


def kinds(events: list[pb.WatchRunResponse]) -> list[str]:
    """What happened, in order."""
    return [str(event.WhichOneof("event")) for event in events]


def assert_nothing_was_lost(report: pb.Report, turns: int) -> None:
    """Everything that can be lost or doubled was counted by the emulator, and is not."""
    assert report.counted_by == "emulator"
    assert (report.outcome, report.turns_completed) == ("completed", turns)
    assert (report.lost_turns, report.duplicate_turns, report.regreetings) == (0, 0, 0)
    assert (report.audio.frames_lost, report.audio.frames_doubled) == (0, 0)
    assert report.audio.frames_sent > turns
    assert report.facts.planted > 0
    assert report.facts.recalled == report.facts.asked >= report.facts.planted


async def test_a_run_crosses_the_limits_and_its_own_cuts(stack: Stack) -> None:
    """Rotations by the relay and cuts of the client's socket, in speech and in answers: nothing lost or doubled."""
    async with asyncio.timeout(SECONDS), stack(lifetime=1.5) as (simulator, _):
        run = await simulator.run(turns=26, seed=3, cut_client_at_turns=[4, 9, 15])
    report = run.report
    assert_nothing_was_lost(report, 26)
    assert len(report.rotations) >= 2
    assert {mark.continuity for mark in report.rotations} == {"handle"}
    assert [(mark.at_turn, mark.reason) for mark in report.client_reconnects] == [(4, "cut"), (9, "cut"), (15, "cut")]
    assert [line.turn for line in run.transcript] == list(range(1, 27))
    assert all(line.agent for line in run.transcript)
    assert run.reason == "All 26 turns were completed."
    assert report.tokens.billed > report.tokens.context_by_turn[-1] > 0
    assert sum(report.tokens.by_category.values()) == report.tokens.context_by_turn[-1]
    assert simulator.metric("filo_simulator_runs_total", outcome="completed") == 1
    assert simulator.metric("filo_simulator_checks_total", check="lost_turns", result="passed") == 1
    assert simulator.metric("filo_simulator_checks_total", check="lost_turns", result="failed") == 0
    assert simulator.metric("filo_simulator_reconnects_total", reason="cut", outcome="resumed") == 3
    assert simulator.metric("filo_simulator_turns_total") == 26
    assert simulator.metric("filo_simulator_runs_running") == 0


async def test_the_clients_own_rotation_as_the_plans_have_it(stack: Stack) -> None:
    """rotation=client, step by step: warned, left, waited, back with the handle, the flag and the count cleared."""
    async with asyncio.timeout(SECONDS), stack(lifetime=1.2) as (simulator, _):
        started = await simulator.start(turns=20, rotation=pb.ROTATION_CLIENT)
        events = await simulator.watch(started)
    run = events[-1].finished.run
    assert_nothing_was_lost(run.report, 20)
    assert not run.report.rotations
    marks = run.report.client_reconnects
    assert len(marks) >= 2
    assert {(mark.reason, mark.attempts, mark.continuity) for mark in marks} == {("go_away", 1, "handle")}
    story = [kind for kind in kinds(events) if kind in ("expiring", "disconnected", "reconnecting", "reconnected")]
    assert story == ["expiring", "disconnected", "reconnecting", "reconnected"] * len(marks)
    expiring = next(event.expiring for event in events if event.HasField("expiring"))
    assert expiring.has_handle
    assert 0 < expiring.time_left.ToTimedelta().total_seconds() < 1.2


async def test_without_resumption_the_run_is_lost_at_the_first_limit(stack: Stack) -> None:
    """The world before Filo, as a control: the same conversation dies, says so, and is kept."""
    async with asyncio.timeout(SECONDS), stack(lifetime=1.5) as (simulator, _):
        run = await simulator.run(turns=200, no_resume=True)
        kept = await simulator.get(run)
    assert run.outcome == pb.OUTCOME_LOST
    assert "does not resume" in run.reason
    assert 0 < run.turns_completed < 200
    assert not run.report.client_reconnects
    assert not run.report.rotations
    assert kept == run
    assert len(kept.transcript) in (run.turns_completed, run.turns_completed + 1)
    assert simulator.metric("filo_simulator_runs_total", outcome="lost") == 1


async def test_in_writing(stack: Stack) -> None:
    """The text channel: no frames, so the agent's own memory is what is counted, and the report says by whom."""
    async with asyncio.timeout(SECONDS), stack(lifetime=1.0) as (simulator, _):
        run = await simulator.run(turns=24, channel=pb.CHANNEL_TEXT, cut_client_at_turns=[3])
    report = run.report
    assert (report.outcome, report.counted_by, report.audio.frames_sent) == ("completed", "client", 0)
    assert (report.lost_turns, report.duplicate_turns, report.regreetings) == (0, 0, 0)
    assert report.facts.recalled == report.facts.asked > 0
    assert len(report.client_reconnects) == 1
    assert report.rotations


async def test_without_an_emulator_the_client_counts(stack: Stack) -> None:
    """As before a real Gemini: the report says who counted, and finds nothing lost."""
    async with asyncio.timeout(SECONDS), stack(with_account=False) as (simulator, _):
        run = await simulator.run(turns=6)
    assert (run.report.counted_by, run.report.lost_turns, run.report.audio.frames_lost) == ("client", 0, 0)
    assert run.report.audio.frames_sent > 0


async def test_a_relay_that_has_no_upstream_ends_the_run_with_a_reason(stack: Stack) -> None:
    """R3.4: what cannot go on is completed gracefully, with a sentence, and kept."""
    async with asyncio.timeout(SECONDS), stack(emulator={"bad_key": "emulator"}, turn_timeout=5.0) as (simulator, _):
        run = await simulator.run(turns=3)
        kept = await simulator.get(run)
    assert run.outcome in (pb.OUTCOME_LOST, pb.OUTCOME_FAILED)
    assert run.reason.endswith(".")
    assert kept.report.turns_planned == 3
    assert kept.report.turns_completed == 0


async def test_many_runs_at_once_do_not_hear_each_other(stack: Stack) -> None:
    """Each run has its own voice, even with one seed; every account is clean."""
    async with asyncio.timeout(SECONDS), stack(lifetime=2.0) as (simulator, _):
        runs = await asyncio.gather(*(simulator.run(turns=8, seed=1) for _ in range(6)))
    for run in runs:
        assert_nothing_was_lost(run.report, 8)
    assert len({line.prospect for run in runs for line in run.transcript if line.turn == 1}) == 1


async def test_the_agent_never_greets_twice_and_is_heard_to(stack: Stack) -> None:
    """The greeting that the check counts is really there, once: the check is not silent for want of a greeting."""
    async with asyncio.timeout(SECONDS), stack(lifetime=1.5) as (simulator, _):
        run = await simulator.run(turns=12)
    greetings = [line.turn for line in run.transcript if checks.GREETING.search(line.agent)]
    assert greetings == [1]


@pytest.mark.parametrize("where", ["before", "in", "after"])
async def test_watching_may_begin_and_go_on_anywhere(stack: Stack, where: str) -> None:
    """R3.7: every watcher sees each event once, numbered without holes, whenever it comes and from wherever."""
    async with asyncio.timeout(SECONDS), stack() as (simulator, _):
        started = await simulator.start(turns=4)
        first = []
        if where != "before":
            async for event in simulator.stub.WatchRun(pb.WatchRunRequest(name=started.name)):
                first.append(event)
                if where == "in" and len(first) == 5:
                    break
        rest = await simulator.watch(started, after=len(first))
    assert [event.sequence for event in [*first, *rest]] == list(range(1, len(first) + len(rest) + 1))
    assert kinds([*first, *rest])[-1] == "finished"
    assert kinds([*first, *rest])[:2] == ["started", "prospect_said"]


async def test_a_talk_that_outgrows_the_window_loses_nothing_by_it(stack: Stack) -> None:
    """The model's own window drops the oldest turns: that is told, and is neither a lost turn nor a lost frame."""
    async with asyncio.timeout(SECONDS), stack(emulator={"window": 1500}) as (simulator, _):
        run = await simulator.run(turns=20, seed=3)
    checks = {check.name: check for check in run.report.checks}
    assert run.outcome == pb.OUTCOME_COMPLETED, run.reason
    assert (run.report.lost_turns, run.report.audio.frames_lost) == (0, 0)
    assert "dropped turns 1 to" in checks["lost_turns"].finding
    assert checks["frames_doubled"].passed

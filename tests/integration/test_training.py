"""The whole path: a training conversation through simulator, relay, handle store and emulator crosses every limit.

The demo in small, with other numbers: real gRPC, real WebSockets, real TLS, a real database; what is lost or doubled is
counted by the emulator, which hears every frame, not by who sent it.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from filo.simulator.v1 import simulator_pb2 as pb
from tests.support.relay import RunningRelay, running_relay
from tests.support.simulator import RunningSimulator, running_simulator

pytestmark = pytest.mark.timeout(120)


@asynccontextmanager
async def house(directory: Path, lifetime: float) -> AsyncIterator[tuple[RunningRelay, RunningSimulator]]:
    """All four services, with upstream connections that live so many seconds."""
    async with (
        running_relay(directory, emulator={"lifetime": lifetime}) as relay,
        running_simulator(
            directory,
            control=relay.where.control_address,
            client_url=f"ws://{relay.where.client_address}",
            emulator_url=relay.emulator.control_url,
        ) as simulator,
    ):
        yield relay, simulator


def whole(report: pb.Report) -> None:
    """Nothing was lost, doubled, forgotten or said again."""
    assert report.counted_by == "emulator"
    assert (report.lost_turns, report.duplicate_turns, report.regreetings) == (0, 0, 0)
    assert (report.audio.frames_lost, report.audio.frames_doubled) == (0, 0)
    assert report.audio.frames_sent > report.turns_completed
    assert report.facts.planted >= 7
    assert report.facts.recalled == report.facts.asked >= report.facts.planted


async def test_a_conversation_crosses_every_limit(tmp_path: Path) -> None:
    """26 turns over connections of 1.2 s, and two cuts of the client's own socket: all is known at the end."""
    async with house(tmp_path, lifetime=1.2) as (relay, simulator):
        done = await simulator.run(turns=26, seed=11, cut_client_at_turns=[4, 17])
    report = done.report
    assert done.outcome == pb.OUTCOME_COMPLETED
    assert report.turns_completed == report.turns_planned == 26
    whole(report)
    assert len(report.rotations) >= 3
    assert {mark.continuity for mark in report.rotations} == {"handle"}
    reasons = [mark.reason for mark in report.rotations]
    assert "go_away" in reasons
    assert set(reasons) <= {"go_away", "upstream_closed"}, "a busy machine may miss a margin of 0.1 s"
    assert [(mark.at_turn, mark.reason) for mark in report.client_reconnects] == [(4, "cut"), (17, "cut")]
    assert len(report.tokens.context_by_turn) == 26
    assert 0 < report.tokens.context_by_turn[0] < report.tokens.context_by_turn[-1]
    assert report.tokens.billed > report.tokens.context_by_turn[-1]
    assert sum(report.tokens.by_category.values()) == report.tokens.context_by_turn[-1]
    assert len({line.prospect for line in done.transcript}) == 26
    counted = relay.metric("filo_relay_rotations_total", reason="go_away", continuity="handle", test="yes")
    assert counted == reasons.count("go_away")


async def test_without_resumption_the_same_conversation_is_lost(tmp_path: Path) -> None:
    """The control, the world before Filo: the run dies at the first limit, is kept, and says so."""
    async with house(tmp_path, lifetime=1.2) as (_, simulator):
        done = await simulator.run(turns=26, seed=11, no_resume=True)
    assert done.outcome == pb.OUTCOME_LOST
    assert 0 < done.turns_completed < 26
    assert "1012" in done.reason
    assert not done.report.client_reconnects
    assert done.transcript


async def test_the_client_rotates_by_itself(tmp_path: Path) -> None:
    """rotation=client (R3.1 to R3.5): each goAway is answered by a reconnect with the handle, at the same turn."""
    async with house(tmp_path, lifetime=1.2) as (relay, simulator):
        done = await simulator.run(turns=22, seed=3, rotation=pb.ROTATION_CLIENT)
    report = done.report
    assert done.outcome == pb.OUTCOME_COMPLETED
    whole(report)
    assert not report.rotations, "the relay leaves it to the client"
    assert len(report.client_reconnects) >= 3
    assert {(mark.reason, mark.continuity) for mark in report.client_reconnects} == {("go_away", "handle")}
    assert relay.metric("filo_relay_resume_handles_total", result="valid") + relay.metric(
        "filo_relay_resume_handles_total", result="superseded"
    ) == len(report.client_reconnects)

"""The report of a run: what was counted, in the shape of the contract."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Final

from filo.simulator.v1 import simulator_pb2 as pb
from services.simulator import checks, verdicts
from services.simulator.checks import Held
from services.simulator.metrics import OUTCOMES
from services.simulator.record import Record

BY_EMULATOR: Final = "emulator"
BY_CLIENT: Final = "client"
NOT_COUNTED: Final = ""
RUNNING: Final = "running"

WINDOWS: Final[Mapping[str, int]] = MappingProxyType(
    {
        "gemini-2.5-flash-native-audio": 128_000,
        "gemini-live-2.5-flash-native-audio": 128_000,
        "gemini-live-2.5-flash": 32_000,
        "gemini-2.0-flash-live": 32_000,
        "gemini-3.1-flash-live": 128_000,
        "gemini-3.8-live": 128_000,
    }
)
"""Context windows in tokens, by how a model's name begins; native audio 128k, others 32k (Google's Live API guide)."""


def window(model: str) -> int:
    """The window of a model in tokens; 0 where it is not known."""
    name = model.rpartition("/")[2]
    return WINDOWS[max(known, key=len)] if (known := [row for row in WINDOWS if name.startswith(row)]) else 0


def build(run: pb.Run, record: Record, held: Held, counted_by: str, judged: Sequence[pb.Check] = ()) -> pb.Report:
    """Put a report together.

    Args:
        run: The run, with its outcome if it has ended.
        record: What was counted while it ran.
        held: What of it the agent's context has.
        counted_by: Who said so; `NOT_COUNTED` while the run is in progress.
        judged: The checks; none while the run is in progress.
    """
    facts = checks.facts(record.turns)
    doubled = {*held.doubled, *checks.redelivered(record.turns)}
    return pb.Report(
        run_id=run.name.removeprefix("runs/"),
        outcome=OUTCOMES.get(run.outcome, RUNNING),
        turns_planned=run.spec.turns,
        turns_completed=len(record.completed),
        lost_turns=len(held.lost),
        duplicate_turns=len(doubled),
        regreetings=checks.regreetings(record.turns),
        facts=pb.Facts(planted=facts.planted, asked=facts.asked, recalled=facts.recalled),
        rotations=record.rotations,
        client_reconnects=record.reconnects,
        audio=pb.Audio(
            frames_sent=record.frames_sent, frames_lost=held.frames_lost, frames_doubled=held.frames_doubled
        ),
        tokens=_tokens(record),
        restarted_turns=sum(turn.restarts > 0 for turn in record.turns),
        counted_by=counted_by,
        passed=verdicts.passed(run.outcome, judged),
        checks=judged,
        faults=record.faults,
        takeovers=record.takeovers,
        context_window=window(run.spec.model),
        advice=record.advice.values(),
        phases=record.phases,
        conversation_seconds=_seconds(record) * run.spec.speed,
    )


def give_up(run: pb.Run, record: Record, why: str, now: datetime) -> None:
    """End a run that nobody can perform, in `run`; what it had reached is kept.

    Args:
        run: As it was stored.
        record: Of its stored events.
        why: A sentence.
        now: In UTC.
    """
    run.outcome, run.reason, run.conversation = pb.OUTCOME_FAILED, why, record.conversation
    run.end_time.FromDatetime(now)
    run.turns_completed = len(record.completed)
    run.report.CopyFrom(build(run, record, checks.held_by_relay(record.completed, covered=0), BY_CLIENT))
    run.transcript.extend(record.transcript())


def _tokens(record: Record) -> pb.Tokens:
    return pb.Tokens(
        context_by_turn=[turn.context_tokens for turn in record.completed],
        billed=record.billed,
        by_category=record.by_category,
    )


def _seconds(record: Record) -> float:
    """From the first word to the end of the last answer, by the clock."""
    began = [turn.began for turn in record.turns if turn.began is not None]
    ended = [turn.ended for turn in record.turns if turn.ended is not None]
    return max(0.0, (max(ended) - min(began)).total_seconds()) if began and ended else 0.0

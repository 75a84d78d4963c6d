"""The report of a run: what was counted, in the shape of the contract."""

from filo.simulator.v1 import simulator_pb2 as pb
from services.simulator import checks
from services.simulator.checks import Held
from services.simulator.metrics import OUTCOMES
from services.simulator.record import Record

BY_EMULATOR = "emulator"
BY_CLIENT = "client"
NOT_COUNTED = ""
RUNNING = "running"


def build(run: pb.Run, record: Record, held: Held, counted_by: str) -> pb.Report:
    """Put a report together.

    Args:
        run: The run, with its outcome if it has ended.
        record: What was counted while it ran.
        held: What of it the agent's context has.
        counted_by: Who said so; `NOT_COUNTED` while the run is in progress.
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
    )


def _tokens(record: Record) -> pb.Tokens:
    return pb.Tokens(
        context_by_turn=[record.context_by_turn.get(turn.number, 0) for turn in record.completed],
        billed=record.billed,
        by_category=record.by_category,
    )

"""How a run ends that loses its conversation, in a sentence. Pure."""

from dataclasses import dataclass

from filo.client import Over
from filo.simulator.v1 import simulator_pb2 as pb


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended: an outcome, and a sentence that explains it."""

    outcome: pb.Outcome.ValueType
    reason: str


def lost(spec: pb.RunSpec, over: Over, turn: int, *, opened: bool, goes_on: bool) -> Ending:
    """The connection is gone for good.

    Args:
        spec: What was asked for.
        over: What the client says of its end.
        turn: The turn in progress.
        opened: The socket had been open.
        goes_on: Another process had begun the run.
    """
    how = f"code {over.code}{f', {over.reason}' if over.reason else ''}"
    if not opened:
        begun = "go on" if goes_on else "begin"
        return Ending(pb.OUTCOME_FAILED, f"The run could not {begun}: the relay's socket did not open ({how}).")
    if spec.no_resume:
        said = f"The connection ended in turn {turn} (code {over.code}), and the conversation with it"
        return Ending(pb.OUTCOME_LOST, f"{said}: this run does not resume.")
    if over.ended:
        return Ending(pb.OUTCOME_LOST, f"The relay ended the conversation in turn {turn} ({how}).")
    tried = f"{over.attempts} attempts to come back failed" if over.attempts else "it cannot come back"
    return Ending(pb.OUTCOME_LOST, f"The connection was lost in turn {turn} and {tried} ({how}).")


def orphaned(turn: int) -> Ending:
    """The simulator that performed a run without resumption is gone, and what it was connected to with it."""
    said = f"The simulator ended in turn {turn}, and the conversation with it"
    return Ending(pb.OUTCOME_LOST, f"{said}: this run does not resume.")

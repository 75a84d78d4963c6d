"""What is known of a run: a fold over its events, and what only the simulator itself can count.

The events are stored as they happen, so the record of a run whose simulator died is read from them (`recall`), and is
the same as the one that was kept while it ran. Frames and inputs are not events: they are known only to the process
that sent them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from filo.simulator.v1 import simulator_pb2 as pb


@dataclass
class Turn:
    """One turn of a run.

    Attributes:
        number: From 1.
        prospect: What the prospect said.
        phase: In which phase of the talk.
        agent: What the agent was heard to answer; empty until it was heard to its end.
        deliveries: How often an answer to it was delivered complete.
        restarts: How often a cut made it start again.
        frames: Numbers of the spoken frames it was sent in; empty in the text channel.
        last_input: The client's number of its last spoken frame or text.
    """

    number: int
    prospect: str
    phase: str = ""
    agent: str = ""
    deliveries: int = 0
    restarts: int = 0
    frames: range = range(0)
    last_input: int = 0

    @property
    def completed(self) -> bool:
        """Whether its answer was heard to its end."""
        return self.deliveries > 0


@dataclass
class Record:
    """Everything that was counted in a run so far."""

    conversation: str = ""
    turns: list[Turn] = field(default_factory=list)
    rotations: list[pb.RotationMark] = field(default_factory=list)
    reconnects: list[pb.ReconnectMark] = field(default_factory=list)
    context_by_turn: dict[int, int] = field(default_factory=dict)
    billed: int = 0
    by_category: dict[str, int] = field(default_factory=dict)
    frames_sent: int = 0

    @property
    def completed(self) -> list[Turn]:
        """The turns whose answer was heard to its end."""
        return [turn for turn in self.turns if turn.completed]

    def turn(self, number: int) -> Turn | None:
        """The turn of that number, if the run has come to it."""
        return self.turns[number - 1] if 0 < number <= len(self.turns) else None

    def apply(self, event: pb.WatchRunResponse) -> None:
        """Take one event into account."""
        turn = self.turn(event.turn)
        match event.WhichOneof("event"):
            case "started":
                self.conversation = event.started.conversation
            case "prospect_said":
                self.turns.append(Turn(event.turn, event.prospect_said.text, event.prospect_said.phase))
            case "agent_said" if turn is not None:
                turn.agent = turn.agent or event.agent_said.text
                turn.deliveries += 1
            case "tokens_counted":
                self.context_by_turn[event.turn] = event.tokens_counted.context
                self.billed = event.tokens_counted.billed
            case "rotated":
                self.rotations.append(event.rotated)
            case "reconnected":
                self.reconnects.append(event.reconnected)
            case "restarted" if turn is not None:
                turn.restarts += 1

    def transcript(self) -> list[pb.TranscriptLine]:
        """What was said, turn by turn."""
        return [
            pb.TranscriptLine(turn=turn.number, prospect=turn.prospect, agent=turn.agent, restarted=turn.restarts > 0)
            for turn in self.turns
        ]


def recall(events: Iterable[pb.WatchRunResponse]) -> Record:
    """The record of a run from its stored events."""
    record = Record()
    for event in events:
        record.apply(event)
    return record

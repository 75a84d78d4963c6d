"""What is known of a run: a fold over its events, and what only the simulator itself can count.

The events are stored as they happen, so the record of a run whose simulator died is read from them, and is the same as
the one that was kept while it ran. Frames and inputs are not events: which frames a turn was spoken in follows from the
lines, and what the relay has of them is known only to the process that sent them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

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
        told: The facts that the prospect told in it, by phrase.
        asked: The facts that it asked for, as they were told.
        interrupted: The prospect spoke into the answer.
        began: When the prospect began to speak.
        answering: When the agent was first heard.
        ended: When the answer was heard to its end.
        context: Context tokens after it, by category; empty where the relay did not say.
        context_tokens: The whole context after it.
        billed: Tokens billed since the run began.
        advice: The newest advice that the agent could know of.
        disturbances: How often a connection had been replaced or come back when it began.
    """

    number: int
    prospect: str
    phase: str = ""
    agent: str = ""
    deliveries: int = 0
    restarts: int = 0
    frames: range = range(0)
    last_input: int = 0
    told: dict[str, str] = field(default_factory=dict)
    asked: dict[str, str] = field(default_factory=dict)
    interrupted: bool = False
    began: datetime | None = None
    answering: datetime | None = None
    ended: datetime | None = None
    context: dict[str, int] = field(default_factory=dict)
    context_tokens: int = 0
    billed: int = 0
    advice: str = ""
    disturbances: int = 0

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
    takeovers: list[pb.TakeoverMark] = field(default_factory=list)
    faults: list[pb.FaultMark] = field(default_factory=list)
    advice: dict[str, pb.Advice] = field(default_factory=dict)
    removals: dict[str, datetime] = field(default_factory=dict)
    billed: int = 0
    by_category: dict[str, int] = field(default_factory=dict)
    frames_sent: int = 0

    @property
    def completed(self) -> list[Turn]:
        """The turns whose answer was heard to its end."""
        return [turn for turn in self.turns if turn.completed]

    @property
    def disturbances(self) -> int:
        """How often a connection was replaced or came back, or the simulator itself did."""
        return len(self.rotations) + len(self.reconnects) + len(self.takeovers)

    @property
    def phases(self) -> list[str]:
        """The phases that were reached, in order."""
        return list(dict.fromkeys(turn.phase for turn in self.turns if turn.phase))

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
                self.turns.append(self._begun(event))
            case "answering" if turn is not None:
                turn.answering = turn.answering or event.time.ToDatetime()
            case "agent_said" if turn is not None:
                self._answered(turn, event)
            case "tokens_counted":
                self._counted(turn, event.tokens_counted)
            case "advised":
                self._advised(event.advised, event.time.ToDatetime())
            case "restarted" if turn is not None:
                turn.restarts += 1
            case "rotated" | "reconnected" | "taken_over" | "fault_struck" as kind:
                self._mark(kind, getattr(event, kind))

    def _mark(self, kind: str, mark: Any) -> None:  # noqa: ANN401 - each list has its own kind
        lists: dict[str, list[Any]] = {
            "rotated": self.rotations,
            "reconnected": self.reconnects,
            "taken_over": self.takeovers,
            "fault_struck": self.faults,
        }
        lists[kind].append(mark)

    def _begun(self, event: pb.WatchRunResponse) -> Turn:
        said = event.prospect_said
        return Turn(
            event.turn,
            said.text,
            said.phase,
            told={fact.phrase: fact.value for fact in said.told},
            asked={fact.phrase: fact.value for fact in said.asked},
            began=event.time.ToDatetime(),
            disturbances=self.disturbances,
        )

    def _answered(self, turn: Turn, event: pb.WatchRunResponse) -> None:
        turn.agent = turn.agent or event.agent_said.text
        turn.interrupted = turn.interrupted or event.agent_said.interrupted
        turn.ended = turn.ended or event.time.ToDatetime()
        turn.deliveries += 1

    def _advised(self, item: pb.Advice, when: datetime) -> None:
        """What became of advice may be told before or after the answer to the turn that it served."""
        self.advice[item.id] = item
        if item.state == "removed":
            self.removals.setdefault(item.id, when)
        served = self.turn(item.turn)
        newest = [known for known in self.advice.values() if known.turn == item.turn][-1]
        if served is not None:
            served.advice = newest.text

    def _counted(self, turn: Turn | None, counted: pb.TokensCounted) -> None:
        if counted.billed >= self.billed:  # what is told of an earlier turn does not go before the newest
            self.billed = counted.billed
            self.by_category = dict(counted.by_category)
        if turn is not None:
            turn.context_tokens, turn.billed = counted.context, counted.billed
            turn.context = dict(counted.by_category)

    def transcript(self) -> list[pb.TranscriptLine]:
        """What was said, turn by turn."""
        return [_line(turn) for turn in self.turns]


def recall(events: Iterable[pb.WatchRunResponse]) -> Record:
    """The record of a run from its stored events."""
    record = Record()
    for event in events:
        record.apply(event)
    return record


def facts(by_phrase: dict[str, str]) -> list[pb.Fact]:
    """Facts in the shape of the contract."""
    return [pb.Fact(phrase=phrase, value=value) for phrase, value in by_phrase.items()]


def _line(turn: Turn) -> pb.TranscriptLine:
    line = pb.TranscriptLine(
        turn=turn.number,
        prospect=turn.prospect,
        agent=turn.agent,
        restarted=turn.restarts > 0,
        phase=turn.phase,
        interrupted=turn.interrupted,
        told=facts(turn.told),
        asked=facts(turn.asked),
        context_tokens=turn.context_tokens,
        context_by_category=turn.context,
        billed_tokens=turn.billed,
        deliveries=turn.deliveries,
        advice=turn.advice,
    )
    moments: tuple[tuple[Timestamp, datetime | None], ...] = (
        (line.prospect_time, turn.began),
        (line.agent_time, turn.answering),
        (line.complete_time, turn.ended),
    )
    for moment, at in moments:
        if at is not None:
            moment.FromDatetime(at)
    if turn.asked and turn.completed and not turn.interrupted:
        line.recalled = all(said_in(turn.agent, value) for value in turn.asked.values())
    return line


def said_in(answer: str, value: str) -> bool:
    """Whether an answer says a value, whatever the case and the spaces."""
    return plain(value) in plain(answer)


def plain(text: str) -> str:
    """Words in lower case with single spaces, to compare by."""
    return " ".join(text.lower().split())

"""A run as it is told: turns in order, and between and within them everything that happened to the connection."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from filo.simulator.v1 import simulator_pb2 as pb
from services.common import voice
from services.simulator.html import words


class Kind(StrEnum):
    """What happened."""

    ROTATION = "rotation"
    RETURN = "return"
    TAKEOVER = "takeover"
    FAULT = "fault"


TITLES: Final = {
    Kind.ROTATION: "Connection to Gemini replaced",
    Kind.RETURN: "Client's socket came back",
    Kind.TAKEOVER: "Another simulator went on",
    Kind.FAULT: "Broken on purpose",
}


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to the conversation.

    Attributes:
        kind: What.
        turn: In which turn, or before which.
        at: Seconds since the run began; None where it is not known.
        detail: In words.
        gap_ms: How long there was no connection; 0 for a fault.
        lost: The context did not survive.
    """

    kind: Kind
    turn: int
    at: float | None
    detail: str
    gap_ms: int = 0
    lost: bool = False

    @property
    def title(self) -> str:
        """What happened, in a few words."""
        return TITLES[self.kind]

    @property
    def is_cut(self) -> bool:
        """Whether a connection was lost in it."""
        return self.kind is not Kind.FAULT


@dataclass(slots=True)
class Turn:
    """A turn, in seconds since the run began; None where a moment is not known.

    Attributes:
        line: What was said.
        began: The prospect began to speak.
        spoken: The prospect was done.
        answering: The agent was first heard.
        complete: The agent was heard to its end.
        during: What happened while they spoke.
        after: What happened then, before the next turn.
    """

    line: pb.TranscriptLine
    began: float | None = None
    spoken: float | None = None
    answering: float | None = None
    complete: float | None = None
    during: list[Event] = field(default_factory=list)
    after: list[Event] = field(default_factory=list)

    @property
    def events(self) -> list[Event]:
        """Everything that happened in it."""
        return [*self.during, *self.after]


@dataclass(slots=True)
class Story:
    """A whole run.

    Attributes:
        run: Its record.
        turns: In order.
        events: Everything that happened, in order.
        before: Of these, what came before the first turn.
        seconds: From the start to the last moment that is known.
    """

    run: pb.Run
    turns: list[Turn]
    events: list[Event]
    before: list[Event] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def cuts(self) -> list[Event]:
        """Each loss of a connection."""
        return [event for event in self.events if event.is_cut]

    @property
    def longest_gap(self) -> int:
        """In milliseconds; 0 where there was none."""
        return max((event.gap_ms for event in self.cuts), default=0)

    @property
    def largest_context(self) -> int:
        """In tokens."""
        return max((turn.line.context_tokens for turn in self.turns), default=0)

    def phases(self) -> Iterator[tuple[str, list[Turn]]]:
        """The turns, by the phase of the talk, as it comes."""
        part: list[Turn] = []
        for turn in self.turns:
            if part and turn.line.phase != part[0].line.phase:
                yield part[0].line.phase, part
                part = []
            part.append(turn)
        if part:
            yield part[0].line.phase, part


def tell(run: pb.Run) -> Story:
    """Put a record in order."""
    zero = next((line.prospect_time for line in run.transcript if line.HasField("prospect_time")), Timestamp())
    turns = [_turn(line, zero, run.spec) for line in run.transcript]
    events = sorted(_events(run.report, zero), key=lambda event: (event.turn, event.at or 0.0))
    story = Story(run, turns, events)
    for event in events:
        _place(event, story)
    known = [turn.complete or turn.began or 0.0 for turn in turns] + [event.at or 0.0 for event in events]
    story.seconds = max(known, default=0.0)
    return story


def _turn(line: pb.TranscriptLine, zero: Timestamp, spec: pb.RunSpec) -> Turn:
    turn = Turn(
        line,
        words.between(zero, line.prospect_time),
        None,
        words.between(zero, line.agent_time),
        words.between(zero, line.complete_time),
    )
    if turn.began is not None:
        frames = 0 if spec.channel == pb.CHANNEL_TEXT else voice.frame_count(line.prospect)
        done = turn.began + frames * voice.FRAME_SECONDS / (spec.speed or 1.0)
        turn.spoken = done if turn.answering is None else min(done, turn.answering)
    return turn


def _events(report: pb.Report, zero: Timestamp) -> Iterator[Event]:
    for mark in report.rotations:
        told = f"{words.reason(mark.reason)}; {words.kept(mark.continuity)}"
        lost = mark.continuity == "none"
        at = words.between(zero, mark.time)
        yield Event(Kind.ROTATION, mark.at_turn, at, told, mark.gap_ms, lost)
    for back in report.client_reconnects:
        tries = words.count(back.attempts, "attempt")
        told = f"{words.reason(back.reason)}; after {tries}, {words.kept(back.continuity)}"
        at = words.between(zero, back.time)
        yield Event(Kind.RETURN, back.at_turn, at, told, back.gap_ms, back.continuity == "none")
    for taken in report.takeovers:
        told = "the process that performed the run had " + ("been told to stop" if taken.handed_over else "died")
        yield Event(Kind.TAKEOVER, taken.at_turn, words.between(zero, taken.time), told, taken.gap_ms)
    for fault in report.faults:
        told = f"{fault.target}: {fault.kind.replace('_', ' ')}"
        told += f", in the {fault.moment.replace('_', ' ')}" if fault.moment else ""
        told += f" ({fault.detail})" if fault.detail else ""
        yield Event(Kind.FAULT, fault.at_turn, words.between(zero, fault.time), told)


def _place(event: Event, story: Story) -> None:
    """By the clock where there is one, by the number of the turn where not."""
    turn = _turn_of(event, story.turns)
    if turn is None:
        story.before.append(event)
        return
    over = turn.complete is not None and event.at is not None and event.at > turn.complete
    (turn.after if over else turn.during).append(event)


def _turn_of(event: Event, turns: Sequence[Turn]) -> Turn | None:
    if event.at is None:
        return next((turn for turn in turns if turn.line.turn == event.turn), turns[-1] if turns else None)
    begun = [turn for turn in turns if turn.began is not None and turn.began <= event.at]
    return begun[-1] if begun else None

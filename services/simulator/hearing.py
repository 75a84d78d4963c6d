"""What the prospect hears and notices: the client's events become the run's events. No I/O.

An answer is what was heard of it. The test voice carries its text, so a whole utterance of it is believed first; then
the transcript of the relay, which is all there is for an ordinary voice; an answer completed while the client was away
comes as text. What was heard of an answer that starts again is forgotten.
"""

from functools import singledispatchmethod
from typing import Final

from filo.client import (
    AttemptFailed,
    Audio,
    Disconnected,
    Event,
    Over,
    Reconnected,
    Reconnecting,
    messages,
)
from filo.simulator.v1 import simulator_pb2 as pb
from services.common.voice import Heard, Listener
from services.simulator import checks
from services.simulator.journal import Journal
from services.simulator.metrics import Metrics
from services.simulator.record import Record, Turn, said_in

_AGENT_RATE: Final = 24_000


class Ear:
    """What was heard of the answer in progress."""

    def __init__(self) -> None:
        self._listener = Listener(_AGENT_RATE)
        self._spoken: list[Heard] = []
        self._written: list[str] = []

    def hear(self, pcm: bytes) -> None:
        """Take a piece of the agent's voice."""
        self._spoken += (event for event in self._listener.feed(pcm) if isinstance(event, Heard))

    def read(self, text: str) -> None:
        """Take a piece of the transcript."""
        self._written.append(text)

    def forget(self) -> None:
        """The answer starts again."""
        self._spoken.clear()
        self._written.clear()

    def answer(self) -> str:
        """The whole answer; the next one begins."""
        said = "".join(heard.text for heard in self._spoken) if self._whole() else "".join(self._written)
        self.forget()
        return " ".join(said.split())

    def _whole(self) -> bool:
        """Whether every frame of the utterances heard was heard."""
        if not self._spoken or not self._spoken[0].first or not self._spoken[-1].last:
            return False
        numbers = [heard.frame for heard in self._spoken]
        return numbers == list(range(numbers[0], numbers[0] + len(numbers)))


class Hearing:
    """Notes in the journal what comes from the relay, and knows where the talk stands.

    Attributes:
        open: The relay has greeted once.
        answering: The agent has begun to answer the turn in progress.
        known: The relay has given the turn in progress a number.
        over: Set when nothing more will come.
    """

    def __init__(self, journal: Journal, metrics: Metrics) -> None:
        self.open = False
        self.answering = False
        self.known = False
        self.over: Over | None = None
        self._journal = journal
        self._metrics = metrics
        self._ear = Ear()
        self._turns: dict[int, int] = {}
        self._cut_off: dict[int, str] = {}
        self._cause = ""
        self._said = (0, "")
        self._over_before: dict[int, int] = {}

    @property
    def record(self) -> Record:
        """The run so far."""
        return self._journal.record

    @singledispatchmethod
    def take(self, event: Event) -> None:
        """Notice one event of the client; those without a method of their own change nothing here."""

    def remember(self) -> None:
        """The run goes on in another process: what the relay tells again of turns that are over is known."""
        past = (event for event in self._journal.events if event.HasField("agent_said"))
        self._over_before = {event.agent_said.relay_turn: event.turn for event in past if event.agent_said.relay_turn}
        self._turns = dict(self._over_before)

    def expect(self) -> None:
        """A new turn begins: what was heard before is none of its answer, unless it speaks into that."""
        if not self._spoken_into:
            self._ear.forget()
        self.answering = self.known = False

    @property
    def _spoken_into(self) -> bool:
        """Whether what is heard still belongs to the turn before the one in progress."""
        turns = self.record.turns
        return len(turns) > 1 and not turns[-2].completed

    @property
    def _before(self) -> bool:
        """Whether what comes now is still heard of the turn before the one in progress: it is not cut off yet."""
        cut_off = {self._turns.get(number) for number in self._cut_off}
        return self._spoken_into and len(self.record.turns) - 1 not in cut_off

    # The talk. ------------------------------------------------------------------------------------------------------

    @take.register
    def _started(self, event: messages.SessionStarted | messages.SessionResumed) -> None:
        if not self.record.conversation:
            self._journal.add(pb.Started(conversation=event.conversation))
        self.open = True

    @take.register
    def _audio(self, event: Audio) -> None:
        self._ear.hear(event.pcm)
        self._begins()

    @take.register
    def _transcript(self, event: messages.Transcript) -> None:
        if event.role != "agent":
            self._said = (event.turn, (self._said[1] if self._said[0] == event.turn else "") + event.text)
            return
        if event.turn in self._over_before:
            return
        self._ear.read(event.text)
        self._begins()
        if self.answering:
            self._turns.setdefault(event.turn, len(self.record.turns))
            self.known = True

    def _begins(self) -> None:
        """The agent is heard."""
        if self._before or self.answering:
            return
        self.answering = True
        if self.record.turns and self.record.turns[-1].answering is None:
            self._journal.add(pb.Answering())

    @take.register
    def _complete(self, event: messages.TurnComplete) -> None:
        heard = self._cut_off.pop(event.turn, None)
        self._delivered(event.turn, self._ear.answer() if heard is None else heard, interrupted=event.interrupted)

    @take.register
    def _interrupted(self, event: messages.Interrupted) -> None:
        """The answer ends here; its turn is complete only when it is stored, and the next answer may come before."""
        self._cut_off.setdefault(event.turn, self._ear.answer())

    @take.register
    def _missed(self, event: messages.TurnMissed) -> None:
        self._ear.forget()
        self._delivered(event.turn, event.agent, interrupted=event.interrupted)

    def _delivered(self, relay_turn: int, answer: str, *, interrupted: bool) -> None:
        """An answer is complete; the relay's number of the turn tells whether it was before."""
        if relay_turn in self._over_before:
            self.answering = False
            return
        newest = len(self.record.turns)
        turn = self._turns.setdefault(relay_turn, newest - 1 if self._spoken_into else newest)
        asking = self.record.turn(turn)
        if asking is None:
            return  # the agent spoke before it was spoken to
        if not interrupted and self._answers_both(relay_turn, turn):
            self._delivered_once(0, asking, "", interrupted=True)
            turn, asking = newest, self.record.turns[-1]
            self._turns[relay_turn] = newest
        self._delivered_once(relay_turn, asking, answer, interrupted=interrupted)

    def _answers_both(self, relay_turn: int, turn: int) -> bool:
        """Whether the turn in progress, spoken into the one before it, was heard as one with that.

        It is so after a cut: both lines are sent again at once, with nothing between them, and get one answer.
        """
        if not self._spoken_into or turn != len(self.record.turns) - 1:
            return False
        number, said = self._said
        return number == relay_turn and said_in(said, self.record.turns[-1].prospect)

    def _delivered_once(self, relay_turn: int, asking: Turn, answer: str, *, interrupted: bool) -> None:
        if not asking.completed:
            self._metrics.turn_completed()
        recalled = None if interrupted else checks.recalled(asking, answer)
        said = pb.AgentSaid(text=answer, recalled=recalled, interrupted=interrupted, relay_turn=relay_turn)
        self._journal.add(said, turn=asking.number)

    @take.register
    def _restarted(self, event: messages.TurnRestarted) -> None:
        self._ear.forget()
        self._cut_off.pop(event.turn, None)
        self.answering = False
        self._journal.add(pb.Restarted())

    @take.register
    def _usage(self, event: messages.Usage) -> None:
        counted = pb.TokensCounted(
            context=event.context_tokens, billed=event.billed_tokens, by_category=event.by_category
        )
        self._journal.add(counted, turn=self._turns.get(event.turn, len(self.record.turns)))

    # The connections. -----------------------------------------------------------------------------------------------

    @take.register
    def _expiring(self, event: messages.SessionExpiring) -> None:
        noted = pb.Expiring(has_handle=event.has_handle)
        noted.time_left.FromNanoseconds(int(event.time_left * 1e9))
        self._journal.add(noted)

    @take.register
    def _rotated(self, event: messages.Rotated) -> None:
        self._metrics.rotated()
        mark = pb.RotationMark(
            at_turn=self._place(), reason=event.reason, continuity=event.continuity, gap_ms=round(event.gap_ms)
        )
        mark.time.FromDatetime(self._journal.now())
        self._journal.add(mark)

    @take.register
    def _disconnected(self, event: Disconnected) -> None:
        self._journal.add(pb.Disconnected(code=event.code, reason=event.reason))

    @take.register
    def _reconnecting(self, event: Reconnecting) -> None:
        self._cause = event.cause
        noted = pb.Reconnecting(attempt=event.attempt, reason=event.cause)
        noted.wait.FromNanoseconds(int(event.wait * 1e9))
        self._journal.add(noted)

    @take.register
    def _attempt_failed(self, event: AttemptFailed) -> None:
        if event.attempt:
            self._metrics.attempt_failed(self._cause)

    @take.register
    def _reconnected(self, event: Reconnected) -> None:
        self._metrics.reconnected(event.cause, event.gap)
        mark = pb.ReconnectMark(
            at_turn=self._place(),
            reason=event.cause,
            attempts=event.attempts,
            continuity=event.continuity,
            gap_ms=round(event.gap * 1000),
        )
        mark.time.FromDatetime(self._journal.now())
        self._journal.add(mark)

    @take.register
    def _over(self, event: Over) -> None:
        self.over = event

    def _place(self) -> int:
        """The turn in progress, or the one before which it is now."""
        turns = self.record.turns
        return len(turns) + 1 if not turns or turns[-1].completed else len(turns)

"""What the client tells becomes the run's events: answers as they were heard, cuts as they happened."""

from collections.abc import Sequence

import pytest
from prometheus_client import CollectorRegistry

from filo.client import AttemptFailed, Audio, Disconnected, Over, Reconnected, Reconnecting, messages
from filo.simulator.v1 import simulator_pb2 as pb
from services.common import voice
from services.simulator.hearing import Hearing
from services.simulator.journal import Journal
from services.simulator.metrics import Metrics
from services.simulator.record import recall
from tests.support.clock import ManualClock


class Stage:
    """A hearing with everything around it."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.journal = Journal(ManualClock(), self._store)
        self.hearing = Hearing(self.journal, Metrics(self.registry))
        self.stream = 0

    async def _store(self, events: Sequence[pb.WatchRunResponse]) -> None:
        """Nobody asks for them here."""

    def ask(self, text: str) -> None:
        """A turn of the prospect begins."""
        asked = [pb.Fact(phrase="company", value="Brightwater")] if text.endswith("my company?") else []
        said = pb.ProspectSaid(text=text, phase="demo", asked=asked)
        self.journal.add(said, turn=len(self.journal.record.turns) + 1)
        self.hearing.expect()

    def voice(self, text: str, *, drop: int | None = None) -> None:
        """The agent says something in the test voice; frame number `drop` is lost on the way."""
        frames = voice.speak(text, stream=9, first_frame=self.stream, utterance=1, rate=24_000)
        self.stream += len(frames)
        for at, frame in enumerate(frames):
            if at != drop:
                self.hearing.take(Audio(frame))

    def transcript(self, text: str, turn: int = 1) -> None:
        """The relay writes what the agent says."""
        self.hearing.take(messages.Transcript(role="agent", text=text, turn=turn))

    def complete(self, turn: int) -> None:
        """The relay says that a turn is over."""
        self.hearing.take(messages.TurnComplete(turn=turn))

    @property
    def answers(self) -> list[str]:
        """What the record has of each turn's answer."""
        return [turn.agent for turn in self.journal.record.turns]

    def metric(self, name: str, **labels: str) -> float | None:
        """A series' value."""
        return self.registry.get_sample_value(name, labels)


@pytest.fixture
def stage() -> Stage:
    """A new one."""
    return Stage()


def test_an_answer_in_the_test_voice_is_believed_first(stage: Stage) -> None:
    """What was spoken counts, not what was written about it."""
    stage.ask("Tell me.")
    stage.transcript("Something else")
    stage.voice("This is what I said.")
    assert stage.hearing.answering
    stage.complete(1)
    assert stage.answers == ["This is what I said."]
    assert stage.metric("filo_simulator_turns_total") == 1


def test_an_answer_with_a_hole_is_taken_from_the_transcript(stage: Stage) -> None:
    """A voice with a lost frame is not the whole answer; the transcript is."""
    stage.ask("Tell me.")
    stage.voice("This is what I said.", drop=3)
    stage.transcript("This is ")
    stage.transcript("what I said.")
    stage.complete(1)
    assert stage.answers == ["This is what I said."]


def test_what_was_heard_before_a_restart_is_forgotten(stage: Stage) -> None:
    """The partial answer is withdrawn, the turn is marked, and it is not doubled."""
    stage.ask("Tell me.")
    stage.transcript("You told")
    stage.hearing.take(messages.TurnRestarted(turn=1, reason="upstream_closed"))
    assert not stage.hearing.answering
    stage.transcript("You told me.")
    stage.complete(1)
    turn = stage.journal.record.turns[0]
    assert (turn.agent, turn.restarts, turn.deliveries) == ("You told me.", 1, 1)


def test_the_prospects_own_transcript_is_no_answer(stage: Stage) -> None:
    """The relay writes both sides."""
    stage.ask("Tell me.")
    stage.hearing.take(messages.Transcript(role="user", text="Tell me.", turn=1))
    assert not stage.hearing.answering


def test_a_turn_completed_while_away_is_completed(stage: Stage) -> None:
    """`turn:missed` brings the answer; half of it that was heard before the cut is not added."""
    stage.ask("Tell me.")
    stage.transcript("You to")
    stage.hearing.take(messages.TurnMissed(turn=1, user="Tell me.", agent="You told me."))
    assert stage.answers == ["You told me."]


def test_the_same_turn_delivered_again_is_noticed_under_its_own_number(stage: Stage) -> None:
    """A second complete answer to an old turn does not complete the turn in progress."""
    stage.ask("First.")
    stage.complete(1)
    stage.ask("Second.")
    stage.hearing.take(messages.TurnMissed(turn=1, agent="Again."))
    first, second = stage.journal.record.turns
    assert (first.deliveries, second.deliveries) == (2, 0)
    assert stage.metric("filo_simulator_turns_total") == 1


def test_a_question_is_judged_as_it_is_answered(stage: Stage) -> None:
    """Watchers see whether the fact was in the answer; for other turns there is nothing to see."""
    for said, answer in (
        ("My company is Brightwater.", "Noted."),
        ("What is my company?", "Brightwater."),
        ("So. What is my company?", "I am sorry."),
    ):
        stage.ask(said)
        stage.transcript(answer)
        stage.complete(len(stage.journal.record.turns))
    answers = [event.agent_said for event in stage.journal.events if event.HasField("agent_said")]
    assert [answer.recalled if answer.HasField("recalled") else None for answer in answers] == [None, True, False]


def test_a_cut_is_told_as_it_happens_and_counted(stage: Stage) -> None:
    """R3.7, R3.8: each step is an event; attempts are counted by cause and outcome, gaps are measured."""
    stage.ask("Tell me.")
    for event in (
        Disconnected(1006, ""),
        Reconnecting(1, 1.25, "cut"),
        AttemptFailed(1, "refused"),
        Reconnecting(2, 2.5, "cut"),
        Reconnected("cut", 2, "handle", 3.75, 0),
    ):
        stage.hearing.take(event)
    kinds = [event.WhichOneof("event") for event in stage.journal.events]
    assert kinds == ["prospect_said", "disconnected", "reconnecting", "reconnecting", "reconnected"]
    mark = pb.ReconnectMark(at_turn=1, reason="cut", attempts=2, continuity="handle", gap_ms=3750)
    mark.time.FromDatetime(stage.journal.now())
    assert list(stage.journal.record.reconnects) == [mark]
    assert stage.hearing.record.disturbances == 1
    assert stage.metric("filo_simulator_reconnects_total", reason="cut", outcome="failed") == 1
    assert stage.metric("filo_simulator_reconnects_total", reason="cut", outcome="resumed") == 1
    assert stage.metric("filo_simulator_reconnects_total", reason="closed", outcome="resumed") == 0
    assert stage.metric("filo_simulator_reconnect_gap_seconds_sum") == 3.75


def test_a_rotation_between_turns_belongs_to_the_next(stage: Stage) -> None:
    """`at_turn` is the turn in which, or before which, it happened."""
    rotated = messages.Rotated(reason="go_away", continuity="handle", gap_ms=84.4, turn=1)
    stage.ask("Tell me.")
    stage.hearing.take(rotated)
    stage.complete(1)
    stage.hearing.take(rotated)
    assert [(mark.at_turn, mark.gap_ms) for mark in stage.journal.record.rotations] == [(1, 84), (2, 84)]
    assert stage.hearing.record.disturbances == 2


def test_tokens_are_kept_by_turn(stage: Stage) -> None:
    """Usage that comes after its turn is over still belongs to it."""
    stage.ask("First.")
    stage.complete(1)
    stage.ask("Second.")
    stage.hearing.take(messages.Usage(turn=1, context_tokens=500, billed_tokens=700, by_category={"user": 200}))
    record = stage.journal.record
    assert [(turn.context_tokens, turn.context, turn.billed) for turn in record.turns] == [
        (500, {"user": 200}, 700),
        (0, {}, 0),
    ]
    assert (record.billed, record.by_category) == (700, {"user": 200})


def test_the_first_greeting_opens_and_the_end_is_the_end(stage: Stage) -> None:
    """A run has one Started event however often the relay greets; Over is remembered."""
    for _ in range(2):
        stage.hearing.take(messages.SessionStarted(epoch=1, conversation="conversations/1"))
    over = Over(ended=False, code=1006, reason="", attempts=3)
    stage.hearing.take(over)
    assert [event.WhichOneof("event") for event in stage.journal.events] == ["started"]
    assert stage.hearing.open
    assert stage.hearing.over is over


def test_a_record_is_the_sum_of_its_events(stage: Stage) -> None:
    """Read back from what was stored, it is what it was: transcript, marks, tokens."""
    stage.ask("My company is Brightwater.")
    stage.hearing.take(messages.TurnRestarted(turn=1))
    stage.transcript("Noted.")
    stage.complete(1)
    stage.hearing.take(messages.Usage(turn=1, context_tokens=500, billed_tokens=700))
    stage.hearing.take(messages.Rotated(reason="age", continuity="handle", gap_ms=1))
    stage.ask("What is my company?")
    known = recall(stage.journal.events)
    assert known.transcript() == stage.journal.record.transcript()
    assert known.rotations == stage.journal.record.rotations
    assert (known.turns[0].context_tokens, known.billed) == (500, 700)
    assert known.transcript()[0].restarted


def test_whoever_speaks_into_an_answer_hears_its_end_under_the_old_turn(stage: Stage) -> None:
    """Barge-in: what still comes of the answer belongs to the turn it answers, and begins no answer to the next."""
    stage.ask("First.")
    stage.transcript("Well, as", turn=1)
    assert stage.hearing.known
    stage.ask("Second.")
    stage.transcript(" I said", turn=1)
    assert not stage.hearing.answering
    stage.hearing.take(messages.TurnComplete(turn=1, interrupted=True))
    stage.transcript("Yes.", turn=2)
    assert stage.hearing.answering
    stage.complete(2)
    first, second = stage.journal.record.turns
    assert (first.agent, first.interrupted, first.deliveries) == ("Well, as I said", True, 1)
    assert (second.agent, second.interrupted, second.deliveries) == ("Yes.", False, 1)


def test_an_answer_that_is_cut_off_keeps_no_word_of_the_next(stage: Stage) -> None:
    """Its turn is told to be complete when it is stored, which may be after the next answer has begun."""
    stage.ask("First.")
    stage.transcript("Well, as", turn=1)
    stage.ask("What is my company?")
    stage.hearing.take(messages.Interrupted(turn=1))
    stage.transcript("Your company", turn=2)
    assert stage.hearing.answering
    assert stage.hearing.known
    stage.hearing.take(messages.TurnComplete(turn=1, interrupted=True))
    stage.transcript(" is Brightwater.", turn=2)
    stage.complete(2)
    assert stage.answers == ["Well, as", "Your company is Brightwater."]
    assert [turn.interrupted for turn in stage.journal.record.turns] == [True, False]


def test_an_answer_that_was_cut_off_and_starts_again_is_forgotten(stage: Stage) -> None:
    """The connection went with it: the new answer counts alone."""
    stage.ask("First.")
    stage.transcript("Well, as", turn=1)
    stage.hearing.take(messages.Interrupted(turn=1))
    stage.hearing.take(messages.TurnRestarted(turn=1))
    stage.transcript("Of course.", turn=1)
    stage.complete(1)
    assert stage.answers == ["Of course."]

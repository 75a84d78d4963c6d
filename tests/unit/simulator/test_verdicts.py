"""The checks are checked: a recorded run in which all is well, with one defect planted, is caught by the check for it.

The run is the events of a run as they are stored; a defect is a change to them, or to what the agent's context holds.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from filo.simulator.v1 import simulator_pb2 as pb
from services.common import voice
from services.simulator import checks, hold, verdicts
from services.simulator.account import Account, Piece
from services.simulator.checks import Held
from services.simulator.measures import Case
from services.simulator.promises import Promise
from services.simulator.record import Record, recall

START = datetime(2026, 1, 1, tzinfo=UTC)
COMPANY = pb.Fact(phrase="company", value="Brightwater")
DEADLINE = pb.Fact(phrase="deadline", value="the first of March")
PHASES = ("discovery", "demo")
ADVICE = "Offer the yearly plan before they ask for a price"

PROMISED = Promise("fault 1, turn 2", "fault 1 (emulator: goaway at turn) in turn 2", 2)

Event = pb.WatchRunResponse
Tape = list[Event]


class Recorder:
    """Records a run as it happens; every step takes half a second."""

    def __init__(self) -> None:
        self.tape: Tape = []
        self._now = START

    def at(self, turn: int, **event: object) -> None:
        """Something happens in a turn."""
        made = Event(sequence=len(self.tape) + 1, turn=turn, **event)  # type: ignore[arg-type]
        self._now += timedelta(seconds=0.5)
        made.time.FromDatetime(self._now)
        self.tape.append(made)

    def turn(self, number: int, said: str, answer: str, **more: list[pb.Fact]) -> None:
        """A whole turn."""
        phase = PHASES[number > 4]  # noqa: RUF100
        self.at(number, prospect_said=pb.ProspectSaid(text=said, phase=phase, **more))
        self._now += timedelta(seconds=voice.frame_count(said) * voice.FRAME_SECONDS)
        self.at(number, answering=pb.Answering())
        self.at(number, agent_said=pb.AgentSaid(text=answer))
        tokens = pb.TokensCounted(context=300 + 100 * number, billed=400 * number, by_category={"user": 100 * number})
        self.at(number, tokens_counted=tokens)


def good() -> Tape:
    """Eight turns, a rotation and a reconnect, advice that was followed and taken out; nothing is wrong with it."""
    run = Recorder()
    run.at(0, started=pb.Started(conversation="conversations/1"))
    run.turn(1, "Thank you. My company is Brightwater.", "Hello, this is Ada from Northwind. Noted.", told=[COMPANY])
    run.at(2, fault_struck=pb.FaultMark(at_turn=2, target="emulator", kind="goaway", label=PROMISED.label))
    run.turn(2, "So. My deadline is the first of March.", "Good to know, that leaves us time.", told=[DEADLINE])
    run.at(2, rotated=pb.RotationMark(at_turn=3, reason="go_away", continuity="handle", gap_ms=80))
    run.turn(3, "What is my company?", "You told me your company is Brightwater.", asked=[COMPANY])
    run.turn(4, "Tell me about reports.", f"Reports are easy. As advised (1): {ADVICE}.")
    run.at(4, advised=pb.Advice(id="1", text=ADVICE, state="removed", given_after_turn=3, turn=4, tokens=20))
    run.turn(5, "Show me the app.", "Here is the app, look at the top.")
    run.at(5, reconnected=pb.ReconnectMark(at_turn=6, reason="cut", attempts=1, continuity="handle", gap_ms=1500))
    run.turn(6, "What is my deadline?", "You told me your deadline is the first of March.", asked=[DEADLINE])
    run.turn(7, "I ask again. What is my company?", "You told me your company is Brightwater.", asked=[COMPANY])
    run.turn(8, "Goodbye then.", "Thank you for your time, goodbye.")
    return run.tape


def case(tape: Tape, held: Held = Held(), **spec: object) -> Case:  # noqa: B008 - frozen
    """The run as it is judged."""
    record = recall(tape)
    hold.recount(record)
    wanted = pb.RunSpec(turns=8, channel=pb.CHANNEL_VOICE, **spec)  # type: ignore[arg-type]
    return Case(spec=wanted, record=record, held=held, phases=PHASES, window=32_000, pace=1.0, promises=(PROMISED,))


def failed(judged: Case) -> dict[str, pb.Check]:
    """The checks that do not hold."""
    return {check.name: check for check in verdicts.judge(judged) if not check.passed}


def of(tape: Tape, turn: int, kind: str) -> Event:
    """The event of that kind in a turn."""
    return next(event for event in tape if event.turn == turn and event.WhichOneof("event") == kind)


def test_a_run_in_which_all_is_well_passes_every_check() -> None:
    """Every check applies to it, and each has full marks and a finding in words."""
    judged = verdicts.judge(case(good()))
    assert {check.name for check in judged} == verdicts.NAMES
    assert all(check.passed for check in judged), [check for check in judged if not check.passed]
    assert all(check.finding.endswith(".") and check.title for check in judged)
    assert {check.score for check in judged} == {1.0}


def unanswered(tape: Tape) -> None:
    """The last turn never gets an answer."""
    del tape[-3:]


def forgotten(tape: Tape) -> None:
    """A fact is asked for, long after any cut, and the agent does not know it."""
    of(tape, 7, "agent_said").agent_said.text = "I am sorry, I do not think you told me your company."


def forgotten_after_a_cut(tape: Tape) -> None:
    """The same in the first question after the cut."""
    of(tape, 6, "agent_said").agent_said.text = "I am sorry, I do not think you told me your deadline."


def greeted_again(tape: Tape) -> None:
    """The agent introduces itself in the middle."""
    of(tape, 5, "agent_said").agent_said.text = "Hello, this is Ada from Northwind. What can I do for you?"


def answered_alike(tape: Tape) -> None:
    """An answer that was given before, to another line."""
    of(tape, 8, "agent_said").agent_said.text = of(tape, 5, "agent_said").agent_said.text


def delivered_twice(tape: Tape) -> None:
    """The same answer comes again, whole, after the cut."""
    again = Event()
    again.CopyFrom(of(tape, 5, "agent_said"))
    tape.append(again)


def long_gap(tape: Tape) -> None:
    """A rotation that took half a minute."""
    of(tape, 2, "rotated").rotated.gap_ms = 30_000


def long_silence(tape: Tape) -> None:
    """An agent that keeps the prospect waiting for half a minute."""
    late = of(tape, 5, "prospect_said").time.ToDatetime() + timedelta(seconds=32)
    of(tape, 5, "answering").time.FromDatetime(late)


def not_followed(tape: Tape) -> None:
    """The answer of the turn that the advice served shows nothing of it."""
    of(tape, 4, "agent_said").agent_said.text = "Reports are easy."


def followed_afterwards(tape: Tape) -> None:
    """The advice was taken out, and a later answer still follows it."""
    of(tape, 8, "agent_said").agent_said.text = f"Goodbye. As advised (1): {ADVICE}."


def stuck(tape: Tape) -> None:
    """The talk never gets to the demo."""
    for event in tape:
        if event.HasField("prospect_said"):
            event.prospect_said.phase = "discovery"


def never_struck(tape: Tape) -> None:
    """The fault that the plan promises did not strike."""
    tape[:] = [event for event in tape if not event.HasField("fault_struck")]


def overflowing(tape: Tape) -> None:
    """The context has outgrown the window."""
    of(tape, 8, "tokens_counted").tokens_counted.context = 40_000


DEFECTS: dict[str, tuple[Callable[[Tape], None], set[str], int]] = {
    "unanswered": (unanswered, {"turns_completed"}, 8),
    "forgotten": (forgotten, {"facts_recalled"}, 7),
    "forgotten after a cut": (forgotten_after_a_cut, {"facts_recalled", "facts_recalled_after_cuts"}, 6),
    "greeted again": (greeted_again, {"regreetings"}, 5),
    "answered alike": (answered_alike, {"repeated_answers"}, 8),
    "delivered twice": (delivered_twice, {"doubled_turns"}, 5),
    "a long gap": (long_gap, {"longest_gap_ms"}, 3),
    "a long silence": (long_silence, {"longest_silence_s"}, 5),
    "advice not followed": (not_followed, {"advice_followed"}, 4),
    "advice followed afterwards": (followed_afterwards, {"advice_outlived"}, 8),
    "stuck in a phase": (stuck, {"phases_reached"}, 0),
    "a fault that never struck": (never_struck, {"faults_struck"}, 2),
    "more tokens than the window": (overflowing, {"context_tokens", "tokens_by_turn"}, 8),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_a_planted_defect_is_caught_by_its_check_and_by_no_other(name: str) -> None:
    """And the evidence points at the turn in which it was planted."""
    plant, expected, turn = DEFECTS[name]
    tape = good()
    plant(tape)
    caught = failed(case(tape))
    assert set(caught) == expected
    for check in caught.values():
        assert check.evidence[0].turn == turn
        assert check.evidence[0].text
        assert check.score < 1


def advised_until(rebuilt_at: int, detail: str) -> Tape:
    """Advice of turn 3 that is followed in turn 4 too; rebuilt before some turn, told to be removed in turn 6."""
    run = Recorder()
    for number in range(1, 8):
        if number == rebuilt_at:
            mark = pb.RotationMark(at_turn=number, reason="go_away", continuity="rebased")
            mark.time.CopyFrom(run.tape[-1].time)
            run.at(number, rotated=mark)
        run.turn(number, f"Line {number}.", f"Answer {number}." + f" As advised (1): {ADVICE}." * (number in {3, 4}))
        if number == 6:  # noqa: RUF100
            run.at(6, advised=pb.Advice(id="1", text=ADVICE, state="removed", turn=3, detail=detail))
    return run.tape


def test_of_two_pieces_of_advice_for_one_turn_the_newer_is_to_be_followed() -> None:
    """The older one came with a noise; what becomes of it later does not make it the turn's."""
    run = advised_until(0, "")
    for state in ("delivered", "removed"):
        for number, text in (("1", ADVICE), ("2", "Ask who signs")):
            run.append(Event(turn=3, advised=pb.Advice(id=number, text=text, state=state, turn=3)))
    of(run, 3, "agent_said").agent_said.text = "I see. As advised (2): Ask who signs."
    judged = case(run)
    turn = judged.record.turn(3)
    assert turn is not None
    assert turn.advice == "Ask who signs"
    assert "advice_followed" not in failed(judged)


@pytest.mark.parametrize(
    ("rebuilt_at", "detail", "late"),
    [
        (5, "rebuilt, seen in the usage", False),
        (4, "rebuilt, seen in the usage", True),
        (3, "rebuilt, seen in the usage", False),
        (0, "left behind by a resume", False),
        (5, "instruction, seen in the usage", True),
        (5, "replaced before its turn was over", True),
    ],
)
def test_advice_in_the_talk_may_be_followed_until_the_session_is_rebuilt(
    rebuilt_at: int, detail: str, *, late: bool
) -> None:
    """For the first time after its turn; from the instruction it is gone with its turn."""
    assert ("advice_outlived" in failed(case(advised_until(rebuilt_at, detail)))) == late


@pytest.mark.parametrize(
    ("held", "name", "turn"),
    [
        (Held(lost=(3,)), "lost_turns", 3),
        (Held(doubled=(4,)), "doubled_turns", 4),
        (Held(frames_lost=2, lost_by_turn=((6, 2),)), "frames_lost", 6),
        (Held(frames_doubled=9, doubled_by_turn=((7, 9),)), "frames_doubled", 7),
    ],
)
def test_what_the_context_has_lost_or_doubled_is_caught(held: Held, name: str, turn: int) -> None:
    """By the emulator's account: one thing each, and nothing else."""
    caught = failed(case(good(), held))
    assert set(caught) == {name}
    assert caught[name].evidence[0].turn == turn


@pytest.mark.parametrize(
    ("kept", "dropped", "lost"),
    [
        ((4, 5, 6, 7, 8), (1, 2, 3), ()),
        ((8,), (1, 2, 3), (4, 5, 6, 7)),
        ((4, 5, 6, 8), (1, 2, 3), (7,)),
    ],
    ids=["nothing else", "a resume that forgets everything after a compression", "turn 7 besides"],
)
def test_a_compression_excuses_what_it_dropped_and_nothing_else(
    kept: Sequence[int], dropped: Sequence[int], lost: Sequence[int]
) -> None:
    """By the emulator's account of the run: turns and frames that nobody dropped are lost, whatever was compressed."""
    judged = case(good())
    runs = {turn.number: (turn.frames.start, turn.frames.stop - 1) for turn in judged.record.turns}
    context = tuple(Piece("user", "audio", frames=(runs[number],)) for number in kept)
    account = Account(context, compressed_frames=tuple(runs[number] for number in dropped))
    judged = replace(judged, held=checks.held_by_emulator(judged.record.turns, account))
    caught = failed(judged)
    assert set(caught) == ({"lost_turns", "frames_lost"} if lost else set())
    for check in caught.values():
        assert sorted(shown.turn for shown in check.evidence) == list(lost)
    (finding,) = [check.finding for check in verdicts.judge(judged) if check.name == "lost_turns"]
    assert "dropped turns 1 to 3 itself" in finding


def test_every_check_has_its_defect() -> None:
    """None is left that was never seen to fail."""
    caught = {check for _, expected, _ in DEFECTS.values() for check in expected}
    assert caught | {"lost_turns", "doubled_turns", "frames_lost", "frames_doubled"} == verdicts.NAMES


def test_thresholds_are_data() -> None:
    """A run may be allowed more, or less, by the name of the check."""
    tape = good()
    long_gap(tape)
    assert not failed(case(tape, thresholds={"longest_gap_ms": 40_000}))
    assert set(failed(case(good(), thresholds={"longest_gap_ms": 1_000}))) == {"longest_gap_ms"}


@pytest.mark.parametrize(
    ("outcome", "least", "passes"),
    [
        (pb.OUTCOME_LOST, 1.0, False),
        (pb.OUTCOME_LOST, 0.5, True),
        (pb.OUTCOME_STOPPED, 0.5, True),
        (pb.OUTCOME_COMPLETED, 0.5, True),
        (pb.OUTCOME_FAILED, 0.5, False),
    ],
)
def test_the_thresholds_decide_however_a_run_ended(
    outcome: pb.Outcome.ValueType, least: float, *, passes: bool
) -> None:
    """A lost or stopped run passes where fewer turns are allowed; one that failed proves nothing."""
    tape = good()
    unanswered(tape)
    judged = verdicts.judge(case(tape, thresholds={"turns_completed": least}))
    assert verdicts.passed(outcome, judged) is passes
    assert not verdicts.passed(outcome, ())


def test_what_does_not_apply_is_left_out() -> None:
    """No question, no advice, no cut, no frame, no window, too short for its phases: these checks are not there."""
    run = Recorder()
    run.turn(1, "Good morning.", "Hello, this is Ada from Northwind.")
    bare = replace(case(run.tape), window=0, promises=(), spec=pb.RunSpec(turns=1, channel=pb.CHANNEL_TEXT))
    bare.record.frames_sent = 0
    assert {check.name for check in verdicts.judge(bare)} == {
        "turns_completed", "regreetings", "repeated_answers", "lost_turns", "doubled_turns", "longest_silence_s"
    }  # fmt: skip


def test_why_a_fault_never_struck_is_told() -> None:
    """It could not, the run ended before its turn, or its moment did not come."""
    promises = (
        Promise("fault 1, turn 0", "fault 1 (client: cut at wait)", never="it is due in turn 50"),
        Promise("fault 2, turn 9", "fault 2 (client: cut at wait) in turn 9", 9),
        Promise("fault 3", "fault 3 (emulator: cut at tool_call) at second 2"),
        PROMISED,
    )
    (check,) = failed(replace(case(good()), promises=promises)).values()
    assert (check.name, check.value, check.finding) == (
        "faults_struck", 0.25, "1 of 4 planned faults struck. A run proves nothing about a fault that never struck."
    )  # fmt: skip
    assert [(shown.turn, shown.text) for shown in check.evidence] == [
        (0, "fault 1 (client: cut at wait) never struck: it is due in turn 50"),
        (9, "fault 2 (client: cut at wait) in turn 9 never struck: the run ended in turn 8"),
        (0, "fault 3 (emulator: cut at tool_call) at second 2 never struck: its moment did not come"),
    ]


def test_the_first_question_after_a_cut_may_come_some_lines_later() -> None:
    """The prospect had chosen its line when the cut came; its next question is the one that follows the cut."""
    tape = good()
    cut = next(event for event in tape if event.HasField("reconnected"))
    tape.remove(cut)
    tape.insert(tape.index(of(tape, 5, "prospect_said")), cut)
    forgotten_after_a_cut(tape)
    assert set(failed(case(tape))) == {"facts_recalled", "facts_recalled_after_cuts"}


def test_an_answer_that_never_came_is_a_silence_to_the_end() -> None:
    """A run that may end early does not pass over the silence that ended it."""
    tape = good()
    unanswered(tape)
    began = of(tape, 8, "prospect_said").time.ToDatetime()
    judged = case(tape, thresholds={"turns_completed": 0.5})
    assert not failed(judged)
    (check,) = failed(replace(judged, ended=began + timedelta(seconds=60))).values()
    assert (check.name, check.evidence[0].turn) == ("longest_silence_s", 8)
    assert 50 < check.value < 60


def test_an_interrupted_answer_is_no_evidence_of_memory() -> None:
    """Whoever speaks into an answer cannot say what it would have held."""
    tape = good()
    forgotten(tape)
    of(tape, 7, "agent_said").agent_said.interrupted = True
    assert not failed(case(tape))


def test_a_run_that_said_nothing_is_judged_all_the_same() -> None:
    """One that could not begin: no turn was completed, and nothing else is claimed."""
    empty = Case(pb.RunSpec(turns=3), Record(), Held())
    assert set(failed(empty)) == {"turns_completed"}

"""What the client is told of the talk, and what is to be done about it."""

import pytest

from services.relay.core import effects as do
from services.relay.core import events as on
from services.relay.core import notices as tell
from services.relay.core.accounts import Accounts
from services.relay.core.completions import Completions
from services.relay.core.coverage import Coverage
from services.relay.core.dialogue import Dialogue
from services.relay.core.ledger import Ledger
from services.relay.core.model import Mark, Role, RotationReason, Told, ToolCall, Usage
from services.relay.core.turns import Talk

SENT = Mark(9, 9)


@pytest.fixture(name="it")
def a_dialogue() -> Dialogue:
    """A dialogue on the first connection of a conversation."""
    coverage = Coverage(None, (), 0, Ledger())
    coverage.connection_opens(seeded=False)
    return Dialogue(Talk(0, Mark(0, 0)), coverage, Accounts(Ledger(), 40), Completions(1.0))


def all_of(it: Dialogue, *events: on.Event) -> list[do.Effect]:
    """What these bring, together."""
    return [effect for event in events for effect in it.handle(event)]


def test_a_turn_is_told_piece_by_piece(it: Dialogue) -> None:
    """Transcripts with their turn, what need not be kept any more, and its end once it is stored."""
    effects = all_of(
        it,
        on.SpeechBegan(),
        on.UserHeard("Hello"),
        on.AnswerBegan(SENT),
        on.AgentSaid("Hi."),
        on.GenerationCompleted(),
        on.TurnCompleted(Mark(12, 12)),
        on.CheckpointStored(9, 1),
    )
    assert effects == [
        do.Tell(tell.Transcript(Role.USER, "Hello", 1)),
        do.Tell(tell.Transcript(Role.AGENT, "Hi.", 1)),
        do.Forget(9),
        do.Tell(tell.TurnEnded(1, interrupted=False)),
        do.Tell(tell.InputCovered(9, 1)),
    ]
    assert [turn.number for turn in it.coverage.uncovered] == [1]


def test_a_completion_of_nothing_is_not_told(it: Dialogue) -> None:
    """No turn, no notice, nothing to forget."""
    assert it.handle(on.TurnCompleted(SENT)) == []


def test_typed_words_are_not_told_back(it: Dialogue) -> None:
    """The client knows what it typed; the transcript has it."""
    assert all_of(it, on.ClientWrote("hi"), on.AnswerBegan(SENT)) == []
    it.handle(on.TurnCompleted(SENT))
    assert it.coverage.uncovered[0].user_text == "hi"


def test_an_interruption_is_told(it: Dialogue) -> None:
    """Stop playing; what is heard next is the next turn's."""
    assert all_of(it, on.AnswerBegan(SENT), on.Interrupted(), on.UserHeard("wait"), on.TurnCompleted(SENT)) == [
        do.Tell(tell.AnswerInterrupted(1)),
        do.Tell(tell.Transcript(Role.USER, "wait", 2)),
        do.Forget(9),
    ]
    assert it.handle(on.CheckpointStored(0, 1)) == [do.Tell(tell.TurnEnded(1, interrupted=True))]


def test_a_cut_withdraws_what_was_told(it: Dialogue) -> None:
    """Once anything of the turn was told, the client hears that it begins again, and why."""
    it.handle(on.UserHeard("Hel"))
    assert it.cut(RotationReason.GO_AWAY) == [do.Tell(tell.TurnRestarted(1, RotationReason.GO_AWAY))]
    assert it.cut(RotationReason.GO_AWAY) == []


def test_a_cut_ends_a_whole_turn_and_withdraws_the_next(it: Dialogue) -> None:
    """Interrupted and cut at once: one turn is over, the interrupting one begins again."""
    all_of(it, on.AnswerBegan(SENT), on.Interrupted(), on.UserHeard("wai"))
    assert it.cut(RotationReason.UPSTREAM_CLOSED) == [
        do.Forget(9),
        do.Tell(tell.TurnRestarted(2, RotationReason.UPSTREAM_CLOSED)),
    ]


@pytest.mark.parametrize("whole", [True, False])
def test_letting_go_keeps_a_whole_answer(it: Dialogue, whole: bool) -> None:  # noqa: FBT001
    """An answer that had come whole is a turn, told while there is time; less is left to whoever goes on, unsaid."""
    all_of(it, on.AnswerBegan(SENT), on.AgentSaid("Hi."), *([on.GenerationCompleted()] if whole else []))
    assert it.let_go() == ([do.Forget(9), do.Tell(tell.TurnEnded(1, interrupted=False, stored=False))] if whole else [])


def test_tools_are_told_and_untold(it: Dialogue) -> None:
    """What the agent wants, and what it wants no longer."""
    calls = (ToolCall("c1", "lookup", {}), ToolCall("c2", "lookup", {"a": 1}))
    assert all_of(it, on.AnswerBegan(SENT), on.ToolsCalled(calls), on.ToolCallsCancelled(("c1",))) == [
        do.Tell(tell.ToolsWanted(1, calls)),
        do.Tell(tell.ToolsUnwanted(1, ("c1",))),
    ]


def test_a_repeated_call_is_answered_and_not_told(it: Dialogue) -> None:
    """After a cut the memo answers; the client hears of it only if anything is left to do."""
    all_of(it, on.AnswerBegan(SENT), on.ToolsCalled((ToolCall("c1", "lookup", {}),)))
    it.talk.tools.answered("c1", {"r": 1})
    it.cut(RotationReason.GO_AWAY)
    assert it.handle(on.ToolsCalled((ToolCall("d1", "lookup", {}),))) == [do.AnswerTool("d1", "lookup", {"r": 1})]


def test_usage_is_told_for_the_turn_that_it_counts(it: Dialogue) -> None:
    """It comes with the turn's completion or right after it, and means the same turn."""
    it.handle(on.AnswerBegan(SENT))
    assert it.handle(on.UsageCounted(Usage(30, 5))) == [do.Tell(tell.TokensCounted(1, it.coverage.ledger))]
    it.handle(on.TurnCompleted(SENT))
    assert it.handle(on.UsageCounted(Usage(40, 5))) == [do.Tell(tell.TokensCounted(1, it.coverage.ledger))]
    held = it.coverage.ledger.held
    assert (it.coverage.ledger.context, it.coverage.ledger.billed) == (45, 80)
    assert (held.instruction, held.user, held.model) == (30, 5, 10)


def test_a_usage_that_comes_late_is_still_of_the_turn_before(it: Dialogue) -> None:
    """The client speaks on already; only what comes with an answer, or after another usage, is of the next turn."""
    all_of(it, on.AnswerBegan(SENT), on.TurnCompleted(SENT), on.SpeechBegan(SENT), on.UserHeard("and"))
    for turn in (1, 2):
        assert it.handle(on.UsageCounted(Usage(30, 5))) == [do.Tell(tell.TokensCounted(turn, it.coverage.ledger))]
    all_of(it, on.AnswerBegan(SENT), on.TurnCompleted(SENT), on.SpeechBegan(SENT), on.AnswerBegan(SENT))
    assert it.handle(on.UsageCounted(Usage(60, 5))) == [do.Tell(tell.TokensCounted(3, it.coverage.ledger))]


def test_on_another_connection_no_usage_is_late(it: Dialogue) -> None:
    """That of a turn whose connection was lost never comes; what comes is of the turn that is spoken now."""
    all_of(it, on.AnswerBegan(SENT), on.TurnCompleted(SENT))
    it.accounts.opened(1, Told())
    it.handle(on.SpeechBegan(SENT))
    assert it.handle(on.UsageCounted(Usage(30, 5))) == [do.Tell(tell.TokensCounted(2, it.coverage.ledger))]


def test_a_handle_in_the_middle_of_an_answer_is_not_taken(it: Dialogue) -> None:
    """Vertex says resumable always: between turns is when Filo believes it."""
    it.handle(on.AnswerBegan(SENT))
    it.handle(on.HandleUpdated("mid"))
    assert it.coverage.handle is None


def test_no_handle_changes_nothing(it: Dialogue) -> None:
    """Not resumable now: the one from before is still the newest."""
    it.handle(on.HandleUpdated("h"))
    before = it.coverage.handle
    it.handle(on.HandleUpdated(None))
    assert before is not None
    assert it.coverage.handle == before


def test_what_is_stored_is_told(it: Dialogue) -> None:
    """Complete and covered only after the store says so."""
    all_of(it, on.AnswerBegan(SENT), on.TurnCompleted(SENT))
    assert it.handle(on.CheckpointStored(9, 1)) == [
        do.Tell(tell.TurnEnded(1, interrupted=False)),
        do.Tell(tell.InputCovered(9, 1)),
    ]


def test_an_unknown_event_raises(it: Dialogue) -> None:
    """Nothing is dropped by falling through."""
    with pytest.raises(KeyError):
        it.handle(on.Tick())


def test_a_usage_that_counts_nothing_is_none(it: Dialogue) -> None:
    """Gemini has been seen to send an empty one with an error: the context is not empty for that."""
    assert it.handle(on.UsageCounted(Usage(0, 0))) == []

"""The judge itself: it sees what must not be, and passes what may."""

from filo.client import Audio, Event
from filo.client import messages as told
from services.common import voice
from tests.faults import judge


def spoken(text: str, *, part: slice = slice(None)) -> list[Event]:
    """An answer, or a part of it, as a client hears it."""
    frames = voice.speak(text, stream=1, first_frame=0, utterance=0, rate=24_000)
    return [Audio(frame) for frame in frames[part]]


def said(turn: int) -> told.Transcript:
    """A word of a turn."""
    return told.Transcript(epoch=1, role="agent", text="Yes.", turn=turn)


def greeting(epoch: int, turn: int) -> told.SessionResumed:
    """Another relay's, or the same one's."""
    return told.SessionResumed(epoch=epoch, turn=turn)


def complete(turn: int, *, interrupted: bool = False) -> told.TurnComplete:
    """The end of a turn."""
    return told.TurnComplete(epoch=1, turn=turn, interrupted=interrupted)


CUT = slice(0, -2)


def test_an_answer_is_heard_whole_once() -> None:
    """Once is right; not at all, twice, or with a hole is not."""
    whole = spoken("Yes, it is.")
    assert list(judge.answers([*whole, complete(1)])) == []
    assert list(judge.answers([*whole, *whole, complete(1)])) == ["the answer of turn 1 was heard whole 2 times"]
    assert list(judge.answers([*whole[CUT], complete(1)])) == ["the answer of turn 1 was heard whole 0 times"]
    assert list(judge.answers([complete(1)])) == ["the answer of turn 1 was heard whole 0 times"]
    assert list(judge.answers([*whole[:2], *whole[3:], complete(1)])) == ["the answer of turn 1 has holes"]


def test_an_interrupted_answer_is_heard_as_far_as_it_came() -> None:
    """Nobody waits for its end; but what came has no hole, and where nobody speaks into answers it must not be."""
    whole = spoken("Yes, it is.")
    events = [*whole[CUT], complete(1, interrupted=True)]
    assert list(judge.answers(events)) == list(judge.answers([complete(1, interrupted=True)])) == []
    assert list(judge.answers([*whole[:2], *whole[3:5], complete(1, interrupted=True)])) == [
        "the answer of turn 1 has holes"
    ]
    assert list(judge.interruptions(events)) == ["the answer of turn 1 was interrupted, though nobody spoke into it"]
    assert list(judge.interruptions([*whole, complete(1)])) == []


def test_turns_that_begin_again_are_counted() -> None:
    """Told, or by another relay that does not know the turn; and whether the answer had been heard to its end."""
    whole = spoken("Yes, it is.")
    here = greeting(1, 0)
    assert list(judge.begun_again([here, said(1), *whole, complete(1), greeting(2, 1)])) == []
    assert list(judge.begun_again([here, said(1), *whole[CUT], greeting(2, 0)])) == [False]
    assert list(judge.begun_again([here, said(1), *whole, greeting(1, 0), greeting(2, 0)])) == [True]
    assert list(judge.begun_again([here, said(1), *whole[CUT], told.TurnRestarted(turn=1)])) == [False]
    assert list(judge.begun_again([here, said(1), *whole, complete(1), said(2), told.TurnRestarted(turn=2)])) == [False]
    assert list(judge.begun_again([here, said(1), *whole, greeting(2, 1), told.TurnMissed(turn=1)])) == []

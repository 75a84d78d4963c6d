"""The judge itself: it passes a good history, and finds each way in which one can be bad."""

from dataclasses import replace

import pytest

from tests.robustness.handles.model import Call, Event, History, Outcome, Stored, violations


def event(call: Call, start: float, **fields: object) -> Event:
    """A call that took a tenth of a second and was answered."""
    made = Event(call=call, conversation="c", start=start, end=start + 0.1, outcome=Outcome.DONE)
    return replace(made, **fields)  # type: ignore[arg-type]  # any field


ATTACH = event(Call.ATTACH, 1, epoch=1)
FIRST = event(Call.CHECKPOINT, 2, epoch=1, turn=1, text="a", secret="s1", handle="h1")
AGAIN = event(Call.ATTACH, 3, epoch=2, turn=1, secret="s1")
SECOND = event(Call.CHECKPOINT, 4, epoch=2, turn=2, text="b", secret="s2", handle="h2")
GOOD = event(Call.VALIDATE, 4.5, handle="h2", accepted=True)
END = event(Call.END, 5, epoch=2)
TRANSCRIPT = (Stored(1, "a", 1), Stored(2, "b", 2))


def judged(*events: Event, transcript: tuple[Stored, ...] = TRANSCRIPT) -> list[str]:
    """What is wrong with a history of one conversation."""
    return violations(History(ttl=10.0, kept=64, events=list(events), transcripts={"c": transcript}))


def test_a_good_history_passes() -> None:
    """Also with a checkpoint of which nobody knows whether it happened, and one that was fenced."""
    lost = event(Call.CHECKPOINT, 2.5, epoch=1, turn=2, text="x", secret="s9", outcome=Outcome.UNKNOWN)
    fenced = event(Call.CHECKPOINT, 3.5, epoch=1, turn=2, text="y", secret="s8", outcome=Outcome.REFUSED)
    assert judged(ATTACH, FIRST, lost, AGAIN, fenced, SECOND, GOOD, END) == []


@pytest.mark.parametrize(
    ("bad", "transcript", "told"),
    [
        ([replace(AGAIN, epoch=1)], TRANSCRIPT, "two attaches got epoch 1"),
        ([AGAIN, event(Call.ATTACH, 0.1, epoch=3)], TRANSCRIPT, "was given before"),
        ([AGAIN, event(Call.HEARTBEAT, 3.5, epoch=1)], TRANSCRIPT, "a heartbeat of epoch 1 was taken after"),
        ([AGAIN, event(Call.CHECKPOINT, 3.5, epoch=1, turn=2, text="b")], TRANSCRIPT, "a checkpoint of epoch 1"),
        ([AGAIN], (), "acknowledged turn 1 of epoch 1 is lost"),
        ([AGAIN], (Stored(1, "other", 1),), "turn 1 was never sent"),
        ([AGAIN], (Stored(2, "b", 2),), "holes"),
        ([AGAIN], (Stored(1, "a", 2), Stored(2, "b", 1)), "older epoch"),
        ([replace(AGAIN, turn=0)], TRANSCRIPT, "was told of 0 turns"),
        ([AGAIN, event(Call.ATTACH, 4.2, epoch=3, turn=2, secret="s1")], TRANSCRIPT, "older than an acknowledged"),
        ([replace(AGAIN, secret="whose?")], TRANSCRIPT, "nobody stored here"),
        ([AGAIN, replace(GOOD, own=False)], TRANSCRIPT, "foreign"),
        ([AGAIN, END, event(Call.VALIDATE, 5.5, handle="h2", accepted=True)], TRANSCRIPT, "a revoked handle"),
        ([AGAIN, event(Call.VALIDATE, 14.2, handle="h2", accepted=True)], TRANSCRIPT, "an expired handle"),
        ([AGAIN, replace(GOOD, accepted=False)], TRANSCRIPT, "a good handle was refused"),
    ],
)
def test_each_broken_promise_is_found(bad: list[Event], transcript: tuple[Stored, ...], told: str) -> None:
    """One at a time, in an otherwise good history."""
    events = [ATTACH, FIRST, SECOND, *bad]
    assert any(told in problem for problem in judged(*events, transcript=transcript)), judged(*events)

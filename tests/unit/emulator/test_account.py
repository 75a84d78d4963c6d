"""The account counts what arrived, connection by connection, and what the newest context holds."""

import pytest

from services.common.voice import Heard
from services.emulator import account as accounts
from services.emulator import closes
from services.emulator.account import Account
from services.emulator.context import Context, Kind, Role, Turn, text_turn
from services.emulator.effects import Answered, Began, ContextChanged, Continued, VoiceHeard
from services.emulator.runs import Runs
from services.emulator.tokens import Tokens


def spoken(*frames: tuple[int, int], stream: int = 7) -> Turn:
    """A turn of the user's audio with these frames."""
    return Turn(Role.USER, Kind.AUDIO, "Hi.", Tokens(), stream, (0,), frames)


def hear(account: Account, connection: str, frames: range, stream: int = 7) -> None:
    """Let frames of a voice arrive on a connection."""
    for frame in frames:
        account.note(connection, VoiceHeard(Heard(stream, frame, 0, first=False, last=False, text="")))


def frames_of(account: Account) -> tuple[int, int, int, int]:
    """The four counts of voice 7."""
    report = account.voice(7)
    assert report is not None
    return tuple(report["frames"].values())


def test_one_connection() -> None:
    """Frames received, frames in context, greetings and tokens are exactly what the session told."""
    account = Account()
    account.opened("c1", 1000.0)
    account.note("c1", Began(Continued.NEW, Context()))
    hear(account, "c1", range(10))
    account.note("c1", ContextChanged(Context(turns=(spoken((0, 4)),))))
    account.note("c1", Answered(Tokens(text=5, audio=10), Tokens(audio=7), Tokens(), greeting=True))
    account.note("c1", Answered(Tokens(audio=30), Tokens(audio=8), Tokens(text=5, audio=10), greeting=False))
    assert account.voice(7) == {
        "stream": 7,
        "connections": [{"id": "c1", "opened_at": 1000.0, "continued": "new", "frames_received": 10, "closed": None}],
        "context": [{"role": "user", "kind": "audio", "text": "Hi.", "utterances": [0], "frames": [[0, 4]]}],
        "frames": {"distinct_received": 10, "in_context": 5, "missing_in_context": 0, "repeated_in_context": 0},
        "greetings": 1,
        "tokens": {
            "prompt_last": 30,
            "response_last": 8,
            "billed_prompt": 45,
            "billed_response": 15,
            "billed_cached": 15,
        },
    }


def test_a_resumed_session_is_linked_before_it_is_heard() -> None:
    """A context that holds a voice belongs to its account at once; the newest context is the one shown."""
    account = Account()
    account.opened("c1", 1.0)
    hear(account, "c1", range(5))
    account.note("c1", ContextChanged(Context(turns=(spoken((0, 4)), text_turn(Role.MODEL, "Lost.")))))
    account.closed("c1", closes.LIFETIME)
    account.opened("c2", 2.0)
    account.note("c2", Began(Continued.HANDLE, Context(turns=(spoken((0, 4)),))))
    report = account.voice(7)
    assert report is not None
    assert [entry["continued"] for entry in report["connections"]] == ["new", "handle"]
    assert report["connections"][0]["closed"]["code"] == 1008
    assert len(report["connections"][0]["closed"]["reason"]) == 123
    assert len(report["context"]) == 1


def test_a_refused_connection_does_not_hide_the_context() -> None:
    """Until a newer session has begun, the last one that had a context counts."""
    account = Account()
    account.opened("c1", 1.0)
    hear(account, "c1", range(5))
    account.note("c1", ContextChanged(Context(turns=(spoken((0, 4)),))))
    account.opened("c2", 2.0)
    hear(account, "c2", range(5))
    assert frames_of(account) == (5, 5, 0, 0)


@pytest.mark.parametrize(
    ("held", "counts"),
    [
        (((0, 9),), (20, 10, 0, 0)),
        (((0, 3), (6, 9)), (20, 8, 2, 0)),
        (((5, 9),), (20, 5, 5, 0)),
        (((0, 9), (5, 9)), (20, 10, 0, 5)),
    ],
)
def test_holes_and_repetitions(held: Runs, counts: tuple[int, int, int, int]) -> None:
    """Missing is every hole from frame 0 to the highest in the context; repeated is every frame that is there again."""
    account = Account()
    account.opened("c1", 1.0)
    hear(account, "c1", range(20))
    account.note("c1", ContextChanged(Context(turns=tuple(spoken(run) for run in held))))
    assert frames_of(account) == counts


@pytest.mark.parametrize("context", [Context(prefix=1), Context(compressed=1)])
def test_a_context_that_begins_later_has_no_holes_before_its_beginning(context: Context) -> None:
    """Where the beginning came as history or was compressed, holes count from the first frame that is there."""
    account = Account()
    account.opened("c1", 1.0)
    hear(account, "c1", range(20))
    turns = (text_turn(Role.USER, "Earlier."), spoken((10, 12)), spoken((14, 15)))
    account.note("c1", ContextChanged(Context(context.instruction, turns, context.prefix, context.compressed)))
    assert frames_of(account) == (20, 5, 1, 0)


def test_voices_are_apart() -> None:
    """Two voices on one connection have their own frames, and a voice that was never heard has no account."""
    account = Account()
    account.opened("c1", 1.0)
    hear(account, "c1", range(5))
    hear(account, "c1", range(3), stream=8)
    counts = {stream: (account.voice(stream) or {})["connections"][0]["frames_received"] for stream in (7, 8)}
    assert counts == {7: 5, 8: 3}
    assert account.voice(9) is None


def test_the_record_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The voice heard least recently is forgotten first."""
    monkeypatch.setattr(accounts, "VOICES", 2)
    account = Account()
    account.opened("c1", 1.0)
    for stream in (1, 2, 1, 3):
        hear(account, "c1", range(1), stream=stream)
    assert list(account.voices) == [1, 3]

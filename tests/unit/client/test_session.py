"""A session decides by its tables: what it opens, what it says first, when it leaves, how often it comes back."""

import json
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filo.client import (
    AttemptFailed,
    Audio,
    Disconnected,
    Over,
    Phase,
    Policy,
    Reconnected,
    Reconnecting,
    SessionError,
    wire,
)
from filo.client.states import TRANSITIONS, Signal, follow
from services.common.close_codes import CLOSE_CODES, Action
from tests.unit.client.scene import CREDENTIALS, live, new, say, sent


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("signal", Signal)
def test_the_table_is_total(phase: Phase, signal: Signal) -> None:
    """Every pair of phase and signal is either a row or refused; none is met by accident."""
    if signal in TRANSITIONS[phase]:
        assert follow(phase, signal) in Phase
    else:
        with pytest.raises(SessionError, match=phase.value):
            follow(phase, signal)


def test_only_over_is_final_and_every_phase_is_reached() -> None:
    """From the first phase every other can be reached, and only OVER has no way on."""
    reached, todo = set(), {Phase.IDLE}
    while todo:
        reached |= todo
        todo = {following for phase in todo for following in TRANSITIONS[phase].values()} - reached
    assert reached == set(Phase)
    assert [phase for phase in Phase if not TRANSITIONS[phase]] == [Phase.OVER]


def test_the_url_tells_no_token_and_the_first_message_does() -> None:
    """Session token and share token go in the first message, never in the URL."""
    session = new()
    url = session.connect(0.0)
    assert parse_qs(urlsplit(url).query) == {"mode": ["sales_agent"], "testMode": ["true"]}
    session.opened(0.0)
    assert [json.loads(message) for message in sent(session)] == [
        {"type": "auth", "sessionToken": "first-token", "shareToken": "share-secret"}
    ]
    assert "secret" not in repr(CREDENTIALS)
    assert "first-token" not in repr(CREDENTIALS)


def test_a_reconnect_names_the_newest_handle_token_and_message() -> None:
    """R3.1: the newest handle and the last message seen are in the next URL; the newest token goes along."""
    session = new()
    live(session)
    for n, number in enumerate(("old", "new"), start=1):
        update = {"handle": f"rh_{number}", "resumable": True, "sessionToken": f"{number}-token"}
        session.received(say("session_resumption_update", epoch=1, n=n, **update), 0.0)
    session.received(say("session_resumption_update", epoch=1, n=3, resumable=False), 0.0)
    session.received(b"\0\0", 0.0)
    session.closed(1006, "", 0.0)
    query = parse_qs(urlsplit(session.connect(2.0)).query)
    assert (query["resumeHandle"], query["lastSeen"]) == (["rh_new"], ["1.4"])
    session.opened(2.0)
    assert json.loads(sent(session)[0])["sessionToken"] == "new-token"


def test_another_process_goes_on_where_one_died() -> None:
    """What was seen and the handle pass from one to the next: it asks for what came since."""
    first, second = new(), new()
    live(first)
    first.received(say("session_resumption_update", epoch=1, n=1, handle="rh_new", resumable=True), 0.0)
    second.go_on_from(*first.standing)
    query = parse_qs(urlsplit(second.connect(5.0)).query)
    assert (query["resumeHandle"], query["lastSeen"]) == (["rh_new"], ["1.1"])
    second.opened(5.0)
    told = second.received(say("session:resumed", epoch=1, n=3, nextSeq=40, covered=38), 5.0)
    assert [type(event).__name__ for event in told] == ["SessionResumed"]
    assert second.received(say("turn:complete", epoch=1, n=2, turn=1), 5.0), "it has not seen that one"
    assert second.audio(b"a") == 40


def test_nothing_is_sent_before_the_greeting_and_everything_after_it() -> None:
    """Input given in any phase is kept, and goes out in order once the relay has greeted."""
    session = new()
    assert (session.audio(b"a"), session.text("b")) == (1, 2)
    session.connect(0.0)
    session.opened(0.0)
    session.audio(b"c")
    assert len(sent(session)) == 1
    session.received(say("session:started", epoch=1, n=0, nextSeq=1), 0.0)
    assert sent(session) == ['{"type":"seq","next":1}', b"a", '{"type":"text","text":"b"}', b"c"]


def test_a_fresh_client_of_an_older_conversation_takes_up_its_numbers() -> None:
    """What was said before the first greeting is numbered from where the relay stands."""
    session = new()
    session.audio(b"a")
    live(session, resumed=True, nextSeq=871, covered=850, continuity="handle")
    assert sent(session) == ['{"type":"seq","next":871}', b"a"]
    assert session.audio(b"b") == 872


def test_covered_input_is_forgotten_and_the_rest_is_sent_again() -> None:
    """After a cut exactly what the relay does not have is sent, from its `nextSeq` on."""
    session = new()
    live(session)
    for piece in (b"1", b"2", b"3", b"4"):
        session.audio(piece)
    sent(session)
    session.received(say("covered", epoch=1, n=1, seq=2), 0.0)
    assert (len(session.outbox), session.outbox.covered) == (2, 2)
    session.closed(1006, "", 0.0)
    live(session, resumed=True, epoch=2, nextSeq=4, covered=2, continuity="handle")
    assert sent(session) == ['{"type":"seq","next":4}', b"4"]
    assert session.outbox.pending() == []


def test_input_that_the_relay_wants_and_nobody_has_is_counted() -> None:
    """A relay that goes back behind what it said was covered shows as lost inputs, never as silence."""
    session = new()
    live(session)
    for piece in (b"1", b"2", b"3"):
        session.audio(piece)
    session.received(say("covered", epoch=1, n=1, seq=2), 0.0)
    session.closed(1006, "", 0.0)
    told = live(session, resumed=True, epoch=2, nextSeq=1)
    assert [event.lost_inputs for event in told if isinstance(event, Reconnected)] == [2]
    assert sent(session) == ['{"type":"seq","next":3}', b"3"]


@pytest.mark.parametrize("code", sorted(CLOSE_CODES))
def test_each_close_code_is_met_as_the_table_says(code: int) -> None:
    """STOP ends the session, RECONNECT waits 1 to 2 s, WAIT waits long."""
    session = new()
    live(session)
    told = session.closed(code, "why", 10.0)
    assert told[0] == Disconnected(code, "why")
    if CLOSE_CODES[code].action is Action.STOP:
        assert told[1] == Over(ended=code in {1000, 4410}, code=code, reason="why", attempts=0)
        assert session.phase is Phase.OVER
    else:
        waiting = told[1]
        assert isinstance(waiting, Reconnecting)
        assert waiting.wait == (1.5 if CLOSE_CODES[code].action is Action.RECONNECT else 11.25)
        assert session.deadline == 10.0 + waiting.wait


def test_three_attempts_in_a_row_and_no_more() -> None:
    """R3.3: waits grow exponentially, the fourth loss ends it, and the end tells how many attempts there were."""
    session = new()
    live(session)
    told = [*session.closed(1006, "", 0.0)]
    while session.phase is not Phase.OVER:
        session.connect(0.0)
        told += session.closed(1006, "refused", 0.0)
    assert [event.wait for event in told if isinstance(event, Reconnecting)] == [1.5, 3.0, 6.0]
    assert [event.attempt for event in told if isinstance(event, AttemptFailed)] == [1, 2, 3]
    assert told[-1] == Over(ended=False, code=1006, reason="refused", attempts=3)


def test_a_success_resets_the_count_and_the_cause_is_told() -> None:
    """R3.2: session:resumed clears the flag and the attempts; the gap runs from the loss."""
    session = new()
    live(session)
    session.received(say("session_expiring", epoch=1, n=1, timeLeft=60, hasHandle=True), 0.0)
    assert session.expiring
    session.closed(1001, "", 10.0)
    session.connect(11.5)
    session.closed(1006, "refused", 11.5)
    session.connect(14.5)
    session.opened(14.5)
    told = session.received(say("session:resumed", epoch=2, n=0, nextSeq=1, continuity="handle"), 15.0)
    assert told[1] == Reconnected(cause="1001", attempts=2, continuity="handle", gap=5.0, lost_inputs=0)
    assert not session.expiring
    again = session.closed(1006, "", 20.0)
    assert again[1] == Reconnecting(1, 1.5, "cut")


def test_go_away_is_left_and_messages_still_on_their_way_count() -> None:
    """rotation=client: goAway makes the client close its socket; a handle that crosses the close is kept."""
    session = new()
    live(session)
    session.received(say("goAway", epoch=1, n=1, timeLeft=60), 5.0)
    assert session.leaving
    session.audio(b"kept")
    assert sent(session) == []
    session.received(say("session_resumption_update", epoch=1, n=2, handle="rh_late", resumable=True), 5.1)
    told = session.closed(1001, "", 5.2)
    assert told == [Disconnected(1001, ""), Reconnecting(1, 1.5, "go_away")]
    assert "resumeHandle=rh_late" in session.connect(6.7)


def test_without_resumption_go_away_is_ignored_and_the_first_close_is_the_end() -> None:
    """The world before Filo: no attempt is made."""
    session = new(Policy(attempts=0, follow_go_away=False))
    live(session)
    session.received(say("goAway", epoch=1, n=1, timeLeft=60), 0.0)
    assert session.phase is Phase.LIVE
    assert session.closed(1012, "limit", 0.0)[-1] == Over(ended=False, code=1012, reason="limit", attempts=0)


def test_a_relay_that_does_not_greet_is_left() -> None:
    """R3.3: 10 s for the greeting; a silent relay costs an attempt like a refused connection."""
    session = new()
    session.connect(0.0)
    session.opened(1.0)
    assert session.deadline == 11.0
    session.timeout(11.0)
    assert session.leaving
    assert session.received(say("session:started", epoch=1, n=0), 11.1) == ()
    assert session.closed(1001, "", 11.2)[-1] == Reconnecting(1, 1.5, "silent")


def test_the_end_of_the_conversation_is_final_whatever_the_close() -> None:
    """After conversation_end even a cut is not answered with a reconnect."""
    session = new()
    live(session)
    session.received(say("conversation_end", epoch=1, n=1, reason="done"), 0.0)
    assert session.closed(1006, "", 0.0) == [Over(ended=True, code=1006, reason="done", attempts=0)]


def test_the_farewell_is_the_last_word_and_is_said_again() -> None:
    """`end` goes out after all input, and once more on the next socket."""
    session = new()
    live(session)
    session.end("done")
    session.audio(b"last")
    assert sent(session)[1:] == [b"last", '{"type":"end","reason":"done"}']
    assert sent(session) == []
    session.closed(1006, "", 0.0)
    live(session, resumed=True, nextSeq=2)
    assert sent(session) == ['{"type":"seq","next":2}', '{"type":"end","reason":"done"}']


def test_a_message_seen_before_is_passed_over() -> None:
    """Numbers count, also those that binary messages only imply; a new epoch starts anew."""
    session = new()
    live(session)
    assert session.received(b"voice", 0.0) == (Audio(b"voice"),)
    assert session.received(say("pong", epoch=1, n=2), 0.0) != ()
    session.closed(1006, "", 0.0)
    live(session, resumed=True, epoch=1, n=0)
    assert session.received(b"voice", 0.0) == ()
    assert session.received(say("pong", epoch=1, n=2), 0.0) == ()
    assert session.received(b"more", 0.0) == (Audio(b"more"),)
    assert session.duplicates == 2
    session.closed(1006, "", 0.0)
    live(session, resumed=True, epoch=2, n=0)
    assert session.received(b"voice", 0.0) == (Audio(b"voice"),)


@given(
    frame=st.one_of(
        st.text(max_size=40), st.just('{"type":"news","epoch":1,"n":9}'), st.just('{"type":"usage","epoch":"x"}')
    )
)
def test_what_cannot_be_read_changes_nothing(frame: str) -> None:
    """A message that is unknown or broken is not told to the owner and moves nothing."""
    session = new()
    live(session)
    assert session.received(frame, 0.0) == ()
    assert session.phase is Phase.LIVE


def test_secrets_are_not_shown() -> None:
    """The text of a resumption update holds neither handle nor token."""
    update = wire.parse(say("session_resumption_update", epoch=1, n=1, handle="rh_x", sessionToken="eyJ"))
    assert "rh_x" not in repr(update)
    assert "eyJ" not in repr(update)

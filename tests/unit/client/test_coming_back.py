"""What a session does about silence, the network, refused tokens and holes; and how it is left."""

import json
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest

from filo.client import AttemptFailed, Event, Offline, Over, Phase, Policy, Reconnecting, Session
from tests.unit.client.scene import CREDENTIALS, POLICY, live, new, say, sent


def test_a_silent_relay_is_asked_and_then_left() -> None:
    """A network that dies without a word is noticed: a ping after the silence, and no answer is a reason to leave."""
    session = new()
    live(session)
    sent(session)
    assert session.deadline == POLICY.ping_after
    session.timeout(10.0)
    assert sent(session) == ['{"type":"ping"}']
    assert session.deadline == 10.0 + POLICY.ping_timeout
    session.timeout(20.0)
    assert session.leaving
    assert session.closed(1006, "", 20.5)[-1] == Reconnecting(1, 1.5, "silent")


def test_whatever_comes_is_a_sign_of_life() -> None:
    """Voice, messages seen before, even what cannot be read: the relay is there, and is not asked."""
    session = new()
    live(session)
    sent(session)
    for at, frame in ((5.0, b"voice"), (14.0, "not json"), (23.0, say("pong", epoch=1, n=1))):
        session.received(frame, at)
        session.timeout(at + 9.0)
        assert (session.phase, sent(session)) == (Phase.LIVE, [])
        assert session.deadline == at + POLICY.ping_after


@pytest.mark.parametrize("online", [True, False])
def test_a_change_of_network_is_a_reason_to_ask_at_once(online: bool) -> None:  # noqa: FBT001 - a case
    """The socket may be dead without a word: it gets `probe_timeout` to prove that it is not, and is asked once."""
    session = new()
    live(session)
    sent(session)
    session.network(online=online, now=2.0)
    session.network(online=online, now=2.5)
    assert sent(session) == ['{"type":"ping"}']
    assert session.deadline == 2.0 + POLICY.probe_timeout
    session.timeout(5.0)
    assert session.leaving


def test_without_a_network_no_attempt_is_counted() -> None:
    """However long it lasts, attempts are rare and free; they begin to count when the network is back."""
    session = new()
    live(session)
    session.network(online=False, now=0.0)
    assert session.closed(1006, "", 1.0)[-1] == Offline(POLICY.longest_wait)
    told: list[Event] = []
    for _ in range(30):
        session.connect(16.0)
        assert session.closed(1006, "unreachable", 1.0) == [
            AttemptFailed(0, "unreachable"),
            Offline(POLICY.longest_wait),
        ]
    assert session.deadline == 1.0 + POLICY.longest_wait
    assert session.network(online=True, now=500.0) == (Reconnecting(1, 1.5, "cut"),)
    assert session.deadline == 501.5
    told.clear()
    while session.phase is not Phase.OVER:
        session.connect(501.5)
        told += session.closed(1006, "refused", 501.5)
    assert [event.attempt for event in told if isinstance(event, AttemptFailed)] == [1, 2, 3]


def test_a_client_that_never_comes_back_does_not_wait_for_a_network_either() -> None:
    """No attempts means no attempts."""
    session = new(Policy(attempts=0))
    live(session)
    session.network(online=False, now=0.0)
    assert isinstance(session.closed(1006, "", 1.0)[-1], Over)


def test_a_refused_token_is_renewed_once() -> None:
    """4401 asks the owner for a new token where there is one to ask; the new one refused as well is the end."""
    session = new(credentials=replace(CREDENTIALS, renewable=True))
    live(session)
    assert session.closed(4401, "expired", 0.0)[-1] == Reconnecting(1, 1.5, "4401")
    assert session.wants_token
    session.connect(1.5)
    session.renewed("second-token")
    assert not session.wants_token
    session.opened(1.6)
    assert json.loads(sent(session)[0])["sessionToken"] == "second-token"
    assert session.closed(4401, "expired", 2.0)[-1] == Over(ended=False, code=4401, reason="expired", attempts=1)


def test_a_token_may_be_renewed_again_after_a_success() -> None:
    """The bound is on attempts without a session between them."""
    session = new(credentials=replace(CREDENTIALS, renewable=True))
    for _ in range(5):
        live(session, resumed=True)
        assert isinstance(session.closed(4401, "expired", 0.0)[-1], Reconnecting)
        session.renewed("another")


def test_a_hole_in_the_numbers_is_told() -> None:
    """Where audio was given up, the relay is told with which number it goes on, and text is not lost with it."""
    session = Session(CREDENTIALS, POLICY, lambda: 0.5, capacity=2)
    live(session)
    sent(session)
    session.text("kept")
    for piece in (b"1", b"2", b"3"):
        session.audio(piece)
    assert sent(session) == ['{"type":"text","text":"kept"}', '{"type":"seq","next":3}', b"2", b"3"]
    session.audio(b"4")
    assert sent(session) == [b"4"]
    assert session.outbox.given_up == 2


def test_leaving_is_not_ending() -> None:
    """`quit` closes the socket and comes back no more; nothing tells the relay that the conversation is over."""
    session = new()
    live(session)
    session.audio(b"last")
    session.quit(3.0)
    assert session.leaving
    assert session.closed(1001, "", 3.1) == [Over(ended=False, code=1001, reason="left", attempts=0)]


def test_the_client_s_own_activity_is_input() -> None:
    """Where automatic detection is off, the marks are numbered and kept like the audio between them."""
    session = new()
    live(session)
    numbers = [
        session.activity(start=True),
        session.audio(b"a"),
        session.activity(start=False),
        session.audio_stream_end(),
    ]
    assert numbers == [1, 2, 3, 4]
    assert sent(session)[1:] == [
        '{"type":"activity_start"}',
        b"a",
        '{"type":"activity_end"}',
        '{"type":"audio_stream_end"}',
    ]


def last_turn(session: Session) -> str | None:
    """What the next socket says of it."""
    session.closed(1006, "", 1.0)
    return parse_qs(urlsplit(session.connect(2.0)).query).get("lastTurn", [None])[0]


def test_the_newest_turn_that_was_told_of_is_named() -> None:
    """So that the next relay tells those that are stored and were not told: by itself, or as missed."""
    session = new()
    assert "lastTurn" not in session.connect(0.0)
    session.closed(1006, "", 0.0)
    live(session)
    assert last_turn(session) == "0"
    session.closed(1006, "", 3.0)
    live(session, resumed=True)
    session.received(say("turn:complete", epoch=1, n=1, turn=1), 0.0)
    session.received(say("turn:missed", epoch=1, n=2, turn=2), 0.0)
    session.received(say("transcript", epoch=1, n=3, turn=3, role="agent", text="Yes"), 0.0)
    assert last_turn(session) == "2"


def test_a_turn_that_was_not_stored_is_not_named_again() -> None:
    """It was told to be complete while the store was away, and the relay died: it begins again, and its end is news."""
    session = new()
    live(session)
    session.received(say("turn:complete", epoch=1, n=1, turn=1, stored=False), 0.0)
    session.closed(1006, "", 1.0)
    live(session, resumed=True, epoch=2, turn=0)
    assert last_turn(session) == "0"


def test_a_client_that_comes_later_misses_nothing_of_before() -> None:
    """It is told what comes from then on; it asks for nothing that was before it."""
    session = new()
    live(session, resumed=True, epoch=3, n=9, turn=7)
    assert last_turn(session) == "7"


def test_a_process_that_goes_on_for_another_does_not_know_what_that_was_told() -> None:
    """It names the message alone, until it is told of a turn itself."""
    session = new()
    session.go_on_from((1, 9), "rh")
    live(session, resumed=True, epoch=2, turn=3)
    assert last_turn(session) is None
    session.closed(1006, "", 3.0)
    live(session, resumed=True, epoch=2, turn=3)
    session.received(say("turn:missed", epoch=2, n=1, turn=3), 0.0)
    assert last_turn(session) == "3"

"""The client on real sockets, before a relay that misbehaves on purpose: each thing a good relay never does."""

import asyncio
from typing import TypeVar

from filo.client import (
    Client,
    Credentials,
    Disconnected,
    Event,
    Over,
    Policy,
    Reconnected,
    Reconnecting,
    Session,
    messages,
)
from services.common import logs
from services.common.clock import SystemClock
from tests.support.scripted import Visit, relay

QUICK = Policy(
    shortest_wait=0.01, first_wait=0.02, longest_wait=0.05, greeting_timeout=0.2, close_timeout=0.3, open_timeout=2.0
)
PATIENCE = 10.0

T = TypeVar("T")


def client(url: str, policy: Policy = QUICK) -> Client:
    """A client of that relay."""
    session = Session(Credentials(url=url, session_token="token"), policy, lambda: 0.5)
    return Client(session, SystemClock(), logs.get("test"))


async def told(of: Client) -> list[Event]:
    """Run it to its end; everything it told."""
    events: list[Event] = []
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        group.create_task(of.run())
        while not events or not isinstance(events[-1], Over):
            events.append(await of.events.get())
    return events


def only(events: list[Event], kind: type[T]) -> list[T]:
    """The events of one kind."""
    return [event for event in events if isinstance(event, kind)]


async def cut(visit: Visit) -> None:
    """Hear three inputs and die without a close frame."""
    await visit.greet()
    await visit.hear(4)
    visit.socket.transport.abort()


async def test_a_cut_socket_comes_back_with_what_was_not_covered() -> None:
    """1006 is met with a reconnect; the relay gets again what it did not have, after the number it asked for."""

    async def resume(visit: Visit) -> None:
        await visit.greet(next_seq=2)
        await visit.hear(3)
        await visit.say("conversation_end", reason="done")
        await visit.socket.close(1000)

    async with relay(cut, resume) as (url, visits):
        speaker = client(url)
        for piece in (b"1", b"2", b"3"):
            speaker.audio(piece)
        events = await told(speaker)
    assert visits[0].came[1:] == ['{"type":"seq","next":1}', b"1", b"2", b"3"]
    assert visits[1].came[1:] == ['{"type":"seq","next":2}', b"2", b"3"]
    assert "lastSeen=1.0" in visits[1].path
    assert [(mark.cause, mark.attempts) for mark in only(events, Reconnected)] == [("cut", 1)]
    assert events[-1] == Over(ended=True, code=1000, reason="done", attempts=0)


async def test_its_own_abort_is_a_cut() -> None:
    """The fault that the simulator makes by itself looks to both sides like a dead network."""
    heard = asyncio.Event()

    async def talk(visit: Visit) -> None:
        await visit.greet()
        await visit.hear(1)
        heard.set()

    async with relay(talk) as (url, visits):
        speaker = client(url)
        running = asyncio.ensure_future(told(speaker))
        await heard.wait()
        speaker.abort()
        events = await running
    assert only(events, Disconnected) == [Disconnected(1006, "")]
    assert len(only(events, Reconnected)) == 1
    assert visits[0].socket.close_code == 1006


async def test_a_relay_that_never_greets_costs_an_attempt() -> None:
    """R3.3: the wait for the greeting is bounded; the next attempt may do better."""

    async def say_nothing(visit: Visit) -> None:
        await visit.hear(1)

    async with relay(say_nothing) as (url, visits):
        events = await told(client(url))
    assert [(event.attempt, event.cause) for event in only(events, Reconnecting)] == [(1, "silent")]
    assert len(visits) == 2


async def test_a_relay_that_does_not_answer_a_close_is_left_all_the_same() -> None:
    """GoAway to a relay that hangs: the close is bounded, and what it still says is read meanwhile."""
    released = asyncio.Event()

    async def hang(visit: Visit) -> None:
        await visit.greet()
        await visit.say("goAway", timeLeft=1)
        for n in range(2, 200):
            await visit.say("transcript", n=n, role="agent", text="x")
        visit.socket.transport.pause_reading()  # so the close frame is not read
        await released.wait()
        visit.socket.transport.resume_reading()

    async with relay(hang) as (url, _):
        events = await told(client(url))
        released.set()
    assert [mark.cause for mark in only(events, Reconnected)] == ["go_away"]
    assert len(only(events, messages.Transcript)) == 198
    assert only(events, Reconnected)[0].gap < 2.0


async def test_a_relay_that_is_not_there_is_given_up() -> None:
    """Connection refused: as many attempts as allowed, then a loss with a sentence."""
    async with relay() as (url, _):
        pass
    events = await told(client(url))
    assert len(only(events, Reconnecting)) == QUICK.attempts
    over = events[-1]
    assert isinstance(over, Over)
    assert (over.ended, over.code, over.attempts) == (False, 1006, QUICK.attempts)
    assert "refused" in over.reason.lower() or "connect" in over.reason.lower()


async def test_a_forged_token_is_final() -> None:
    """4401 is not tried again."""

    async def refuse(visit: Visit) -> None:
        await visit.hear(1)
        await visit.socket.close(4401, "the session token is forged")

    async with relay(refuse) as (url, visits):
        events = await told(client(url))
    assert len(visits) == 1
    assert events[-1] == Over(ended=False, code=4401, reason="the session token is forged", attempts=0)


async def test_cancelling_leaves_no_socket_behind() -> None:
    """Whoever cancels does not wait: the socket is gone at once, also from a relay that never answers."""
    gone = asyncio.Event()

    async def talk(visit: Visit) -> None:
        await visit.greet()
        await visit.socket.wait_closed()
        gone.set()

    async with relay(talk) as (url, visits):
        speaker = client(url)
        running = asyncio.ensure_future(speaker.run())
        while not isinstance(await speaker.events.get(), messages.SessionStarted):
            pass
        running.cancel()
        await asyncio.wait([running], timeout=0.25)
        assert running.cancelled()
        async with asyncio.timeout(PATIENCE):
            await gone.wait()
    assert len(visits) == 1

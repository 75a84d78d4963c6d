"""The edges of the library: what happens when too much is kept, nobody listens, or the caller gives up."""

import asyncio

import pytest

from filo.client import Conversation, ConversationError, Event, Offline, Over, Phase, Policy, Reconnected, messages
from filo.client.messages import SessionStarted
from tests.support.scripted import Visit, relay

QUICK = Policy(shortest_wait=0.01, first_wait=0.02, longest_wait=0.05, close_timeout=0.3, open_timeout=2.0)
PATIENCE = 10.0


async def until_closed(visit: Visit) -> None:
    """Greet, and listen to the end."""
    await visit.greet()
    while True:
        visit.came.append(await visit.socket.recv())


async def test_a_full_outbox_makes_the_sender_wait() -> None:
    """`send_audio` returns when the relay has stored what came before; `push_audio` does not wait, and gives up."""
    store = asyncio.Event()

    async def slow(visit: Visit) -> None:
        await visit.greet()
        await visit.hear(2)
        await store.wait()
        await visit.say("covered", seq=1)
        await visit.hear(1)

    async with (
        relay(slow) as (url, visits),
        asyncio.timeout(PATIENCE),
        Conversation.open(url, "token", policy=QUICK, capacity=640) as talk,
    ):
        assert await talk.send_audio(b"1" * 640) == 1
        waiting = asyncio.ensure_future(talk.send_audio(b"2" * 640))
        await asyncio.wait([waiting], timeout=0.05)
        assert not waiting.done()
        store.set()
        assert await waiting == 2
        assert (talk.given_up, talk.push_audio(b"3" * 640), talk.given_up) == (0, 3, 1)
    assert visits[0].came[1:3] == ['{"type":"seq","next":1}', b"1" * 640]


async def test_what_cannot_be_sent_is_refused_before_it_is_kept() -> None:
    """A mistake of the caller is an error at the caller, not a closed socket later."""
    async with relay(until_closed) as (url, _), Conversation.open(url, "token", policy=QUICK) as talk:
        for wrong in (b"odd", bytes(65 * 1024)):
            with pytest.raises(ValueError, match="PCM16"):
                await talk.send_audio(wrong)
        with pytest.raises(ValueError, match="empty"):
            await talk.send_text("  ")
        assert talk.uncovered == 0
    with pytest.raises(ValueError, match="token or renew"):
        Conversation.open(url)
    with pytest.raises(ValueError, match="rotation"):
        Conversation.open(url, "token", rotation="both")


async def test_leaving_while_events_wait_is_quick() -> None:
    """Whoever leaves need not have listened: nothing is waited for, and the socket is closed with 1001."""

    async def chatter(visit: Visit) -> None:
        await visit.greet()
        for n in range(1, 3000):
            await visit.say("transcript", n=n, role="agent", text="x")
        await until_closed(visit)

    async with relay(chatter) as (url, visits), asyncio.timeout(PATIENCE):
        async with Conversation.open(url, "token", policy=QUICK) as talk:
            first = await anext(talk)
        assert isinstance(first, SessionStarted)
        await visits[0].socket.wait_closed()
    assert visits[0].socket.close_code == 1001


async def last_of(talk: Conversation) -> Event | None:
    """The last event."""
    last = None
    async for event in talk:
        last = event
    return last


async def test_leaving_while_it_is_away_makes_no_more_attempts() -> None:
    """In the middle of a wait, too."""

    async def cut(visit: Visit) -> None:
        await visit.greet()
        visit.socket.transport.abort()

    patient = Policy(shortest_wait=60.0, first_wait=60.0, longest_wait=60.0)
    async with relay(cut) as (url, visits), asyncio.timeout(PATIENCE):
        async with Conversation.open(url, "token", policy=patient) as talk:
            while talk.phase is not Phase.WAITING:
                await anext(talk)
            listening = asyncio.create_task(last_of(talk))
        assert await listening == Over(ended=False, code=1001, reason="left", attempts=0)
    assert len(visits) == 1


async def test_a_network_that_is_known_to_be_gone_is_waited_for() -> None:
    """Told that there is none, it parks; told that there is one again, it comes back."""

    async def cut(visit: Visit) -> None:
        await visit.greet()
        await visit.hear(2)
        visit.socket.transport.abort()

    async with (
        relay(cut, until_closed) as (url, visits),
        asyncio.timeout(PATIENCE),
        Conversation.open(url, "token", policy=QUICK) as talk,
    ):
        await talk.network(online=False)
        async for event in talk:
            if isinstance(event, Offline):
                assert len(visits) == 1
                await talk.network(online=True)
            if isinstance(event, Reconnected):
                break
    assert len(visits) == 2


async def test_a_relay_that_is_not_there_is_told_at_the_door() -> None:
    """After the attempts of the policy, with the reason of the last one."""
    async with relay() as (url, _):
        pass
    with pytest.raises(ConversationError, match="1006"):
        async with Conversation.open(url, "token", policy=QUICK):
            raise AssertionError("nobody is there")


async def test_a_url_that_is_none_is_told_at_the_door() -> None:
    """An attempt that cannot even begin is an attempt that failed."""
    with pytest.raises(ConversationError, match="InvalidURI"):
        async with Conversation.open("http://relay/ws", "token", policy=QUICK):
            raise AssertionError("that is no WebSocket")


async def test_a_callback_that_fails_costs_an_attempt() -> None:
    """It may be away for a moment like anything else; its error is told, not swallowed."""
    tries: list[int] = []

    async def renew() -> str:
        tries.append(1)
        if len(tries) == 1:
            raise LookupError("no backend")
        return "token"

    async with (
        relay(until_closed) as (url, visits),
        asyncio.timeout(PATIENCE),
        Conversation.open(url, renew=renew, policy=QUICK) as talk,
    ):
        events = [await anext(talk) for _ in range(3)]
    assert "no backend" in repr(events[0])
    assert isinstance(events[2], messages.SessionStarted)
    assert '"sessionToken":"token"' in str(visits[0].came[0])


async def test_a_defect_is_raised_and_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """Should the client itself break, whoever takes the events gets the error."""
    async with (
        relay(until_closed) as (url, _),
        asyncio.timeout(PATIENCE),
        Conversation.open(url, "token", policy=QUICK) as talk,
    ):
        await anext(talk)
        monkeypatch.setattr("filo.client.session.Session.take", lambda _: 1 / 0)
        await talk.send_text("Hello")
        with pytest.raises(ExceptionGroup):
            await anext(talk)

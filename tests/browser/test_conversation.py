"""The module before a relay that misbehaves on purpose: what its driver does with sockets, timers and the page."""

import asyncio
import json
from typing import Any

import pytest
from playwright.async_api import Page

from tests.support.scripted import Behaviour, Visit, relay

pytestmark = pytest.mark.asyncio(loop_scope="session")

PATIENCE = 30.0
BROWSER_GIVES_UP = 8.0
"""Seconds: less than a browser itself waits for the answer to a close."""
OPEN = """
async ([base, url, options]) => {
  const module = await import(base + "/filo-client.js");
  window.told = [];
  const quick = { shortestWait: 0.01, firstWait: 0.02, longestWait: 0.05, closeTimeout: 0.2 };
  const policy = { ...quick, ...options.policy };
  const tries = [];
  const renew = options.renew && (async () => {
    tries.push(1);
    if (tries.length === 1) throw new Error("no backend");
    return "renewed";
  });
  const { Conversation } = module;
  try {
    window.talk = await Conversation.open(url, options.token ?? null, { policy, renew, onEvent: (e) => told.push(e) });
  } catch (error) {
    return { name: error.name, message: error.message, over: error.over };
  }
  return talk.phase;
}
"""


async def opened(page: Page, files: str, url: str, **options: Any) -> Any:  # noqa: ANN401 - JSON
    """Open a conversation in the page; what became of it."""
    await page.goto(f"{files}/tables.js")
    return await page.evaluate(OPEN, [files, url, {"token": "token", **options}])


async def told(page: Page, last: str) -> list[dict[str, Any]]:
    """Everything the page was told, once `last` has come."""
    await page.wait_for_function("last => told.some((event) => event.type === last)", arg=last, timeout=PATIENCE * 1000)
    found: list[dict[str, Any]] = await page.evaluate(
        "told.map((event) => (event.type === 'audio' ? { ...event, pcm: event.pcm.byteLength } : event))"
    )
    return found


def listen(count: int = 10**6) -> Behaviour:
    """A relay that greets, hears so many frames, and cuts."""

    async def behave(visit: Visit) -> None:
        await visit.greet()
        await visit.hear(count)
        visit.socket.transport.abort()

    return behave


async def test_it_talks_and_the_end_is_the_end(page: Page, files: str) -> None:
    """Audio and JSON, both ways; iteration gives the same events, and stops after the last."""

    async def talk(visit: Visit) -> None:
        await visit.greet()
        await visit.hear(3)
        await visit.socket.send(b"\1\0" * 480)
        await visit.say("conversation_end", n=2, reason="done")
        await visit.socket.close(1000)

    async with relay(talk) as (url, visits):
        assert await opened(page, files, url) == "live"
        iterated = await page.evaluate(
            """async () => {
              const kinds = [];
              talk.sendAudio(new Int16Array([1, 2, 3]));
              talk.sendText("Hello");
              for await (const event of talk) kinds.push(event.type);
              return [kinds, talk.phase];
            }"""
        )
        events = await told(page, "over")
    assert iterated == [["audio", "conversation_end", "over"], "over"]
    assert visits[0].came[1:] == ['{"type":"seq","next":1}', b"\1\0\2\0\3\0", '{"type":"text","text":"Hello"}']
    assert json.loads(visits[0].came[0]) == {"type": "auth", "sessionToken": "token"}
    assert events[1] == {"type": "audio", "pcm": 960}
    assert events[-1] == {"type": "over", "ended": True, "code": 1000, "reason": "done", "attempts": 0}
    refused = await page.evaluate("try { talk.sendText('x') } catch (error) { error.name }")
    assert refused == "ConversationError"


async def test_a_refusal_rejects_the_promise(page: Page, files: str) -> None:
    """A final close code at the door is an error with the code and the reason; nothing is tried again."""

    async def refuse(visit: Visit) -> None:
        await visit.hear(1)
        await visit.socket.close(4403, "the share token is missing")

    async with relay(refuse) as (url, visits):
        found = await opened(page, files, url)
    assert (found["name"], found["over"]["code"], len(visits)) == ("ConversationError", 4403, 1)
    assert "the share token is missing" in found["message"]


async def test_a_cut_socket_comes_back_with_what_was_not_covered(page: Page, files: str) -> None:
    """The relay gets again what it did not have, from the number it asked for."""

    async def resume(visit: Visit) -> None:
        await visit.greet(next_seq=2)
        await visit.hear(3)
        await visit.say("conversation_end", n=1, reason="done")
        await visit.socket.close(1000)

    async with relay(listen(4), resume) as (url, visits):
        await opened(page, files, url)
        await page.evaluate("for (const word of ['a', 'b', 'c']) talk.sendText(word)")
        events = await told(page, "over")
    assert [json.loads(frame).get("text") for frame in visits[1].came[2:]] == ["b", "c"]
    assert "lastSeen=1.0" in visits[1].path
    assert [event["cause"] for event in events if event["type"] == "reconnected"] == ["cut"]


async def test_a_relay_that_never_greets_costs_an_attempt(page: Page, files: str) -> None:
    """The wait is bounded; the next attempt does better."""

    async def say_nothing(visit: Visit) -> None:
        await visit.hear(1)

    async with relay(say_nothing, listen()) as (url, visits):
        assert await opened(page, files, url, policy={"greetingTimeout": 2.0}) == "live"
        events = await told(page, "session:started")
    assert [event["cause"] for event in events if event["type"] == "reconnecting"] == ["silent"]
    assert len(visits) == 2


async def test_a_relay_that_does_not_answer_a_close_is_left_all_the_same(page: Page, files: str) -> None:
    """GoAway from a relay that hangs: the wait is `closeTimeout`.

    A browser hands nothing on that comes after `close`: so the next socket asks for what came after the goAway.
    """
    released = asyncio.Event()

    async def hang(visit: Visit) -> None:
        await visit.greet()
        await visit.say("goAway", timeLeft=1)
        for n in range(2, 50):
            await visit.say("transcript", n=n, role="agent", text="x", turn=1)
        visit.socket.transport.pause_reading()  # so the close frame is not read
        await released.wait()
        visit.socket.transport.resume_reading()

    async with relay(hang, listen()) as (url, visits):
        await opened(page, files, url)
        events = await told(page, "reconnected")
        released.set()
    (back,) = [event for event in events if event["type"] == "reconnected"]
    assert (back["cause"], back["gap"] < BROWSER_GIVES_UP) == ("go_away", True)
    assert "lastSeen=1.1" in visits[1].path


async def test_a_token_is_asked_for_and_a_failure_costs_an_attempt(page: Page, files: str) -> None:
    """No token to begin with: the callback is asked, and asked again when it has failed."""
    async with relay(listen()) as (url, visits):
        assert await opened(page, files, url, token=None, renew=True) == "live"
        events = await told(page, "session:started")
    assert "no backend" in events[0]["reason"]
    assert json.loads(visits[0].came[0])["sessionToken"] == "renewed"


@pytest.mark.parametrize("event", ["online", "offline", "visibilitychange", "pageshow"])
async def test_the_page_s_own_signs_make_it_ask(page: Page, files: str, event: str) -> None:
    """The network has changed, or the page was asleep: the relay is asked at once whether it is there."""
    asked = asyncio.Event()

    async def wait(visit: Visit) -> None:
        await visit.greet()
        while visit.came[-1] != '{"type":"ping"}':
            await visit.hear(1)
        asked.set()

    async with relay(wait) as (url, _):
        await opened(page, files, url, policy={"pingAfter": 1000})
        target = "document" if event == "visibilitychange" else "window"
        await page.evaluate(f"{target}.dispatchEvent(new Event('{event}'))")
        async with asyncio.timeout(PATIENCE):
            await asked.wait()


async def test_leaving_is_final_and_ends_nothing(page: Page, files: str) -> None:
    """`close` closes the socket and comes back no more, whatever happens then."""
    async with relay(listen(), listen()) as (url, visits):
        await opened(page, files, url)
        await page.evaluate("talk.close()")
        events = await told(page, "over")
        await page.evaluate("window.dispatchEvent(new Event('online'))")
        async with asyncio.timeout(PATIENCE):
            await visits[0].socket.wait_closed()
    assert (events[-1]["reason"], events[-1]["ended"], len(visits)) == ("left", False, 1)
    assert visits[0].socket.close_code == 3001
    assert not any('"end"' in str(frame) for frame in visits[0].came)


async def test_what_cannot_be_sent_is_refused(page: Page, files: str) -> None:
    """A mistake of the caller is an error at the caller; so are missing credentials."""
    async with relay(listen()) as (url, _):
        await opened(page, files, url)
        names = await page.evaluate(
            """async (url) => {
              const failing = [
                () => talk.sendAudio(new Uint8Array(3)),
                () => talk.sendAudio(new Uint8Array(65 * 1024 + 1)),
                () => talk.sendText(" "),
                () => talk.constructor.open(url, null),
              ];
              const name = async (act) => { try { await act(); } catch (error) { return error.name; } };
              return [await Promise.all(failing.map(name)), talk.uncovered];
            }""",
            url,
        )
    assert names == [["RangeError", "RangeError", "RangeError", "TypeError"], 0]

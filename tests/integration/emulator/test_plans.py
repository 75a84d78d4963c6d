"""Every fault that the documentation offers, played to google-genai as it is written there."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from google import genai
from google.genai import errors, types

from services.emulator import faults
from tests.support.emulator import RunningEmulator, running_emulator
from tests.support.genai import MODEL, Talk, client, config, has_handle, turn_complete

PAGE: Final = (Path(__file__).parents[3] / "docs" / "emulator.md").read_text(encoding="utf-8")
PLANS: Final[dict[str, str]] = dict(re.findall(r"^\| ([^|]+) \| `(\{\"do\".*?\})` \|$", PAGE, re.MULTILINE))
NEVER: Final = 0.5
"""Seconds after which something that should not come has not come."""


@asynccontextmanager
async def connected(emulator: RunningEmulator, handle: str | None = None, **options: Any) -> AsyncIterator[Talk]:  # noqa: ANN401 - any field of the configuration
    """A session of the SDK, perhaps a resumed one."""
    wanted = config(session_resumption=types.SessionResumptionConfig(handle=handle), **options)
    async with client(emulator).aio.live.connect(model=MODEL, config=wanted) as session:
        yield Talk(session)


async def ended(emulator: RunningEmulator) -> str:
    """A conversation that went well; its newest handle."""
    async with connected(emulator) as talk:
        await talk.ask("My dog is Rex.")
    return talk.handle


async def refusal(emulator: RunningEmulator, handle: str | None = None) -> errors.APIError:
    """What the SDK raises when it connects."""
    with pytest.raises(errors.APIError) as caught:
        async with connected(emulator, handle):
            pytest.fail("the session must not begin")
    return caught.value


async def a_sentence_is_cut(emulator: RunningEmulator) -> None:
    """Some audio came before the close."""
    async with connected(emulator) as talk:
        await talk.say("Tell me a long story.")
        assert (await talk.closed()).code == 1011
    assert any(message.data for message in talk.received)


async def the_network_dies(emulator: RunningEmulator) -> None:
    """No close frame, while the user speaks."""
    async with connected(emulator) as talk:
        await talk.say("Hello.", silence=0)
        assert (await talk.closed()).code == 1006


async def it_hangs(emulator: RunningEmulator) -> None:
    """Nothing more comes, and the socket stays open."""
    async with connected(emulator) as talk:
        await talk.say("Hello.")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(talk.until(turn_complete), NEVER)


async def pongs_are_slow(emulator: RunningEmulator) -> None:
    """A client that pings, and is impatient, gives up a healthy session: the SDK tells its own end as 1006."""
    impatient = {"ssl": emulator.ssl_context, "ping_interval": 0.05, "ping_timeout": 0.2}
    options = types.HttpOptions(base_url=emulator.url, async_client_args=impatient)
    google = genai.Client(api_key="any", http_options=options)
    async with google.aio.live.connect(model=MODEL, config=config()) as session:
        assert (await Talk(session).closed()).code == 1006


async def three_resumes_are_refused(emulator: RunningEmulator) -> None:
    """And the fourth is not."""
    handle = await ended(emulator)
    assert [(await refusal(emulator, handle)).code for _ in range(3)] == [1011] * 3
    async with connected(emulator, handle) as talk:
        assert await talk.ask("What is my dog?") == "You told me your dog is Rex."


async def audio_is_lost(emulator: RunningEmulator) -> None:
    """What was typed is known, what was said is not."""
    async with connected(emulator) as talk:
        await talk.session.send_realtime_input(text="My cat is Tom.")
        await talk.until(turn_complete)
        await talk.ask("My dog is Rex.")
    async with connected(emulator, talk.handle) as later:
        said = await later.ask("What is my cat? What is my dog?")
    assert said.endswith("You told me your cat is Tom. I am sorry, I do not think you told me your dog.")


async def all_is_lost(emulator: RunningEmulator) -> None:
    """It greets as if it had never met the user."""
    handle = await ended(emulator)
    async with connected(emulator, handle) as talk:
        assert (await talk.ask("What is my dog?")).startswith("Hello, this is Filo")


async def no_goaway_comes(emulator: RunningEmulator) -> None:
    """The end is sudden, and still the documented one."""
    async with connected(emulator) as talk:
        assert (await talk.closed()).code == 1008
    assert not any(message.go_away for message in talk.received)


async def goaway_tells(emulator: RunningEmulator, time_left: str | None) -> None:
    """The end is announced in mid-conversation, and comes."""
    async with connected(emulator) as talk:
        await talk.say("Hello.")
        warning = await talk.until(lambda message: message.go_away)
        assert (await talk.closed()).code == 1008
    assert warning.go_away
    assert warning.go_away.time_left == time_left


async def goaway_is_late(emulator: RunningEmulator) -> None:
    """Half a second is left."""
    await goaway_tells(emulator, "0.500s")


async def goaway_tells_nothing(emulator: RunningEmulator) -> None:
    """How much is left, it does not say."""
    await goaway_tells(emulator, None)


async def a_tool_call_is_cut(emulator: RunningEmulator) -> None:
    """The call came, and then the end; the resumed model calls again."""
    tools = [types.Tool(function_declarations=[types.FunctionDeclaration(name="get_price")])]
    handle = await ended(emulator)
    for closed in (True, False):
        async with connected(emulator, handle, tools=tools) as talk:
            await talk.session.send_realtime_input(text="Use the tool get_price.")
            assert (await talk.until(lambda message: message.tool_call)).tool_call
            if closed:
                assert (await talk.closed()).code == 1006


async def it_is_poisoned(emulator: RunningEmulator) -> None:
    """The resume is accepted, and then the session ends with 1007; a fresh one goes on."""
    handle = await ended(emulator)
    async with connected(emulator, handle) as talk:
        error = await talk.closed()
    assert error.code == 1007
    assert "Precondition check failed" in str(error)
    await ended(emulator)


async def the_quota_is_used_up(emulator: RunningEmulator) -> None:
    """The setup is refused, once."""
    assert "Resource has been exhausted" in str(await refusal(emulator))
    await ended(emulator)


async def handles_never_come(emulator: RunningEmulator) -> None:
    """Turns are told complete, and nothing can be resumed."""
    async with connected(emulator) as talk:
        await talk.say("Hello.")
        await talk.until(turn_complete)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(talk.until(has_handle), NEVER)


async def every_other_connection_is_cut(emulator: RunningEmulator) -> None:
    """That of voice 7, after some of its turns; another voice is left alone."""
    codes = []
    for _ in range(12):
        async with connected(emulator) as talk:
            await talk.say("Hello.")
            await talk.until(turn_complete)
            try:
                await talk.until(has_handle)
            except errors.APIError as error:
                codes.append(error.code)
    assert 0 < len(codes) < 12
    assert set(codes) == {1006}
    async with connected(emulator) as talk:
        other = Talk(talk.session, stream=8)
        await other.ask("Hello.")


PLAYS: Final[dict[str, Callable[[RunningEmulator], Awaitable[None]]]] = {
    "a close in the middle of a sentence": a_sentence_is_cut,
    "a network that dies while the user speaks": the_network_dies,
    "a server that hangs": it_hangs,
    "pongs slower than the SDK's patience": pongs_are_slow,
    "the next three resumes refused": three_resumes_are_refused,
    "a resume that has lost the audio": audio_is_lost,
    "a resume that has lost everything": all_is_lost,
    "an end without goAway": no_goaway_comes,
    "a goAway with half a second left": goaway_is_late,
    "a goAway that does not say how long": goaway_tells_nothing,
    "a kill during a tool call": a_tool_call_is_cut,
    "a poisoned context": it_is_poisoned,
    "no quota left": the_quota_is_used_up,
    "handles that never come": handles_never_come,
    "one conversation that loses every other connection": every_other_connection_is_cut,
}
SLOWLY: Final = {"a close in the middle of a sentence": {"speed": 2.0}, "an end without goAway": {"lifetime": 1.0}}
"""What some of them need to be seen."""


def test_every_documented_plan_is_played() -> None:
    """The table of the page and the table of plays have the same rows."""
    assert PLANS.keys() == PLAYS.keys()


@pytest.mark.parametrize("name", PLAYS)
async def test_a_documented_plan(name: str) -> None:
    """The plan, as it stands on the page, does what the page says."""
    async with running_emulator(**SLOWLY.get(name, {})) as emulator:
        emulator.faults.add(faults.read(PLANS[name]))
        await PLAYS[name](emulator)
        assert json.loads(PLANS[name])["do"] == emulator.faults.report()[0]["do"]
        assert emulator.faults.report()[0]["struck"]

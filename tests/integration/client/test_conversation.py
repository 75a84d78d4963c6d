"""The library before a real relay, store and emulator: whatever is cut, nothing is lost and nothing said twice."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest
from google.protobuf.json_format import ParseDict

from filo.client import (
    Audio,
    Conversation,
    ConversationError,
    Disconnected,
    Event,
    Over,
    Policy,
    Reconnected,
    messages,
)
from filo.client.audio import Playback
from filo.handles.v1.resources_pb2 import AgentConfig
from filo.relay.v1 import relay_pb2 as pb
from tests.faults import judge
from tests.support.client import Speaker
from tests.support.front import Front, front
from tests.support.relay import AGENT, SHARE_TOKEN, RunningRelay, another_relay, running_relay

QUICK = Policy(attempts=20, shortest_wait=0.01, first_wait=0.02, longest_wait=0.2)
PATIENCE = 10.0
LINES = ("My company is Brightwater.", "My deadline is the third of March.", "What is my company?")


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[RunningRelay]:
    """A relay in front of an emulator whose connections live for long."""
    async with running_relay(tmp_path) as running:
        yield running


@pytest.fixture
async def proxy(relay: RunningRelay) -> AsyncIterator[Front]:
    """What stands between."""
    async with front(relay.where.client_address) as running:
        yield running


def open_through(
    proxy: Front, session: pb.CreateSessionResponse, policy: Policy = QUICK, rotation: str = "relay"
) -> Conversation:
    """A conversation through the front."""
    url = f"ws://{proxy.address}{session.websocket_path}"
    token = session.session_token
    return Conversation.open(url, token, share_token=SHARE_TOKEN, test=True, policy=policy, rotation=rotation)


class Listening:
    """Takes a conversation's events while something is said."""

    def __init__(self, talk: Conversation) -> None:
        self.talk = talk
        self.events: list[Event] = []

    async def until(self, reached: Callable[[Event], bool]) -> Event:
        """The next event that is what is waited for."""
        async with asyncio.timeout(PATIENCE):
            async for event in self.talk:
                self.events.append(event)
                if reached(event):
                    return event
        raise AssertionError("it is over")

    async def turn(self, number: int) -> None:
        """Wait for the end of a turn."""
        await self.until(lambda e: isinstance(e, messages.TurnComplete | messages.TurnMissed) and e.turn == number)


async def speak(talk: Conversation, frames: list[bytes]) -> None:
    """Say something, faster than real time but not all at once."""
    for frame in frames:
        await talk.send_audio(frame)
        await asyncio.sleep(0.0005)


async def whole(relay: RunningRelay, speaker: Speaker, heard: Listening, turns: int) -> None:
    """What was said is in Gemini's context once, each answer was heard once, and the dialogue shows just that."""
    control = f"{relay.emulator.control_url}/v1/voices/{speaker.stream}"
    async with aiohttp.ClientSession() as http, http.get(control) as response:
        account = await response.json()
    problems = [
        *judge.context(account, speaker),
        *judge.turns(heard.events, turns),
        *judge.answers(heard.events),
        *judge.inputs(heard.events),
    ]
    assert problems == []
    assert judge.greetings(heard.events) == 1
    shown = heard.talk.dialogue.turns
    assert [turn.said for turn in shown] == speaker.lines
    answers = [turn["text"].strip() for turn in account["context"] if turn["role"] == "model"]
    assert [turn.agent.strip() for turn in shown] == answers


async def test_a_conversation_from_hello_to_the_end(relay: RunningRelay, proxy: Front) -> None:
    """Voice up and down, typed turns, what is covered; `end` is final and tells why."""
    session = await relay.create()
    speaker = Speaker(11)
    playback = Playback()
    async with open_through(proxy, session) as talk:
        heard = Listening(talk)
        await speak(talk, speaker.say(LINES[0]))
        await heard.turn(1)
        await heard.until(lambda event: isinstance(event, messages.Covered))
        assert talk.uncovered < 60
        await talk.send_text("What is my company?")
        await heard.turn(2)
        await talk.end("that was all")
        over = await heard.until(lambda event: isinstance(event, Over))
    assert over == Over(ended=True, code=1000, reason="that was all", attempts=0)
    for event in heard.events:
        playback.take(event)
    assert playback.seconds > 1.0
    assert [turn.said for turn in talk.dialogue.turns] == [LINES[0], "What is my company?"]
    assert "Brightwater" in talk.dialogue.turns[1].agent
    with pytest.raises(ConversationError):
        await talk.send_text("Hello?")


@pytest.mark.parametrize("where", ["in_speech", "in_answer", "between"])
async def test_a_network_that_is_cut(relay: RunningRelay, proxy: Front, where: str) -> None:
    """Wherever it is cut: it comes back, and everything is there once."""
    session = await relay.create()
    speaker = Speaker(12)
    async with open_through(proxy, session) as talk:
        heard = Listening(talk)
        for number, line in enumerate(LINES, start=1):
            frames = speaker.say(line)
            if where == "in_speech":
                await speak(talk, frames[:12])
                proxy.cut()
                frames = frames[12:]
            await speak(talk, frames)
            if where == "in_answer":
                await heard.until(lambda event: isinstance(event, Audio))
                proxy.cut()
            await heard.turn(number)
            if where == "between":
                proxy.cut()
                await heard.until(lambda event: isinstance(event, Reconnected))
    await whole(relay, speaker, heard, 3)
    assert proxy.connections > 1


async def test_a_network_that_says_nothing_any_more(relay: RunningRelay, proxy: Front) -> None:
    """No close, no reset, nothing: the ping finds out, and the speech goes on where the relay stands."""
    session = await relay.create()
    speaker = Speaker(13)
    policy = Policy(
        attempts=50, shortest_wait=0.01, first_wait=0.02, longest_wait=0.1, ping_after=0.2, ping_timeout=0.3,
        close_timeout=0.1, open_timeout=0.3,
    )  # fmt: skip
    async with open_through(proxy, session, policy) as talk:
        heard = Listening(talk)
        await speak(talk, speaker.say(LINES[0]))
        await heard.turn(1)
        frames = speaker.say(LINES[2])
        await speak(talk, frames[:10])
        proxy.freeze()
        await speak(talk, frames[10:])
        await heard.until(lambda event: isinstance(event, Disconnected))
        proxy.thaw()
        back = await heard.until(lambda event: isinstance(event, Reconnected))
        await heard.turn(2)
    assert isinstance(back, Reconnected)
    assert back.cause == "silent"
    await whole(relay, speaker, heard, 2)


@pytest.mark.parametrize("in_answer", [False, True])
async def test_a_relay_that_is_gone(relay: RunningRelay, proxy: Front, in_answer: bool) -> None:  # noqa: FBT001 - a case
    """Another relay takes the conversation over; what the first one had not stored comes from the client."""
    session = await relay.create()
    speaker = Speaker(14)
    async with another_relay(relay) as second, open_through(proxy, session) as talk:
        heard = Listening(talk)
        await speak(talk, speaker.say(LINES[0]))
        await heard.turn(1)
        frames = speaker.say(LINES[2])
        await speak(talk, frames if in_answer else frames[:15])
        if in_answer:
            await heard.until(lambda event: isinstance(event, Audio))
        proxy.target = second.where.client_address
        proxy.cut()
        await speak(talk, [] if in_answer else frames[15:])
        await heard.turn(2)
        assert "Brightwater" in talk.dialogue.turns[1].agent
        if not any(isinstance(event, messages.SessionResumed) for event in heard.events):  # all was said before the cut
            await heard.until(lambda event: isinstance(event, messages.SessionResumed))
    await whole(relay, speaker, heard, 2)
    assert [event.epoch for event in heard.events if isinstance(event, messages.SessionResumed)] == [2]


async def test_rotation_by_the_client(tmp_path: Path) -> None:
    """GoAway is answered by coming back, any number of times, and nothing is lost at it."""
    async with (
        running_relay(tmp_path, emulator={"lifetime": 1.2}) as relay,
        front(relay.where.client_address) as proxy,
    ):
        session = await relay.create()
        speaker = Speaker(15)
        async with open_through(proxy, session, rotation="client") as talk:
            heard = Listening(talk)
            for number in range(1, 7):
                await speak(talk, speaker.say(f"My number {number} is {number * 7}."))
                await heard.turn(number)
        await whole(relay, speaker, heard, 6)
    assert {event.cause for event in heard.events if isinstance(event, Reconnected)} >= {"go_away"}


async def test_a_token_is_asked_for_when_there_is_none_that_is_good(relay: RunningRelay, proxy: Front) -> None:
    """The callback is asked once for each refusal, and what it gives opens the socket."""
    session = await relay.create()
    asked: list[int] = []

    async def renew() -> str:
        asked.append(len(asked))
        return session.session_token

    url = f"ws://{proxy.address}{session.websocket_path}"
    for token in (None, "forged"):
        async with Conversation.open(url, token, renew=renew, share_token=SHARE_TOKEN, policy=QUICK) as talk:
            await talk.send_text("Hello.")
            await Listening(talk).until(lambda event: isinstance(event, messages.TurnComplete))
    assert asked == [0, 1]


async def test_a_refusal_is_told_at_the_door(relay: RunningRelay, proxy: Front) -> None:
    """A wrong share token is no reason to try again: the context cannot be entered, and the error says why."""
    session = await relay.create()
    url = f"ws://{proxy.address}{session.websocket_path}"
    with pytest.raises(ConversationError, match="4403") as refused:
        async with Conversation.open(url, session.session_token, share_token="somebody else's"):
            raise AssertionError("it was let in")
    assert (refused.value.over.code, proxy.connections) == (4403, 1)


async def test_leaving_does_not_end_a_conversation(relay: RunningRelay, proxy: Front) -> None:
    """Another client goes on with it, at the next turn, with numbers of its own."""
    session = await relay.create()
    async with open_through(proxy, session) as talk:
        await talk.send_text("My company is Brightwater.")
        await Listening(talk).until(lambda event: isinstance(event, messages.Covered))
    async with open_through(proxy, session) as talk:
        await talk.send_text("What is my company?")
        await Listening(talk).until(lambda event: isinstance(event, messages.TurnComplete))
        (turn,) = talk.dialogue.turns
        assert (turn.number, "Brightwater" in turn.agent) == (2, True)


async def test_another_process_goes_on_where_one_died(relay: RunningRelay, proxy: Front) -> None:
    """Given where the first one stood, the second is told what came after, from the very next message on."""
    session = await relay.create()
    url = f"ws://{proxy.address}{session.websocket_path}"
    async with open_through(proxy, session) as talk:
        await talk.send_text("My company is Brightwater.")
        await Listening(talk).until(lambda event: isinstance(event, messages.Transcript))
        standing = talk.standing
    token = session.session_token
    async with Conversation.open(url, token, share_token=SHARE_TOKEN, policy=QUICK, standing=standing) as talk:
        heard = Listening(talk)
        await heard.turn(1)
    greeting, *rest = heard.events
    assert isinstance(greeting, messages.SessionResumed)
    _, last = standing[0]
    for event in rest:
        last += 1
        assert isinstance(event, Audio) or (isinstance(event, messages.Message) and event.n == last)


async def test_a_tool_is_called_and_answered(relay: RunningRelay, proxy: Front) -> None:
    """The call is an object with name and arguments; its answer is an input like any other."""
    agent = AgentConfig()
    agent.CopyFrom(AGENT)
    ParseDict({"functionDeclarations": [{"name": "lookup", "description": "Looks a price up."}]}, agent.tools.add())
    session = await relay.create(agent=agent)
    async with open_through(proxy, session) as talk:
        heard = Listening(talk)
        await talk.send_text("Use the tool lookup with sku is A7.")
        asked = await heard.until(lambda event: isinstance(event, messages.ToolCall))
        assert isinstance(asked, messages.ToolCall)
        (call,) = asked.calls
        assert (call.name, dict(call.args)) == ("lookup", {"sku": "A7"})
        await talk.send_tool_result(call, {"price": "17 euros"})
        await heard.turn(1)
        assert "17 euros" in talk.dialogue.turns[0].agent

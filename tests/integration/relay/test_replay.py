"""What a new connection is sent again, and how fast: from the upstream's own side."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from services.common import voice
from services.relay.live import LiveConversation
from services.relay.upstream.inputs import SILENCE_KEPT
from tests.support.client import Client, Speaker
from tests.support.gemini import Gemini, Session, plain_gemini
from tests.support.relay import RunningRelay, running_relay

SILENCE = voice.silence(1, 16_000)
AHEAD = 400
"""Frames of a kilobyte each that may be under way to an upstream that does not read."""


@pytest.fixture
async def gemini() -> AsyncIterator[Gemini]:
    """An upstream that remembers every byte."""
    async with plain_gemini() as listening:
        yield listening


@pytest.fixture
async def relay(tmp_path: Path, gemini: Gemini) -> AsyncIterator[RunningRelay]:
    """A relay in front of it."""
    async with running_relay(tmp_path, upstream_url=gemini.url, upstream_ca=None) as running:
        yield running


def spoken(speaker: Speaker, frames: int) -> list[bytes]:
    """So many frames of speech, no two alike."""
    found: list[bytes] = []
    while len(found) < frames:
        found += [frame for frame in speaker.say("A word of it, and another one.") if any(frame)]
    return found[:frames]


@asynccontextmanager
async def begun(relay: RunningRelay, gemini: Gemini) -> AsyncIterator[tuple[Client, Session, LiveConversation]]:
    """A client in a conversation that has begun; its first connection; and the conversation as the relay holds it."""
    session = await relay.create()
    async with Client(relay.socket(session)) as client:
        await client.wait("session:started")
        live = relay.where.registry.find(session.conversation)
        assert live is not None
        yield client, gemini.sessions[0], live


async def says(client: Client, gemini: Gemini, frames: list[bytes]) -> None:
    """The client says this, and all of it comes to the first connection."""
    (first,) = gemini.sessions
    count = len(first.inputs) + len(frames)
    await client.speak(frames)
    await gemini.until(lambda: len(first.inputs) == count)


async def one_turn(client: Client, gemini: Gemini, speaker: Speaker) -> None:
    """Two seconds of a loud voice, answered."""
    await says(client, gemini, spoken(speaker, 100))
    await gemini.sessions[0].turn("A word of it, and another one.")
    await client.wait("turn:complete", turn=1)


async def test_after_a_long_silence_little_is_sent_again(relay: RunningRelay, gemini: Gemini) -> None:
    """Half a minute of silence, then a rotation: the next connection hears the last two seconds, and what comes."""
    speaker = Speaker(71)
    async with begun(relay, gemini) as (client, first, _):
        await says(client, gemini, [SILENCE] * 1500)
        await first.go_away()
        await client.wait("session:rotated", continuity="handle")
        said = spoken(speaker, 50)
        await client.speak(said)
        second = gemini.sessions[1]
        kept = round(SILENCE_KEPT / voice.FRAME_SECONDS)
        await gemini.until(lambda: len(second.inputs) >= kept + 50)
        assert second.audio == [SILENCE] * kept + said
        await second.turn("A word of it, and another one.")
        covered = await client.wait("covered", turn=1)
        assert covered["seq"] == 1550, "what was passed over counts as heard"


async def test_a_voice_after_silence_that_is_kept_no_longer(relay: RunningRelay, gemini: Gemini) -> None:
    """Half a minute of it after a turn, half a sentence, a cut: the silence is let go of, and no frame of the voice."""
    speaker = Speaker(74)
    async with begun(relay, gemini) as (client, first, live):
        await one_turn(client, gemini, speaker)
        await says(client, gemini, [SILENCE] * 1500)
        assert live.inputs.weight < 15 * 50 * 704, "of thirty seconds half at the most are kept"
        said = spoken(speaker, 50)
        await says(client, gemini, said[:30])
        first.socket.transport.abort()
        await client.speak(said[30:])
        await client.wait("session:rotated")
        second = gemini.sessions[1]
        kept = round(SILENCE_KEPT / voice.FRAME_SECONDS)
        await gemini.until(lambda: len(second.inputs) >= kept + 50)
        assert second.audio == [SILENCE] * kept + said
    assert relay.metric("filo_relay_replay_dropped_total") == 0


@pytest.mark.parametrize("how", ["told at once", "told at its end", "answered"])
async def test_a_voice_softer_than_this_ear_after_a_loud_one(relay: RunningRelay, gemini: Gemini, how: str) -> None:
    """Ten seconds of it, which Gemini has heard; a cut before it is answered, or in the middle of the answer."""
    soft = [struct.pack("<320h", *[(7 * at + number) % 200 for at in range(320)]) for number in range(500)]
    async with begun(relay, gemini) as (client, first, _):
        await one_turn(client, gemini, Speaker(75))
        early = 500 if how == "told at its end" else 100
        await says(client, gemini, soft[:early])
        await first.say(serverContent={"inputTranscription": {"text": "a whispered question"}})
        await client.wait("transcript", role="user", turn=2)
        await says(client, gemini, soft[early:])
        if how == "answered":
            await first.say(serverContent={"outputTranscription": {"text": "Well,"}})
            await client.wait("transcript", role="agent", turn=2)
        await says(client, gemini, [SILENCE] * 150)
        first.socket.transport.abort()
        await client.wait("session:rotated")
        second = gemini.sessions[1]
        await gemini.until(lambda: len(second.inputs) == 650)
        assert second.audio == [*soft, *[SILENCE] * 150]


async def test_a_replay_is_no_faster_than_the_upstream(relay: RunningRelay, gemini: Gemini) -> None:
    """Half a minute of speech for a connection that reads slowly: what it has not taken waits here, with the rest."""
    speaker = Speaker(72)
    async with begun(relay, gemini) as (client, first, live):
        said = spoken(speaker, 1500)
        await says(client, gemini, said)
        gemini.pause = 0.001
        await first.go_away("0s")
        await client.wait("session:rotated")
        (_, second) = gemini.sessions
        behind = spoken(speaker, 200)
        speaking = asyncio.create_task(client.speak(behind))
        ahead = 0
        while len(second.inputs) < 1700:
            await gemini.news()
            ahead = max(ahead, live.inputs.sent.position - len(second.inputs))
        await speaking
        assert ahead < AHEAD, "the relay ran ahead of the upstream"
        assert second.audio == said + behind
    assert relay.metric("filo_relay_replay_dropped_total") == 0


async def test_an_upstream_that_takes_nothing_is_not_flooded(relay: RunningRelay, gemini: Gemini) -> None:
    """It stands still: input waits here, then in the client too, and all of it goes to the connection in its place."""
    speaker = Speaker(73)
    async with begun(relay, gemini) as (client, first, live):
        first.pause = 3600.0
        said = spoken(speaker, 1500)
        speaking = asyncio.create_task(client.speak(said))
        async with asyncio.timeout(20):
            while not live.inputs.pressed:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)  # what must not happen has no event: a flood would come in this time
        assert live.inputs.sent.position < AHEAD, "it was flooded"
        assert live.inputs.newest.position < 1500, "the client did not have to wait"
        assert not speaking.done()
        first.socket.transport.abort()
        await client.wait("session:rotated")
        second = gemini.sessions[1]
        await gemini.until(lambda: len(second.inputs) == 1500)
        await speaking
        assert second.audio == said


@pytest.mark.parametrize(
    ("rest", "interrupted"),
    [(10, False), (10, True), (0, False)],
    ids=["one answer to both", "an answer to the first", "a short answer in the middle of the second"],
)
async def test_two_utterances_that_are_heard_at_once(
    relay: RunningRelay,
    gemini: Gemini,
    rest: int,
    interrupted: bool,  # noqa: FBT001 - a case
) -> None:
    """What Gemini's answer was to is sent to nobody again, and what it was not to is sent to the next connection."""
    session = await relay.create()
    speaker = Speaker(73)
    first, second = spoken(speaker, 20), [*spoken(speaker, 30), *[SILENCE] * rest]
    said = 80 + len(second)
    together = bool(rest) and not interrupted
    async with Client(relay.socket(session)) as client:
        await client.wait("session:started")
        await client.speak([*first, *[SILENCE] * 60])
        await gemini.until(lambda: len(gemini.sessions[0].inputs) == 80)
        await gemini.sessions[0].say(serverContent={"inputTranscription": {"text": "One."}})
        await client.wait("transcript", role="user")
        await client.speak(second)
        await gemini.until(lambda: len(gemini.sessions[0].inputs) == said)
        await gemini.sessions[0].socket.close()
        await client.wait("session:rotated")
        hearing = gemini.sessions[1]
        await gemini.until(lambda: len(hearing.inputs) == said)
        await hearing.say(serverContent={"inputTranscription": {"text": "One. Two."}})
        await hearing.say(serverContent={"outputTranscription": {"text": "I see."}})
        await hearing.say(serverContent={"interrupted" if interrupted else "generationComplete": True})
        await hearing.say(serverContent={"turnComplete": True})
        await hearing.handle()
        covered = await client.wait("covered", turn=1)
        assert covered["seq"] == (said if together else 80)
        await hearing.socket.close()
        await client.wait("session:rotated")
        last = spoken(speaker, 1)
        await client.speak(last)
        await gemini.until(lambda: len(gemini.sessions) > 2 and gemini.sessions[2].audio[-1:] == last)
        assert gemini.sessions[2].audio == [*([] if together else second), *last]

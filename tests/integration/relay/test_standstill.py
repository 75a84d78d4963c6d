"""A peer whose socket takes nothing more: what is waiting for it may not hold up who comes in its place."""

import asyncio
import base64
import socket
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from services.common import voice
from services.common.clock import SystemClock
from services.relay.transport import named
from services.relay.upstream.backend import developer
from services.relay.upstream.breaker import Breaker, BreakerPolicy
from services.relay.upstream.connection import Dialler, UpstreamLostError
from services.relay.upstream.gate import Gate
from tests.support.client import Client, Speaker
from tests.support.gemini import Gemini, plain_gemini
from tests.support.relay import LIBRARY, RunningRelay, running_relay

LOST = "filo_relay_outbox_dropped_total"
MEBIBYTE = 1024 * 1024
BOUND = 4.0
"""Seconds: what the close may take, and room for a slow machine."""


@pytest.fixture
async def gemini() -> AsyncIterator[Gemini]:
    """An upstream that reads when the test wants it to."""
    async with plain_gemini() as listening:
        yield listening


@pytest.fixture
async def relay(tmp_path: Path, gemini: Gemini) -> AsyncIterator[RunningRelay]:
    """A relay in front of it."""
    async with running_relay(tmp_path, upstream_url=gemini.url, upstream_ca=None, close_timeout=0.5) as running:
        yield running


async def test_an_upstream_that_takes_nothing_is_closed_in_time(relay: RunningRelay, gemini: Gemini) -> None:
    """Not even the close frame goes out: after the bound it is dropped, and nothing of the input is lost."""
    session = await relay.create()
    async with Client(relay.socket(session)) as client:
        await client.wait("session:started")
        (first,) = gemini.sessions
        first.pause = 3600.0
        frames = [frame for frame in Speaker(75).say("A word of it, and another one.") * 20 if any(frame)][:1000]
        speaking = asyncio.create_task(client.speak(frames))
        live = relay.where.registry.find(session.conversation)
        assert live is not None
        async with asyncio.timeout(20):
            while not live.inputs.pressed:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.01)
        await first.go_away("0s")
        began = time.monotonic()
        await client.wait("session:rotated", reason="go_away")
        assert time.monotonic() - began < BOUND
        second = gemini.sessions[1]
        await speaking
        await gemini.until(lambda: len(second.inputs) == len(frames))
        assert second.audio == frames


async def test_a_client_that_takes_nothing_does_not_keep_the_next_one_waiting(
    relay: RunningRelay, gemini: Gemini
) -> None:
    """Its network is gone, and it comes back by another: the old socket cannot be told, and is dropped."""
    session = await relay.create()
    opening = relay.socket(session)
    async with opening as dead:
        dead.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        await dead.recv()
        dead.transport.pause_reading()
        (upstream,) = gemini.sessions
        loud = voice.silence(1, 24_000) * 100
        live = relay.where.registry.find(session.conversation)
        assert live is not None
        for _ in range(200):
            live.outbox.play(loud)
            await asyncio.sleep(0.01)
        async with Client(relay.socket(session, lastSeen=f"{live.epoch}.1")) as client:
            await client.wait("session:resumed")
            began = time.monotonic()
            await client.speak([voice.silence(1, 16_000)])
            await gemini.until(lambda: len(upstream.inputs) == 1, patience=15)
            assert time.monotonic() - began < BOUND
        dead.transport.abort()


async def test_what_a_client_that_does_not_read_loses(tmp_path: Path, gemini: Gemini) -> None:
    """It is counted; audio goes, and the tool call from the middle of it does not; the client is told how much went."""
    pcm = {"mimeType": "audio/pcm;rate=24000", "data": base64.b64encode(bytes(32 * 1024)).decode()}
    audio = {"modelTurn": {"parts": [{"inlineData": pcm}]}}
    async with (
        running_relay(tmp_path, upstream_url=gemini.url, upstream_ca=None, outbox_bytes=MEBIBYTE) as relay,
        Client(relay.socket(await relay.create())) as client,
    ):
        await client.wait("session:started")
        (first,) = gemini.sessions
        assert relay.metric(LOST) == 0
        client.socket.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 128 * 1024)
        client.socket.transport.pause_reading()

        async def say_until(holds: Callable[[], bool]) -> None:
            async with asyncio.timeout(30):
                while not holds():
                    await first.say(serverContent=audio)
                    await asyncio.sleep(0.001)  # the relay reads it, in this process

        await say_until(lambda: relay.where.registry.outbox_bytes() > 0.8 * MEBIBYTE)
        assert relay.metric(LOST) == 0
        await first.say(toolCall={"functionCalls": [{"id": "call-1", "name": "book", "args": {}}]})
        await say_until(lambda: relay.metric(LOST) > 2 * MEBIBYTE / (32 * 1024))
        assert relay.where.registry.outbox_bytes() <= MEBIBYTE
        client.socket.transport.resume_reading()
        await client.wait("tool_call")
        await first.say(serverContent={"turnComplete": True})
        await client.wait("turn:complete")
        told = sum(message["messages"] for message in client.all("skipped"))
        assert 0 < told <= relay.metric(LOST)


async def test_an_upstream_that_takes_no_history_is_none(gemini: Gemini) -> None:
    """It completes its setup and reads no more: the dial is given up in time, not waited for."""
    gemini.deaf = True
    backend = developer("any")
    dialler = Dialler(
        gemini.url,
        backend,
        None,
        connect_timeout=0.5,
        close_timeout=0.5,
        gate=Gate(Breaker(BreakerPolicy()), SystemClock()),
        transport=named(LIBRARY),
    )
    began = time.monotonic()
    with pytest.raises(UpstreamLostError):
        await dialler.dial(b'{"setup":{}}', content=b'{"clientContent":"' + b"a" * 1_000_000 + b'"}')
    assert len(gemini.sessions) == 1
    assert time.monotonic() - began < BOUND

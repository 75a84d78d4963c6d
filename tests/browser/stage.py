"""A relay as a process that can be killed, everything it needs, and the demonstration page before it."""

import asyncio
import base64
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from playwright.async_api import Page, expect

from filo.relay.v1 import relay_pb2_grpc
from services.cli.stack import free_ports
from services.common import grpc_client
from services.common.config import Address
from tests.faults import judge
from tests.support.client import Speaker
from tests.support.emulator import RunningEmulator, running_emulator
from tests.support.front import Front, front
from tests.support.handles import running_handles
from tools.browser_demo import Demo

PATIENCE = 40.0
"""Seconds after which something that should have come never will, on a machine that does much else."""
QUICK = (
    "firstWait=0.2&shortestWait=0.1&longestWait=0.5&attempts=100&"
    "pingAfter=5&pingTimeout=10&probeTimeout=2&closeTimeout=0.2"
)
"""The page's policy, in its address: it comes back soon, but does not take a busy machine for a dead relay."""
GREETING = "Hello, this is Ada from Northwind."
_SPEAK = """
async (frames) => {
  for (const [at, frame] of frames.entries()) {
    talk.sendAudio(Uint8Array.from(atob(frame), (letter) => letter.charCodeAt(0)));
    if (at % 10 === 9) await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
"""


class RelayProcess:
    """A relay in a process of its own, on ports that stay the same from one life to the next.

    Args:
        environ: What it is told.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Begin a life, and wait until it is ready."""
        own = {name: value for name, value in os.environ.items() if not name.startswith(("FILO_", "GEMINI_"))}
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "services.cli.main",
            "relay",
            env=own | dict(self._environ),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        assert self._process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            line = await self._process.stdout.readline()
        assert b"ready" in line

    async def kill(self) -> None:
        """End it as the kernel does: no word to anybody."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.communicate()


@dataclass
class Stage:
    """Where pages can talk.

    Args:
        url: Where the demonstration page is served.
        relay: The process.
        proxy: What stands between page and relay.
        emulator: Gemini's stand-in.
    """

    url: str
    relay: RelayProcess
    proxy: Front
    emulator: RunningEmulator

    async def account(self, stream: int) -> dict[str, Any]:
        """What the emulator has of a voice."""
        url = f"{self.emulator.control_url}/v1/voices/{stream}"
        async with aiohttp.ClientSession() as http, http.get(url) as response:
            assert response.status == 200
            found: dict[str, Any] = await response.json()
            return found


@dataclass
class Talker:
    """The page, as its user sees it."""

    page: Page
    stage: Stage

    async def open(self) -> None:
        """Load the page, and wait until it is connected."""
        await self.page.goto(f"{self.stage.url}/?{QUICK}")
        await self.live()

    async def live(self) -> None:
        """Wait until the page says so."""
        await self.sees("#state[data-phase=live]")

    async def sees(self, selector: str) -> None:
        """Wait until something is there."""
        await expect(self.page.locator(selector).first).to_be_visible(timeout=PATIENCE * 1000)

    async def write(self, text: str) -> None:
        """Type a message and send it."""
        await self.page.fill("#text", text)
        await self.page.press("#text", "Enter")

    async def speak(self, frames: list[bytes]) -> None:
        """Say something through the module's own `sendAudio`."""
        await self.page.evaluate(_SPEAK, [base64.b64encode(frame).decode() for frame in frames])

    async def turns(self, count: int) -> None:
        """Wait until so many turns are complete on the page."""
        await expect(self.page.locator("#thread .turn.complete")).to_have_count(count, timeout=PATIENCE * 1000)

    async def transcript(self) -> list[tuple[str, str]]:
        """What the page shows: for each turn, what the user said and what the agent answered."""
        read = "turns => turns.map(t => [t.querySelector('.user').innerText, t.querySelector('.agent').innerText])"
        return [tuple(turn) for turn in await self.page.locator("#thread .turn").evaluate_all(read)]

    async def whole(self, speaker: Speaker) -> None:
        """What was said is in Gemini's context once, as audio frame by frame, and the page shows just what that has."""
        account = await self.stage.account(speaker.stream)
        assert list(judge.context(account, speaker)) == []
        context = [(turn["role"], " ".join(turn["text"].split())) for turn in account["context"]]
        shown = [
            (role, " ".join(text.split()))
            for turn in await self.transcript()
            for role, text in zip(("user", "model"), turn, strict=True)
        ]
        assert shown == context
        assert [text for role, text in shown if role == "user"] == speaker.lines
        assert sum(GREETING in text for _, text in shown) == 1


@asynccontextmanager
async def stage(directory: Path) -> AsyncIterator[Stage]:
    """Emulator and handle store in this process, the relay in its own, a proxy and the page's server before it."""
    async with AsyncExitStack() as stack:
        gemini = await stack.enter_async_context(running_emulator())
        handles = await stack.enter_async_context(running_handles(directory))
        client, control, metrics = (Address("127.0.0.1", port) for port in free_ports(3))
        relay = RelayProcess(
            {
                "FILO_DATA_DIR": str(directory),
                "FILO_HANDLES_ADDRESS": str(handles.address),
                "FILO_RELAY_CLIENT_ADDRESS": str(client),
                "FILO_RELAY_CONTROL_ADDRESS": str(control),
                "FILO_RELAY_METRICS_ADDRESS": str(metrics),
                "FILO_RELAY_UPSTREAM_URL": gemini.url,
                "FILO_RELAY_UPSTREAM_CA": str(gemini.ca_path),
                "GEMINI_API_KEY": "emulator",
            }
        )
        await relay.start()
        stack.push_async_callback(relay.kill)
        proxy = await stack.enter_async_context(front(client))
        channel = await stack.enter_async_context(grpc_client.channel(control))
        demo = Demo(relay_pb2_grpc.RelayServiceStub(channel), f"ws://{proxy.address}")
        runner = web.AppRunner(demo.application())
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield Stage(f"http://127.0.0.1:{runner.addresses[0][1]}", relay, proxy, gemini)

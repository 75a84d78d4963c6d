"""Many conversations at once in one emulator process: no error, no frame lost, no growth of memory.

    .venv/bin/python -m tests.soak.emulator.soak --conversations 200 --seconds 60

Every conversation speaks, hears the answer out and speaks again, its microphone open all the time, in messages of
100 ms. It rotates between turns, resuming from its newest handle, whenever goAway comes. The emulator runs in a process
of its own; its memory and its processor time are read from /proc.
"""

import argparse
import asyncio
import base64
import json
import os
import ssl
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
from websockets.asyncio.client import ClientConnection, connect

from services.common import voice

PATH: Final = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent?key=soak"
MODEL: Final = "models/gemini-live-2.5-flash-native-audio"
CHUNK: Final = 5
"""Frames of 20 ms in one message."""
PAUSE: Final = 30
"""Frames of silence after an utterance, enough to end it."""
SAMPLES: Final = 12
"""How often memory is looked at."""
LEAD: Final = 0.6
"""Share of a connection's life that is left at goAway: enough to finish a turn on a slow machine."""
LEAST: Final = 3
"""How many turns a conversation has, however slow the machine is."""
STAY: Final = 1_000
"""After how many turns a conversation rotates even without goAway."""
PATIENCE: Final = 30.0
_RUN: Final = "import os, sys; from services.emulator.service import main; sys.exit(main(os.environ))"
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_TICKS: Final = os.sysconf("SC_CLK_TCK")


def _message(data: bytes) -> str:
    """A message of audio."""
    encoded = base64.b64encode(data).decode()
    return f'{{"realtimeInput":{{"audio":{{"data":"{encoded}","mimeType":"audio/pcm;rate=16000"}}}}}}'


SILENCE: Final = voice.silence(CHUNK)
QUIET: Final = _message(SILENCE)


@dataclass
class Result:
    """What a soak has shown.

    Attributes:
        conversations: How many ran at once.
        seconds: How long.
        turns: Answers that were heard out.
        resumes: Connections that went on from a handle.
        sent: Messages to the emulator.
        received: Messages from it.
        lost: Frames that the contexts miss or hold twice.
        greetings: How often somebody was greeted; once each is right.
        memory: The emulator's, in bytes: before the first conversation, then in regular intervals.
        processor: Share of one core that the emulator took.
        errors: What went wrong.
    """

    conversations: int
    seconds: float
    turns: int = 0
    resumes: int = 0
    sent: int = 0
    received: int = 0
    lost: int = 0
    greetings: int = 0
    memory: list[int] = field(default_factory=list)
    processor: float = 0.0
    errors: list[str] = field(default_factory=list)

    @property
    def growth(self) -> float:
        """By how many KiB a conversation has grown in the second half of the time."""
        return (self.memory[-1] - self.memory[len(self.memory) // 2]) / 1024 / self.conversations

    @property
    def footprint(self) -> float:
        """How many KiB a conversation takes at the end, its connection included."""
        return (self.memory[-1] - self.memory[0]) / 1024 / self.conversations

    def __str__(self) -> str:
        """One line a subject."""
        lines = (
            f"{self.conversations} conversations for {self.seconds:g} s: {self.turns} turns, {self.resumes} resumes",
            f"{self.sent / self.seconds:.0f} messages a second up, {self.received / self.seconds:.0f} down",
            f"errors: {len(self.errors)}; frames lost or doubled: {self.lost}; greetings: {self.greetings}",
            f"memory in MiB: {', '.join(f'{size / 2**20:.1f}' for size in self.memory)}",
            f"growth in the second half: {self.growth:+.1f} KiB a conversation",
            f"processor: {self.processor:.0%} of a core",
        )
        return "\n".join([*lines, *self.errors[:5]])


@dataclass
class Process:
    """The emulator's process, and where it listens."""

    pid: int
    url: str
    control_url: str
    trust: ssl.SSLContext

    @property
    def memory(self) -> int:
        """Bytes that are resident."""
        return int(Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()[1]) * _PAGE

    @property
    def processor(self) -> float:
        """Seconds of processor time so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS


@asynccontextmanager
async def emulator(**settings: str) -> AsyncIterator[Process]:
    """An emulator in a process of its own."""
    with tempfile.TemporaryDirectory() as directory:
        ports = {"FILO_EMULATOR_ADDRESS": "127.0.0.1:0", "FILO_EMULATOR_CONTROL_ADDRESS": "127.0.0.1:0"}
        environ = {"FILO_DATA_DIR": directory, "FILO_LOG_LEVEL": "WARNING", **ports, **settings}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _RUN, env=environ, stdout=asyncio.subprocess.PIPE
        )
        try:
            assert process.stdout is not None
            words = (await process.stdout.readline()).decode().split()
            trust = ssl.create_default_context(cafile=words[6])
            yield Process(process.pid, words[2], words[4], trust)
        finally:
            process.terminate()
            await process.communicate()


class Talker:
    """One conversation."""

    def __init__(self, stream: int, process: Process, result: Result, pace: float, stay: int) -> None:
        self.stream = stream
        self._stay = stay
        self._process = process
        self._result = result
        self._pace = pace
        self._frame = 0
        self._utterance = 0
        self._handle = ""
        self._speech: list[bytes] = []
        self._answered = asyncio.Event()
        self._leaving = False

    async def run(self, until: float) -> None:
        """Talk until that moment, over as many connections as it takes."""
        try:
            while self._goes_on(until):
                await self._connection(until)
        except Exception as error:  # noqa: BLE001 - counted, and told at the end
            self._result.errors.append(f"voice {self.stream}: {error!r}")

    def _goes_on(self, until: float) -> bool:
        return time.monotonic() < until or self._utterance < LEAST

    async def _connection(self, until: float) -> None:
        self._leaving = False
        url = self._process.url + PATH
        async with connect(url, ssl=self._process.trust, compression=None, ping_interval=None) as socket:
            resumption = {"handle": self._handle} if self._handle else {}
            self._result.resumes += bool(self._handle)
            wanted: dict[str, Any] = {"contextWindowCompression": {"slidingWindow": {}}, "outputAudioTranscription": {}}
            await socket.send(json.dumps({"setup": {"model": MODEL, "sessionResumption": resumption, **wanted}}))
            async with asyncio.TaskGroup() as tasks:
                reader = tasks.create_task(self._listen(socket))
                microphone = tasks.create_task(self._stream(socket))
                await self._converse(until)
                microphone.cancel()
                reader.cancel()

    async def _converse(self, until: float) -> None:
        leaving_at = self._utterance + self._stay
        while self._goes_on(until) and not self._leaving and self._utterance < leaving_at:
            self._handle = ""
            self._answered.clear()
            words = f"My number is {self.stream}. What is my number? This was turn {self._utterance}."
            frames = voice.speak(words, stream=self.stream, first_frame=self._frame, utterance=self._utterance)
            self._frame += len(frames)
            self._utterance += 1
            self._speech = [*frames, *[voice.silence(1)] * PAUSE]
            async with asyncio.timeout(PATIENCE):
                await self._answered.wait()

    async def _stream(self, socket: ClientConnection) -> None:
        """An open microphone: what is to be said, or silence."""
        due = time.monotonic()
        while True:
            chunk, self._speech = self._speech[:CHUNK], self._speech[CHUNK:]
            await socket.send(_message(b"".join(chunk).ljust(len(SILENCE), b"\0")) if chunk else QUIET)
            self._result.sent += 1
            due += CHUNK * voice.FRAME_SECONDS / self._pace
            await asyncio.sleep(due - time.monotonic())

    async def _listen(self, socket: ClientConnection) -> None:
        """Until the answer is over and its handle is there."""
        async for frame in socket:
            self._result.received += 1
            if b'"modelTurn"' in frame[:40]:
                continue
            message: dict[str, Any] = json.loads(frame)
            if "goAway" in message:
                self._leaving = True
            elif handle := message.get("sessionResumptionUpdate", {}).get("newHandle"):
                self._handle = handle
                if not self._speech and self._utterance and not self._answered.is_set() and self._complete:
                    self._complete = False
                    self._result.turns += 1
                    self._answered.set()
            elif "turnComplete" in message.get("serverContent", {}):
                self._complete = True

    _complete = False


async def _judge(process: Process, talkers: list[Talker], result: Result) -> None:
    """Compare with the emulator's own account."""
    async with aiohttp.ClientSession(process.control_url) as http:
        for talker in talkers:
            async with http.get(f"/v1/voices/{talker.stream}") as response:
                report = await response.json()
            frames = report["frames"]
            result.lost += frames["missing_in_context"] + frames["repeated_in_context"]
            result.greetings += report["greetings"]
            told = [turn["text"] for turn in report["context"] if turn["role"] == "model"]
            if not told[-1].endswith(f"You told me your number is {talker.stream}."):
                result.errors.append(f"voice {talker.stream} was answered: {told[-1]}")


async def soak(
    conversations: int, seconds: float, *, speed: float = 1.0, lifetime: float = 30.0, stay: int = STAY
) -> Result:
    """Let so many conversations go on at once.

    Args:
        conversations: How many.
        seconds: How long.
        speed: How much faster than real time both sides speak.
        lifetime: Seconds that a connection lives.
        stay: After how many turns a conversation rotates even without goAway.
    """
    result = Result(conversations, seconds)
    settings = {
        "FILO_EMULATOR_SPEED": f"{speed:g}",
        "FILO_EMULATOR_THINKING": f"{0.2 / speed:g}s",
        "FILO_EMULATOR_LIFETIME": f"{lifetime:g}s",
        "FILO_EMULATOR_GOAWAY_LEAD": f"{lifetime * LEAD:g}s",
        "FILO_EMULATOR_WINDOW": "1000",
    }
    async with emulator(**settings) as process:
        began, used = time.monotonic(), process.processor
        result.memory.append(process.memory)
        talkers = [Talker(1000 + number, process, result, speed, stay) for number in range(conversations)]
        async with asyncio.TaskGroup() as tasks:
            for talker in talkers:
                tasks.create_task(talker.run(began + seconds))
            for sample in range(1, SAMPLES + 1):
                await asyncio.sleep(began + seconds * sample / SAMPLES - time.monotonic())
                result.memory.append(process.memory)
            result.processor = (process.processor - used) / seconds
        await _judge(process, talkers, result)
    return result


def main() -> int:
    """Run it from the command line; the exit code is 1 where something went wrong."""
    parser = argparse.ArgumentParser(description="Many conversations at once in one emulator process.")
    parser.add_argument("--conversations", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--speed", type=float, default=1.0)
    asked = parser.parse_args()
    result = asyncio.run(soak(asked.conversations, asked.seconds, speed=asked.speed))
    print(result)  # noqa: T201 - a command answers on standard output
    return bool(result.errors or result.lost)


if __name__ == "__main__":
    sys.exit(main())

"""One conversation of a soak: speaks, hears the answer out, speaks again, and resumes."""

import asyncio
import base64
import json
import time
from typing import Any, Final, Protocol

from websockets.asyncio.client import ClientConnection, connect

from services.common import voice
from tests.soak.emulator.process import Process

PATH: Final = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent?key=soak"
MODEL: Final = "models/gemini-live-2.5-flash-native-audio"
CHUNK: Final = 5
"""Frames of 20 ms in one message."""
PAUSE: Final = 30
"""Frames of silence after an utterance, enough to end it."""
LEAST: Final = 3
"""How many turns a conversation has, however slow the machine is."""
PATIENCE: Final = 30.0


def _message(data: bytes) -> str:
    """A message of audio."""
    encoded = base64.b64encode(data).decode()
    return f'{{"realtimeInput":{{"audio":{{"data":"{encoded}","mimeType":"audio/pcm;rate=16000"}}}}}}'


SILENCE: Final = voice.silence(CHUNK)
QUIET: Final = _message(SILENCE)


class Tally(Protocol):
    """What is counted while conversations go on."""

    turns: int
    resumes: int
    sent: int
    received: int
    errors: list[str]


class Talker:
    """One conversation."""

    def __init__(self, stream: int, process: Process, result: Tally, pace: float, stay: int) -> None:
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

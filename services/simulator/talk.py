"""Saying a line to the agent and waiting for its answer, in voice or in text."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from filo.client import Client, Over
from services.common import voice
from services.common.clock import Clock
from services.common.voice import FRAME_SECONDS
from services.simulator.hearing import Hearing
from services.simulator.record import Turn

_SMALLEST_SLEEP: Final = 0.005
"""Seconds by which speech may run ahead, so that fast speech does not wake the loop for each frame."""

_PATIENCE: Final = 10.0
"""Seconds of silence (in audio) after which a microphone that waits for an answer goes quiet."""

_QUIET: Final = voice.silence(1)


class Cut(Enum):
    """Where in a turn the simulator cuts its own socket."""

    NOWHERE = auto()
    IN_SPEECH = auto()
    IN_ANSWER = auto()


class LostError(Exception):
    """Nothing more will come from the relay."""

    def __init__(self, over: Over) -> None:
        self.over = over
        super().__init__(over.reason)


@dataclass(frozen=True, slots=True)
class Manner:
    """How the prospect speaks; durations are in seconds of speech, which pass `speed` times faster.

    Attributes:
        stream: Whose voice it is: 32 bits, unlike that of any other run.
        written: It writes instead.
        speed: Relative to real time.
        pause: How long it thinks before it speaks; the microphone is open meanwhile.
        silence: How much silence follows each utterance at least.
    """

    stream: int
    written: bool
    speed: float
    pause: float
    silence: float


class Talk:
    """One client's side of the talk. `listen` runs beside the rest.

    Args:
        client: Speaks to the relay.
        hearing: Notices what comes back.
        clock: The time, for the pace of speech.
        manner: How the prospect speaks.
    """

    def __init__(self, client: Client, hearing: Hearing, clock: Clock, manner: Manner) -> None:
        self._client = client
        self._hearing = hearing
        self._clock = clock
        self._manner = manner
        self._changed = asyncio.Event()
        self._frames = 0
        self._due = 0.0

    async def listen(self) -> None:
        """Take in what the client tells, until it is over. Safe to cancel."""
        while self._hearing.over is None:
            self._hearing.take(await self._client.events.get())
            self._changed.set()

    async def until(self, reached: Callable[[], bool]) -> None:
        """Wait for something to become true of what was heard. Safe to cancel.

        Raises:
            LostError: It cannot, since nothing more will come.
        """
        while not reached():
            if self._hearing.over is not None:
                raise LostError(self._hearing.over)
            self._changed.clear()
            await self._changed.wait()

    async def pause(self) -> None:
        """Think before the next line. Safe to cancel.

        Raises:
            LostError: There is nobody to say it to.
        """
        self._due = self._clock.monotonic()
        for _ in range(round(self._manner.pause / FRAME_SECONDS)):
            if not self._manner.written:
                self._client.audio(_QUIET)
            await self._pace()
        if self._hearing.over is not None:
            raise LostError(self._hearing.over)

    async def take_turn(self, turn: Turn, cut: Cut) -> None:
        """Say a turn's line and wait for the whole answer. Safe to cancel.

        Raises:
            LostError: The conversation was lost before the answer had come.
        """
        self._hearing.expect()
        if self._manner.written:
            turn.last_input = self._client.text(turn.prospect)
        else:
            await self._speak(turn, cut)
            await self._wait_silently()
        if cut is Cut.IN_ANSWER or (self._manner.written and cut is Cut.IN_SPEECH):
            await self.until(lambda: self._hearing.answering or turn.completed)
            self._client.abort()
        await self.until(lambda: turn.completed)

    async def _speak(self, turn: Turn, cut: Cut) -> None:
        """Speak frame by frame, at the pace of speech."""
        first = self._frames
        frames = voice.speak(turn.prospect, stream=self._manner.stream, first_frame=first, utterance=turn.number)
        self._due = self._clock.monotonic()
        for at, frame in enumerate(frames):
            if cut is Cut.IN_SPEECH and at == len(frames) // 2:
                self._client.abort()
            turn.last_input = self._client.audio(frame)
            turn.frames = range(first, first + at + 1)
            self._frames = self._hearing.record.frames_sent = turn.frames.stop
            await self._pace()

    async def _wait_silently(self) -> None:
        """Be silent until the agent takes its turn: at least as long as ends an utterance, and not for ever."""
        for at in range(round(_PATIENCE / FRAME_SECONDS)):
            taken = self._hearing.answering or self._hearing.over is not None
            if taken and at * FRAME_SECONDS >= self._manner.silence:
                return
            self._client.audio(_QUIET)
            await self._pace()

    async def _pace(self) -> None:
        """Let the time of one frame pass."""
        self._due += FRAME_SECONDS / self._manner.speed
        ahead = self._due - self._clock.monotonic()
        if ahead > _SMALLEST_SLEEP:
            await self._clock.sleep(ahead)

"""Saying a line to the agent and waiting for its answer, in voice or in text."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from services.common import voice
from services.common.clock import Clock
from services.common.voice import FRAME_SECONDS
from services.simulator.client import Client, Over
from services.simulator.hearing import Hearing
from services.simulator.record import Turn

_SMALLEST_SLEEP: Final = 0.005
"""Seconds by which speech may run ahead, so that fast speech does not wake the loop for each frame."""

_PATIENCE: Final = 10.0
"""Seconds of silence (in audio) after which a microphone that waits for an answer goes quiet."""


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
class Voice:
    """How the prospect speaks.

    Attributes:
        stream: Whose voice it is: 32 bits, unlike that of any other run.
        speed: Relative to real time.
        silence: How much silence (in audio) follows each utterance at least, in seconds.
    """

    stream: int
    speed: float
    silence: float


class Talk:
    """One client's side of the talk. `listen` runs beside `say` and `until`.

    Args:
        client: Speaks to the relay.
        hearing: Notices what comes back.
        clock: The time, for the pace of speech.
        how: The prospect's voice; None to write instead.
    """

    def __init__(self, client: Client, hearing: Hearing, clock: Clock, how: Voice | None) -> None:
        self._client = client
        self._hearing = hearing
        self._clock = clock
        self._voice = how
        self._changed = asyncio.Event()
        self._frames = 0

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

    async def take_turn(self, turn: Turn, cut: Cut) -> None:
        """Say a turn's line and wait for the whole answer. Safe to cancel.

        Raises:
            LostError: The conversation was lost before the answer had come.
        """
        self._hearing.expect()
        if self._voice is None:
            turn.last_input = self._client.text(turn.prospect)
        else:
            await self._speak(turn, self._voice, cut)
        if cut is not Cut.NOWHERE and (self._voice is None or cut is Cut.IN_ANSWER):
            await self._cut_answer(turn)
        await self.until(lambda: turn.completed)

    async def _cut_answer(self, turn: Turn) -> None:
        await self.until(lambda: self._hearing.answering or turn.completed)
        self._client.abort()

    async def _speak(self, turn: Turn, how: Voice, cut: Cut) -> None:
        """Speak frame by frame, then be silent until the agent takes its turn."""
        frames = voice.speak(turn.prospect, stream=how.stream, first_frame=self._frames, utterance=turn.number)
        first = self._frames
        middle = len(frames) // 2 if cut is Cut.IN_SPEECH else None
        quiet = voice.silence(1)
        began = self._clock.monotonic()
        for at in range(len(frames) + round(_PATIENCE / FRAME_SECONDS)):
            if at == middle:
                self._client.abort()
            if at < len(frames):
                turn.last_input = self._client.audio(frames[at])
                turn.frames = range(first, first + at + 1)
                self._frames = self._hearing.record.frames_sent = turn.frames.stop
            elif self._enough_silence(at - len(frames), how):
                return
            else:
                self._client.audio(quiet)
            await self._pace(began + (at + 1) * FRAME_SECONDS / how.speed)

    def _enough_silence(self, frames: int, how: Voice) -> bool:
        """Whether the agent has begun, or the conversation is over; not before the silence that ends an utterance."""
        return frames * FRAME_SECONDS >= how.silence and (self._hearing.answering or self._hearing.over is not None)

    async def _pace(self, due: float) -> None:
        ahead = due - self._clock.monotonic()
        if ahead > _SMALLEST_SLEEP:
            await self._clock.sleep(ahead)

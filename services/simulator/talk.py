"""Saying a line to the agent and waiting for its answer, in voice or in text."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from filo.client import Client, Over, messages
from services.common import voice
from services.common.clock import Clock
from services.common.voice import FRAME_SECONDS
from services.simulator.hearing import Hearing
from services.simulator.record import Turn

_SMALLEST_SLEEP: Final = 0.005
"""Seconds by which speech may run ahead, so that fast speech does not wake the loop for each frame."""

_PATIENCE: Final = 10.0
"""Seconds of silence (in audio) after which a microphone that waits for an answer goes quiet."""

_BEFORE_INTERRUPTING: Final = 0.6
"""Seconds of an answer that somebody who interrupts hears before speaking."""

_QUIET: Final = voice.silence(1)


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
        results: What each tool of the agent answers.
    """

    stream: int
    written: bool
    speed: float
    pause: float
    silence: float
    results: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


class Talk:
    """One client's side of the talk. `listen` runs beside the rest.

    Attributes:
        reach: Told each place of a turn as it is reached (`faultplan.PLACES`).

    Args:
        client: Speaks to the relay.
        hearing: Notices what comes back.
        clock: The time, for the pace of speech.
        manner: How the prospect speaks.
        frames: How many frames its voice has spoken before.
    """

    def __init__(self, client: Client, hearing: Hearing, clock: Clock, manner: Manner, frames: int = 0) -> None:
        self.reach: Callable[[str], None] = lambda _: None
        self._client = client
        self._hearing = hearing
        self._clock = clock
        self._manner = manner
        self._changed = asyncio.Event()
        self._frames = frames
        self._due = 0.0

    async def listen(self) -> None:
        """Take in what the client tells, until it is over. Safe to cancel."""
        while self._hearing.over is None:
            event = await self._client.events.get()
            self._hearing.take(event)
            if isinstance(event, messages.ToolCall):
                self._use(event)
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

    async def pause(self, seconds: float) -> None:
        """Think before the next line, at the pace of speech. Safe to cancel.

        Raises:
            LostError: There is nobody to say it to.
        """
        self.reach("pause")
        self._due = self._clock.monotonic()
        await self._be_silent(seconds)
        if self._hearing.over is not None:
            raise LostError(self._hearing.over)

    async def take_turn(self, turn: Turn, *, interrupts: bool = False, spoken: int = 0) -> None:
        """Say a turn's line and wait for the whole answer. Safe to cancel.

        Args:
            turn: Its line; its frames and inputs are noted in it.
            interrupts: Wait for a piece of the answer only: the next line is spoken into it.
            spoken: How many of its frames (or, in writing, whether its text) were sent before, by a process that died.

        Raises:
            LostError: The conversation was lost before the answer had come.
        """
        self._hearing.expect()
        if self._manner.written:
            if not spoken:
                turn.last_input = self._client.text(turn.prospect)
            self.reach("speech")
        else:
            await self._speak(turn, spoken)
        self.reach("wait")
        if not self._manner.written:
            await self._wait_silently(turn)
        await self.until(lambda: self._hearing.answering or turn.completed)
        self.reach("answer")
        if interrupts and not self._manner.written:
            await self.until(lambda: self._hearing.known or turn.completed)
            self._due = self._clock.monotonic()
            await self._be_silent(_BEFORE_INTERRUPTING)
            return
        await self.until(lambda: turn.completed)

    def _use(self, event: messages.ToolCall) -> None:
        """Answer the agent's calls of tools as the agent's document says."""
        for call in event.calls:
            result = self._manner.results.get(call.name, {"error": f"there is no tool {call.name}"})
            self._client.tool_result(call.id, call.name, dict(result))

    async def _speak(self, turn: Turn, spoken: int) -> None:
        """Speak frame by frame, at the pace of speech."""
        first = self._frames
        frames = voice.speak(turn.prospect, stream=self._manner.stream, first_frame=first, utterance=turn.number)
        turn.frames = range(first, first + spoken)
        self._due = self._clock.monotonic()
        for at, frame in enumerate(frames[spoken:], start=spoken):
            if at == len(frames) // 2:
                self.reach("speech")
            turn.last_input = self._client.audio(frame)
            turn.frames = range(first, first + at + 1)
            self._frames = self._hearing.record.frames_sent = turn.frames.stop
            await self._pace()
        self._frames = self._hearing.record.frames_sent = first + len(frames)

    async def _wait_silently(self, turn: Turn) -> None:
        """Be silent until the agent takes its turn: at least as long as ends an utterance, and not for ever."""
        for at in range(round(_PATIENCE / FRAME_SECONDS)):
            taken = self._hearing.answering or turn.completed or self._hearing.over is not None
            if taken and at * FRAME_SECONDS >= self._manner.silence:
                return
            self._client.audio(_QUIET)
            await self._pace()

    async def _be_silent(self, seconds: float) -> None:
        for _ in range(round(seconds / FRAME_SECONDS)):
            if not self._manner.written:
                self._client.audio(_QUIET)
            await self._pace()

    async def _pace(self) -> None:
        """Let the time of one frame pass."""
        self._due += FRAME_SECONDS / self._manner.speed
        ahead = self._due - self._clock.monotonic()
        if ahead > _SMALLEST_SLEEP:
            await self._clock.sleep(ahead)

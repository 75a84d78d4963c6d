"""Many conversations at once in one emulator process: no error, no frame lost, no growth of memory.

    .venv/bin/python -m tests.soak.emulator.soak --conversations 200 --seconds 60

Every conversation speaks, hears the answer out and speaks again, its microphone open all the time, in messages of
100 ms. It rotates between turns, resuming from its newest handle, whenever goAway comes. The emulator runs in a process
of its own; its memory and its processor time are read from /proc.
"""

import argparse
import asyncio
import sys
import time
from dataclasses import dataclass, field
from typing import Final

import aiohttp

from tests.soak.emulator.process import Process, emulator
from tests.soak.emulator.talker import Talker
from tests.soak.emulator.waves import waves

WAVE: Final = 50
"""Conversations in each of the waves that show what one leaves behind."""
SAMPLES: Final = 12
"""How often memory is looked at."""
LEAD: Final = 0.6
"""Share of a connection's life that is left at goAway: enough to finish a turn on a slow machine."""
STAY: Final = 1_000
"""After how many turns a conversation rotates even without goAway."""


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
        memory: The emulator's, in bytes: before the first conversation, then in regular intervals; in the middle and at
            the end with garbage collected and unused memory given back.
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
                resting = sample in {SAMPLES // 2, SAMPLES}
                result.memory.append((await process.settled())[1] if resting else process.memory)
            result.processor = (process.processor - used) / seconds
        await _judge(process, talkers, result)
    return result


def main() -> int:
    """Run it from the command line; the exit code is 1 where something went wrong."""
    parser = argparse.ArgumentParser(description="Many conversations at once in one emulator process.")
    parser.add_argument("--conversations", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--speed", type=float, default=1.0)
    parser.add_argument("--waves", type=int, default=12)
    asked = parser.parse_args()
    result = asyncio.run(soak(asked.conversations, asked.seconds, speed=asked.speed))
    print(result)  # noqa: T201 - a command answers on standard output
    left = asyncio.run(waves(asked.waves, WAVE))
    print(left)  # noqa: T201 - likewise
    return bool(result.errors or result.lost or left.errors)


if __name__ == "__main__":
    sys.exit(main())

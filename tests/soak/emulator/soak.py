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
STEADY: Final = 20
"""Conversations that go on until they should grow no more."""
SAMPLES: Final = 12
"""How often memory is looked at."""
LEAD: Final = 0.6
"""Share of a connection's life that is left at goAway: enough to finish a turn on a slow machine."""
STAY: Final = 1_000
"""After how many turns a conversation rotates even without goAway."""
REMEMBERED: Final = 8
"""Connections of a conversation that are remembered where growth is judged."""
PLATEAU: Final = 18
"""After how many turns over as many connections a conversation then holds all that it ever will."""
GROWTH: Final = 400.0
"""Blocks a conversation, between two moments after that: what is being said and sent. A record of each connection is 60
blocks, which is a thousand in as many turns again."""


@dataclass
class Result:
    """What a soak has shown.

    Attributes:
        conversations: How many ran at once.
        seconds: How long.
        turns: Answers that were heard out.
        halfway: How many there had been in the middle.
        resumes: Connections that went on from a handle.
        sent: Messages to the emulator.
        received: Messages from it.
        lost: Frames that the contexts miss or hold twice.
        greetings: How often somebody was greeted; once each is right.
        blocks: How many blocks of memory Python held in the middle and at the end, garbage collected: exact.
        memory: The emulator's, in bytes: before the first conversation, then in regular intervals; in the middle and at
            the end with garbage collected and unused memory given back.
        processor: Share of one core that the emulator took.
        errors: What went wrong.
    """

    conversations: int
    seconds: float
    turns: int = 0
    halfway: int = 0
    resumes: int = 0
    sent: int = 0
    received: int = 0
    lost: int = 0
    greetings: int = 0
    blocks: list[int] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)
    processor: float = 0.0
    errors: list[str] = field(default_factory=list)

    @property
    def growth(self) -> float:
        """By how many KiB a conversation has grown in the second half of the time."""
        return (self.memory[-1] - self.memory[len(self.memory) // 2]) / 1024 / self.conversations

    @property
    def objects(self) -> float:
        """By how many blocks of Python's a conversation has grown in that time."""
        return (self.blocks[-1] - self.blocks[0]) / self.conversations

    @property
    def steady(self) -> bool:
        """Whether there were turns enough to tell growth from filling up."""
        return self.halfway >= PLATEAU * self.conversations

    @property
    def failures(self) -> list[str]:
        """What is not as it has to be, in words; nothing if all is well."""
        greeted = [] if self.greetings == self.conversations else [f"{self.greetings} greetings"]
        lost = [f"{self.lost} frames lost or doubled"] if self.lost else []
        grows = self.steady and self.objects > GROWTH
        grown = [f"grew by {self.objects:+.0f} blocks a conversation"] if grows else []
        return [*self.errors, *lost, *greeted, *grown]

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
            f"growth in the second half: {self.growth:+.1f} KiB, {self.objects:+.0f} blocks a conversation",
            f"processor: {self.processor:.0%} of a core",
        )
        return "\n".join([*lines, *self.failures[:5]])


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
    conversations: int,
    seconds: float,
    *,
    speed: float = 1.0,
    lifetime: float = 30.0,
    stay: int = STAY,
    remembered: int | None = None,
) -> Result:
    """Let so many conversations go on at once.

    Args:
        conversations: How many.
        seconds: How long.
        speed: How much faster than real time both sides speak.
        lifetime: Seconds that a connection lives.
        stay: After how many turns a conversation rotates even without goAway.
        remembered: How many connections of each the emulator remembers; its own number if not given.
    """
    result = Result(conversations, seconds)
    settings = {
        "FILO_EMULATOR_SPEED": f"{speed:g}",
        "FILO_EMULATOR_THINKING": f"{0.2 / speed:g}s",
        "FILO_EMULATOR_LIFETIME": f"{lifetime:g}s",
        "FILO_EMULATOR_GOAWAY_LEAD": f"{lifetime * LEAD:g}s",
        "FILO_EMULATOR_WINDOW": "1000",
        **({} if remembered is None else {"FILO_EMULATOR_REMEMBERED_CONNECTIONS": f"{remembered}"}),
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
                if sample in {SAMPLES // 2, SAMPLES}:
                    result.halfway = result.halfway or result.turns
                    result.blocks.append((await process.settled())[0])
                result.memory.append(process.memory)
            result.processor = (process.processor - used) / seconds
        await _judge(process, talkers, result)
    return result


async def growth(conversations: int, seconds: float) -> Result:
    """Let so many conversations go on twenty times as fast, resumed after each turn, until they hold all they will."""
    return await soak(conversations, seconds, speed=20.0, lifetime=600.0, stay=1, remembered=REMEMBERED)


def main() -> int:
    """Run it from the command line; the exit code is 1 where something went wrong."""
    parser = argparse.ArgumentParser(description="Many conversations at once in one emulator process.")
    parser.add_argument("--conversations", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--speed", type=float, default=1.0)
    parser.add_argument("--steady", type=float, default=40.0)
    parser.add_argument("--waves", type=int, default=12)
    asked = parser.parse_args()
    result = asyncio.run(soak(asked.conversations, asked.seconds, speed=asked.speed))
    print(result)  # noqa: T201 - a command answers on standard output
    steady = asyncio.run(growth(STEADY, asked.steady))
    print(steady)  # noqa: T201 - likewise
    left = asyncio.run(waves(asked.waves, WAVE))
    print(left)  # noqa: T201 - likewise
    return bool(result.failures or steady.failures or not steady.steady or left.failures)


if __name__ == "__main__":
    sys.exit(main())

"""Conversations in waves: what one of them leaves behind, once it is over.

Each wave is a number of new conversations at once, over several connections each; then all of them end, and the
emulator's memory is looked at. It is told to remember no more than one wave of what it would keep for a while on
purpose (handles for hours, the account of a thousand conversations), so whatever grows from the second wave to the last
is a leak.
"""

import asyncio
from dataclasses import dataclass, field
from itertools import count
from typing import Final

from services.emulator.server import LINEAGES
from tests.soak.emulator.process import emulator
from tests.soak.emulator.talker import Talker

WARM: Final = 2
"""After how many waves everything is there that a process needs once."""
LEFT: Final = 50.0
"""Blocks a conversation: a fraction of what the record of a single connection takes."""
_FIRST_STREAM: Final = 5_000


@dataclass
class Waves:
    """What the waves have shown.

    Attributes:
        conversations: How many there were in each.
        turns: Answers that were heard out.
        resumes: Connections that went on from a handle.
        sent: Messages to the emulator.
        received: Messages from it.
        memory: The emulator's after each wave, in bytes, garbage collected and unused memory given back.
        blocks: How many blocks of memory Python held then: exact, where bytes depend on the allocator's mood.
        errors: What went wrong.
    """

    conversations: int
    turns: int = 0
    resumes: int = 0
    sent: int = 0
    received: int = 0
    memory: list[int] = field(default_factory=list)
    blocks: list[int] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def growth(self) -> float:
        """By how many KiB the emulator has grown for each conversation after the second wave."""
        return self._growth(self.memory) / 1024

    @property
    def objects(self) -> float:
        """By how many blocks of Python's it has grown for each of them."""
        return self._growth(self.blocks)

    @property
    def failures(self) -> list[str]:
        """What is not as it has to be, in words; nothing if all is well."""
        grown = [f"left {self.objects:+.1f} blocks a conversation behind"] if self.objects >= LEFT else []
        return [*self.errors, *grown]

    def _growth(self, sizes: list[int]) -> float:
        return (sizes[-1] - sizes[WARM - 1]) / ((len(sizes) - WARM) * self.conversations)

    def __str__(self) -> str:
        """One line a subject."""
        sizes = ", ".join(f"{size / 2**20:.1f}" for size in self.memory)
        return (
            f"{len(self.memory)} waves of {self.conversations} conversations: {self.turns} turns, "
            f"{self.resumes} resumes, {len(self.errors)} errors\n"
            f"memory in MiB after each wave: {sizes}\n"
            f"growth after wave {WARM}: {self.growth:+.2f} KiB, {self.objects:+.1f} blocks a conversation"
        )


async def waves(number: int, conversations: int, *, speed: float = 10.0) -> Waves:
    """Let so many waves of conversations come and go.

    Args:
        number: How many waves, more than two.
        conversations: How many conversations in each, of three turns over three connections.
        speed: How much faster than real time both sides speak.
    """
    result = Waves(conversations)
    settings = {
        "FILO_EMULATOR_SPEED": f"{speed:g}",
        "FILO_EMULATOR_THINKING": f"{0.2 / speed:g}s",
        "FILO_EMULATOR_REMEMBERED": f"{-(-conversations // LINEAGES)}",
    }
    streams = count(_FIRST_STREAM)
    async with emulator(**settings) as process:
        files = process.files
        for _ in range(number):
            async with asyncio.TaskGroup() as tasks:
                for _conversation in range(conversations):
                    tasks.create_task(Talker(next(streams), process, result, speed, stay=1).run(0.0))
            blocks, memory = await process.rested(files)
            result.blocks.append(blocks)
            result.memory.append(memory)
    return result

"""A cell of Gemini's side: brought to its point, where the emulator's fault strikes by itself."""

import asyncio
import contextlib
from typing import Final

from filo.client import messages as told
from tests.faults.scene import DOING, Scene
from tests.faults.table import SETTLED, Cell, Point

REFUSED: Final = 4502
BREATH: Final = 6
"""Pieces of speech after which the speaking client is cut off."""
BREATH_SECONDS: Final = 0.06
"""How long it waits for that before it speaks on."""


class GeminiScene(Scene):
    """A scene whose trouble is at Gemini's side."""

    async def happen(self, cell: Cell) -> None:
        """Bring the conversation to the point, and wait until what happens there is over."""
        caller = self.caller
        if cell.point is not Point.SETUP:
            await self.plant(handle=cell.point in DOING and not cell.row.before)
            await self._reach(cell.point)
        if cell.stops:
            await caller.until("the end", lambda: False)
            stopped = caller.over is not None and caller.over.code == REFUSED
            self.check(holds=stopped, problem=f"it ended with {caller.over}")
            return
        if cell.unnoticed:
            await asyncio.sleep(2 * SETTLED)  # nothing tells of it; too short a wait would harm nothing
        elif cell.point is not Point.SETUP:
            await caller.until("the rotation", lambda: bool(caller.all(told.Rotated)))
        await self.catch_up()
        if cell.row.forgets:
            await self._find_out()

    async def _reach(self, point: Point) -> None:
        """Do what is being done at the point."""
        caller, line = self.caller, DOING.get(point)
        if line is None:
            return
        if point is not Point.CLIENT:
            caller.say(line)
            return
        rest = caller.say(line, part=slice(BREATH))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(BREATH_SECONDS):
                await caller.until("a rotation", lambda: bool(caller.all(told.Rotating)))
        caller.go_on(rest)

    async def _find_out(self) -> None:
        """A false resume shows in the first answer after it; then the context is rebuilt."""

        def rebuilt() -> bool:
            return any(event.continuity == "transcript" for event in self.caller.all(told.Rotated))

        if not rebuilt():
            await self.turn("Tell me more.")
        await self.caller.until("the rebuilt context", rebuilt)

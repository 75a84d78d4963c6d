"""What goes wrong between client and relay: the same points, and the reference client behind a balancer of connections.

The balancer is what stands before several relays in production. It can cut, and send a client to another relay.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from filo.client import messages as told
from services.common.config import Address
from services.emulator.faults import Fault, GoAwayFault, Moment, StallFault
from services.relay.core import events as on
from services.relay.live import LiveConversation
from tests.faults.caller import Caller
from tests.faults.scene import DOING, Scene
from tests.faults.table import SETTLED, Point

TAKEN_OVER: Final = 4409
_PART: Final = slice(8)
"""Pieces of speech of which Gemini transcribes something."""
_OPENING: Final = 0.6
"""Seconds for which Gemini leaves a setup unanswered, so that it can be caught in it."""


class Balancer:
    """A TCP proxy before the relays, for one caller."""

    def __init__(self, target: Address) -> None:
        self.target = target
        self.url = ""
        self._writers: set[asyncio.StreamWriter] = set()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Balancer"]:
        """Forward while the context is open."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = "ws://{}:{}".format(*server.sockets[0].getsockname()[:2])
        try:
            yield self
        finally:
            server.close()
            self.cut()

    def cut(self) -> None:
        """Cut every connection, to both sides, without a word."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(*self.target)
        self._writers |= {writer, back}
        await asyncio.wait(
            [asyncio.create_task(self._copy(reader, back)), asyncio.create_task(self._copy(there, writer))]
        )

    @staticmethod
    async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()


class Mishap(StrEnum):
    """What happens to the client's side."""

    CUT = "client cut, returns to its relay"
    SECOND = "a second socket takes over"
    DRAINED = "relay drained, client goes to another"
    KILLED = "relay killed, client goes to another"


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """A mishap at a point."""

    mishap: Mishap
    point: Point

    @property
    def name(self) -> str:
        """The row's name."""
        return self.mishap.value

    def __str__(self) -> str:
        return f"{self.name} @ {self.point}"

    @property
    def plan(self) -> tuple[Fault, ...]:
        """What holds the point open long enough."""
        if self.point is Point.SETUP:
            return (StallFault(when=Moment.SETUP, seconds=_OPENING),)
        if self.point is not Point.ROTATION:
            return ()
        go_away = GoAwayFault(when=Moment.TURN, after=3 * SETTLED, time_left=0.4, ends_in=5.0)
        return (go_away, StallFault(when=Moment.RESUME, seconds=_OPENING))

    @property
    def continuity(self) -> str:
        """What the client must be told of the context."""
        if self.point is not Point.SETUP:
            return "handle"
        return "started" if self.mishap in {Mishap.CUT, Mishap.SECOND} else "none"

    @property
    def greetings(self) -> int:
        """Once."""
        return 1

    @property
    def tool_runs(self) -> int:
        """A relay's memo of a turn goes with the relay."""
        return 1 if self.mishap in {Mishap.CUT, Mishap.SECOND} else 2

    @property
    def hears_all(self) -> bool:
        """A second socket hears the rest of an answer, not its beginning."""
        return self.mishap is not Mishap.SECOND


CELLS: Final = tuple(Cell(mishap, point) for mishap in Mishap for point in Point)
"""Each makes sense."""


class EdgeScene(Scene):
    """A scene whose trouble is at the client's side.

    Args:
        caller: Calls through the balancer.
        balancer: Before the relay that holds the conversation.
        another: Where the other relay is.
    """

    def __init__(self, caller: Caller, balancer: Balancer, another: Address) -> None:
        super().__init__(caller)
        self._balancer = balancer
        self._another = another

    async def reach(self, point: Point) -> list[bytes]:
        """Bring the conversation to the point; gives what the client has not said yet."""
        caller = self.caller
        if point is Point.SETUP:
            return []
        await self.plant()
        rest = caller.say(DOING[point], part=_PART if point is Point.CLIENT else slice(None)) if point in DOING else []
        match point:
            case Point.CLIENT:
                await caller.until("its words", lambda: any(e.turn > 1 for e in caller.all(told.Transcript)))
            case Point.AGENT:
                await caller.until("its words", lambda: bool(caller.said(2)))
            case Point.TOOL:
                await caller.until("the call", lambda: bool(caller.all(told.ToolCall)))
            case Point.ROTATION:
                await caller.until("the rotation", lambda: bool(caller.all(told.Rotating)))
            case _:
                pass
        return rest

    def strike(self, mishap: Mishap, live: LiveConversation) -> None:
        """Let it happen."""
        if mishap in {Mishap.DRAINED, Mishap.KILLED}:
            self._balancer.target = self._another
        if mishap in {Mishap.CUT, Mishap.KILLED}:
            self._balancer.cut()
        if mishap is Mishap.KILLED:
            _kill(live)
        if mishap is Mishap.DRAINED:
            live.post(on.DrainAsked())

    async def returned(self) -> None:
        """Wait until the client is back by itself, and has its answer."""
        caller, greetings = self.caller, (told.SessionStarted, told.SessionResumed)
        known = {id(event) for event in caller.events if isinstance(event, greetings)}
        await caller.until(
            "the greeting", lambda: any(isinstance(e, greetings) and id(e) not in known for e in caller.events)
        )
        await self.catch_up()


def _kill(live: LiveConversation) -> None:
    """Drop a conversation as a killed process does: no word to the store, to Gemini or to anybody."""
    for task in asyncio.all_tasks():
        frame = getattr(task.get_coro(), "cr_frame", None)
        if frame is not None and frame.f_code.co_qualname == "Registry._run" and frame.f_locals["live"] is live:
            task.cancel()

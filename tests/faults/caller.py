"""Somebody at the other end: the reference client, a voice, a tool that takes a moment, and a record of what was told.

The client is `filo.client`: it keeps its inputs until they are covered, and sends again
from `nextSeq` whatever a new socket asks for. Nothing here helps the relay.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from filo.client import Audio, Client, Credentials, Event, Over, Policy, Session
from filo.client import messages as told
from filo.relay.v1 import relay_pb2 as pb
from services.common import logs, voice
from services.common.clock import SystemClock
from tests.support.client import Speaker
from tests.support.relay import SHARE_TOKEN

PATIENCE: Final = 8.0
"""Seconds after which something that should have come never will."""
TOOL_SECONDS: Final = 0.1
"""How long the client's tool takes: longer than a new connection, so that its result comes late."""
PAUSE: Final = voice.silence(52, 16_000)
"""What is sent after an utterance: more than the second of silence after which the relay takes speech for a new one."""
FRAMES_A_PIECE: Final = 4
"""An input is 80 ms of speech."""
_QUICK: Final = Policy(attempts=20, shortest_wait=0.01, first_wait=0.02, longest_wait=0.2)


K = TypeVar("K")


class Caller:
    """A client with a voice.

    Args:
        url: The relay, ``ws://host:port``.
        session: What `CreateSession` gave.
        speaker: The voice; it may outlive the caller.
        policy: How stubborn the client is.

    Attributes:
        events: Everything the client was told, in order.
        inputs: Everything it has said so far: what has number n is at n - 1.
        tool_runs: The ids of the calls it was asked to make.
    """

    def __init__(self, url: str, session: pb.CreateSessionResponse, speaker: Speaker, policy: Policy = _QUICK) -> None:
        path, token = session.websocket_path, session.session_token
        credentials = Credentials(url=f"{url}{path}", session_token=token, share_token=SHARE_TOKEN, test=True)
        self.speaker = speaker
        self.events: list[Event] = []
        self.inputs: list[bytes] = []
        self.tool_runs: list[str] = []
        self.client = Client(
            Session(credentials, policy, random.Random(speaker.stream).random),  # noqa: S311 - a jitter
            SystemClock(),
            logs.get("faults"),
        )
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def calling(self) -> AsyncIterator["Caller"]:
        """Be there while the context is open; leaving it cuts the socket."""
        self._tasks = {asyncio.create_task(self.client.run()), asyncio.create_task(self._listen())}
        try:
            yield self
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def say(self, text: str, *, part: slice = slice(None)) -> list[bytes]:
        """Begin to say something; gives the pieces that are left out of `part`, to be said with `go_on`."""
        frames = [frame for frame in self.speaker.say(text) if any(frame)]
        pieces = [b"".join(frames[at : at + FRAMES_A_PIECE]) for at in range(0, len(frames), FRAMES_A_PIECE)] + [PAUSE]
        begun = pieces[part]
        self.go_on(begun)
        return pieces[len(begun) :]

    def go_on(self, pieces: list[bytes]) -> None:
        """Say the rest."""
        for piece in pieces:
            self.client.audio(piece)
        self.inputs += pieces

    def all(self, kind: type[K]) -> list[K]:
        """Everything of a kind so far."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def completed(self) -> int:
        """The newest turn that is told to be complete."""
        done = (e.turn for e in self.events if isinstance(e, told.TurnComplete | told.TurnMissed))
        return max(done, default=self.greeted)

    @property
    def greeted(self) -> int:
        """How many turns were complete when it came: who names nothing that it has seen is told so in the greeting."""
        first = self.events[0] if self.events else None
        return first.turn if isinstance(first, told.SessionResumed) else 0

    @property
    def over(self) -> Over | None:
        """The end, once it has come."""
        return next((event for event in self.events if isinstance(event, Over)), None)

    def said(self, turn: int) -> str:
        """What the agent said in a turn, after its last restart."""
        text, epoch = "", 1
        for event in self.events:
            if isinstance(event, told.TurnRestarted) and event.turn == turn:
                text = ""
            elif isinstance(event, told.SessionResumed) and event.epoch != epoch and event.turn < turn:
                text, epoch = "", event.epoch
            elif isinstance(event, told.Transcript) and (event.role, event.turn) == ("agent", turn):
                text += event.text
            elif isinstance(event, told.TurnMissed) and event.turn == turn:
                text = event.agent
        return text

    async def until(self, what: str, come: Callable[[], bool], patience: float = PATIENCE) -> None:
        """Wait until something has come, or the conversation is over.

        Raises:
            AssertionError: It did not come in time.
        """
        try:
            async with asyncio.timeout(patience), self._changed:
                await self._changed.wait_for(lambda: come() or self.over is not None)
        except TimeoutError:
            raise AssertionError(f"{what} did not come") from None

    async def _listen(self) -> None:
        while self.over is None:
            event = await self.client.events.get()
            if isinstance(event, told.ToolCall):
                self._tasks.add(asyncio.create_task(self._run_tools(event)))
            self.events.append(event)
            if isinstance(event, Audio):
                continue  # nobody waits for it
            async with self._changed:
                self._changed.notify_all()

    async def _run_tools(self, asked: told.ToolCall) -> None:
        for call in asked.calls:
            self.tool_runs.append(call.id)
            await asyncio.sleep(TOOL_SECONDS)
            self.client.tool_result(call.id, call.name, {"price": "17 euros"})

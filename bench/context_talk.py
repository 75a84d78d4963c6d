"""One conversation of the context bench: turns of the same size, advice before each, until the window is full."""

import asyncio
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from filo.handles.v1.resources_pb2 import Ledger
from filo.relay.v1 import relay_pb2 as pb
from services.emulator import brain
from tests.support.relay import RunningRelay

SCRIPT_TOKENS: Final = 20_000
USER_TOKENS: Final = 50
ADVICE_TOKENS: Final = 400
ANSWER_CHARACTERS: Final = 80
"""Four seconds of speech: 100 tokens."""
CODE: Final = "7421"
"""What is told in the first turn, and asked for in the end."""
_TOKEN: Final = 4
_PREFIX: Final = "[SALES_MANAGER_INSTRUCTION] "
_PATIENCE: Final = 30.0


def script() -> str:
    """A sales script of its size, to the token."""
    line = "Ask what the client needs, and show how the thread holds. "
    length = SCRIPT_TOKENS * _TOKEN
    return (line * (length // len(line) + 1))[:length]


def advice(turn: int) -> str:
    """Advice of its size, to the token; the agent repeats the words before the dots."""
    return f"Go on with {turn:04}".ljust(ADVICE_TOKENS * _TOKEN - len(_PREFIX), ".")


def question(turn: int) -> str:
    """A typed turn of its size, which is answered by a sentence of its size, whatever the context holds."""
    followed = f" {brain.following([advice(turn)])}"
    unknown = "x" * (ANSWER_CHARACTERS - len(followed) - len("I am sorry, I do not think you told me your ."))
    asked = f"What is my {unknown}?"
    told = f"My launch code is {CODE}. " if turn == 1 else f"This is turn {turn} of the talk. "
    return told + "We speak of thread. ".ljust(USER_TOKENS * _TOKEN - len(told) - len(asked), "-") + asked


RECALL: Final = "What is my launch code?"


@dataclass
class Course:
    """How a conversation went.

    Args:
        name: Of the policy.
        ledgers: After each turn.
        gaps: Of each rotation, milliseconds.
        ended: What filled the window; empty where nothing did.
        recalls: What it answered in the end to a question about the first turn.
    """

    name: str
    ledgers: list[Ledger] = field(default_factory=list)
    gaps: list[int] = field(default_factory=list)
    ended: str = ""
    recalls: str = ""


class Talk:
    """A client that types, and the platform that advises its agent.

    Args:
        relay: Where.
        session: The conversation.
    """

    def __init__(self, relay: RunningRelay, session: pb.CreateSessionResponse) -> None:
        self._relay = relay
        self._session = session
        self._messages: asyncio.Queue[Mapping[str, Any] | None] = asyncio.Queue()

    async def run(self, course: Course, turns: int, *, advised: bool = True) -> None:
        """Talk until the window is full, or for so many turns; then ask about the first."""
        async with self._relay.socket(self._session) as socket:
            reading = asyncio.create_task(self._read(socket))
            for turn in range(1, turns + 1):
                if advised:
                    await self._advise(advice(turn))
                await socket.send(json.dumps({"type": "text", "text": question(turn)}))
                if not await self._heard(course):
                    break
                course.ledgers.append(await self._ledger())
            if not course.ended:
                course.recalls = await self._ask(socket, RECALL)
            reading.cancel()
        await self._relay.control.EndSession(pb.EndSessionRequest(conversation=self._session.conversation))

    async def _read(self, socket: ClientConnection) -> None:
        try:
            while True:
                data = await socket.recv()
                if isinstance(data, str):
                    self._messages.put_nowait(json.loads(data))
        except ConnectionClosed:
            self._messages.put_nowait(None)

    async def _advise(self, text: str) -> None:
        request = pb.SendFeedbackRequest(
            conversation=self._session.conversation, request_id=str(uuid.uuid4()), text=text
        )
        await self._relay.control.SendFeedback(request)

    async def _heard(self, course: Course) -> bool:
        """Wait until the turn is stored; whether the window still had room for it."""
        complete = False
        async with asyncio.timeout(_PATIENCE):
            while True:
                match await self._messages.get():
                    case None:
                        course.ended = "closed"
                        return False
                    case {"type": "session:rotating", "reason": "upstream_closed" | "handle_rejected" as reason}:
                        course.ended = reason
                        return complete
                    case {"type": "session:rotated", "gapMs": gap}:
                        course.gaps.append(gap)
                    case {"type": "turn:complete"}:
                        complete = True
                    case {"type": "covered"} if complete:
                        return True

    async def _ask(self, socket: ClientConnection, text: str) -> str:
        await socket.send(json.dumps({"type": "text", "text": text}))
        said = ""
        async with asyncio.timeout(_PATIENCE):
            while message := await self._messages.get():
                if message["type"] == "transcript" and message["role"] == "agent":
                    said += message["text"]
                if message["type"] == "turn:complete":
                    break
        return said

    async def _ledger(self) -> Ledger:
        request = pb.GetSessionRequest(conversation=self._session.conversation)
        return (await self._relay.control.GetSession(request)).session.ledger

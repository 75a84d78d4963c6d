"""A whole conversation, as a relay holds it, between two sockets that only remember, and a store that takes everything.

Everything but these is real: inputs, outbox, core, checkpoints, journal, metrics.
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final, cast

from prometheus_client import CollectorRegistry

from filo.handles.v1 import handles_pb2 as pb
from filo.handles.v1 import resources_pb2 as resources
from services.common.clock import SystemClock
from services.relay.client.protocol import Request
from services.relay.client.session_tokens import Claims, SessionTokens
from services.relay.config import Settings
from services.relay.core.attachment import Attachment
from services.relay.core.capabilities import Backend, capability
from services.relay.core.ledger import Ledger
from services.relay.core.model import RotationMode
from services.relay.live import LiveConversation
from services.relay.metrics import Metrics
from services.relay.sockets import Take
from services.relay.store import Attached, Store
from services.relay.surroundings import Surroundings
from services.relay.upstream.connection import Upstream
from services.relay.upstream.inputs import cancelled

VOICE: Final = bytes(range(1, 161)) * 4
"""20 ms of the client's voice, PCM16 of 16 kHz, loud."""
REPLY: Final = bytes(range(240)) * 4
"""20 ms of the agent's, PCM16 of 24 kHz."""
_NAME: Final = "conversations/c"
_MODEL: Final = "models/any"
_STEPS: Final = 40
"""Turns of the event loop after which all that a conversation does by itself is done."""


_REQUEST: Final = Request("sales_agent", None, None, None, RotationMode.RELAY, None, test=True)


class Peer:
    """A socket whose other end takes everything and says what a test wants it to say.

    Attributes:
        messages: What it was sent.
    """

    close_code = None
    close_reason = None
    is_open = True

    def __init__(self) -> None:
        self.got: Callable[[int], None] | None = None
        self.messages: list[bytes] = []
        self._take: Take | None = None

    def says(self, message: bytes, *, text: bool) -> None:
        """One message comes from the other end."""
        if self._take is None:
            raise RuntimeError("nobody listens")
        self._take(message, text)

    async def deliver(self, take: Take) -> None:
        """Until it is cancelled."""
        self._take = take
        await asyncio.Event().wait()

    def send_now(self, message: bytes, *, text: bool) -> bool:  # noqa: ARG002 - as of a socket
        """Remember it."""
        self.messages.append(message)
        return True

    async def send(self, message: bytes | str, *, text: bool | None = None) -> None:  # noqa: ARG002 - as of a socket
        """Remember it."""
        self.messages.append(message.encode() if isinstance(message, str) else message)

    def ask(self, mark: int) -> None:
        """It has got everything."""
        if self.got is not None:
            self.got(mark)

    def hold(self) -> None:
        """It is never too fast."""

    def release(self) -> None:
        """It is never too fast."""

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """It closes too."""

    def abort(self) -> None:
        """Nothing is cut."""


def said(message: dict[str, Any]) -> bytes:
    """A message of Gemini's."""
    return json.dumps(message).encode()


def answered(pcm: bytes = REPLY) -> bytes:
    """A frame of the agent's voice, as Gemini sends it."""
    blob = {"mimeType": "audio/pcm;rate=24000", "data": base64.b64encode(pcm).decode()}
    return said({"serverContent": {"modelTurn": {"parts": [{"inlineData": blob}]}}})


_ANSWER: Final = answered()


class _Stub:
    """A handle store that takes everything at once; `checkpoints` counts."""

    def __init__(self) -> None:
        self.checkpoints: list[pb.CheckpointRequest] = []
        self._turns = self._covered = 0

    async def Checkpoint(self, request: pb.CheckpointRequest) -> pb.CheckpointResponse:  # noqa: N802 - as in the contract
        self.checkpoints.append(request)
        for turn in request.turns:
            self._turns, self._covered = turn.number, turn.covered_seq
        response = pb.CheckpointResponse(turn_count=self._turns, covered_seq=self._covered)
        if request.HasField("upstream_handle"):
            response.resume_handle = f"resume-{self._turns}"
            response.expire_time.FromDatetime(datetime(2030, 1, 1, tzinfo=UTC))
        return response

    async def HeartbeatConversation(self, _request: object) -> pb.HeartbeatConversationResponse:  # noqa: N802 - likewise
        return pb.HeartbeatConversationResponse()

    async def ReleaseConversation(self, _request: object) -> pb.ReleaseConversationResponse:  # noqa: N802 - likewise
        return pb.ReleaseConversationResponse()


class _Dialler:
    transparent = False
    compression = True

    def __init__(self, socket: Peer) -> None:
        self._socket = socket

    async def dial(self, *_: object) -> Upstream:
        return Upstream(cast("Any", self._socket))


class Held:
    """One conversation and what is around it.

    Attributes:
        stub: The store's end.
        client: The client's end.
        gemini: Gemini's.
    """

    def __init__(self) -> None:
        self.client, self.gemini = Peer(), Peer()
        self.stub = _Stub()
        clock = SystemClock()
        store = Store(cast("Any", _NoChannel()), clock)
        store._stub = cast("Any", self.stub)
        around = Surroundings(
            Settings.from_env({"GEMINI_API_KEY": "any"}),
            clock,
            store,
            cast("Any", _Dialler(self.gemini)),
            SessionTokens({"k": "k" * 32}, "k", 3600.0, clock),
            Metrics(CollectorRegistry(), sessions=10),
        )
        self.live = LiveConversation(around, _attached(), Claims(_NAME, "sales_agent"), test=True)
        self._turns = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """All its tasks, a client among them."""
        running = asyncio.create_task(self.live.run())
        await self.live.started.wait()
        attending = asyncio.create_task(self.live.attend(cast("Any", self.client), _REQUEST, []))
        await self.rest()
        self.handle()
        await self.rest()
        try:
            yield
            assert not running.done()
        finally:
            await cancelled(attending)
            await cancelled(running)

    async def rest(self) -> None:
        """Let it do what it does by itself."""
        for _ in range(_STEPS):
            await asyncio.sleep(0)

    def handle(self) -> None:
        """Gemini issues a handle."""
        update = {"newHandle": f"handle-{self._turns}", "resumable": True}
        self._gemini_says({"sessionResumptionUpdate": update})

    def talk(self, frames: int = 1) -> None:
        """Somebody speaks and is answered."""
        for _ in range(frames):
            self.client.says(VOICE, text=False)
        for _ in range(frames):
            self.gemini.says(_ANSWER, text=True)

    def end_turn(self) -> None:
        """Gemini ends the turn."""
        self._turns += 1
        usage = {
            "promptTokenCount": 50 * self._turns,
            "responseTokenCount": 25,
            "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 50 * self._turns}],
        }
        self._gemini_says({"serverContent": {"turnComplete": True}, "usageMetadata": usage})

    def _gemini_says(self, message: dict[str, Any]) -> None:
        self.gemini.says(said(message), text=True)

    async def turn(self, frames: int = 1) -> None:
        """A whole turn, until it is stored, covered and told."""
        self.talk(frames)
        self.end_turn()
        self.handle()
        await self.rest()


class _NoChannel:
    """Where a stub of the generated code would get its calls from."""

    def unary_unary(self, *_: object, **__: object) -> None:
        """None is made."""

    unary_stream = unary_unary


def _attached() -> Attached:
    agent = resources.AgentConfig(model=_MODEL, system_instruction="Sell the thread. " * 6)
    conversation = resources.Conversation(name=_NAME, agent=agent, epoch=1)
    attachment = Attachment(
        new=True,
        turn_count=0,
        covered_seq=0,
        handle=None,
        uncovered=(),
        ledger=Ledger(),
        instruction_characters=len(agent.system_instruction),
        tools_characters=0,
        capability=capability(_MODEL, Backend.DEVELOPER),
        feedback=(),
    )
    return Attached(conversation, attachment, 1, pb.HANDLE_RESULT_UNSPECIFIED, 10.0)

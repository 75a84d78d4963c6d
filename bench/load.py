"""What relays ask of the handle store, as fast as it answers."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import grpc

from bench import echo
from bench.processes import Server
from filo.handles.v1 import handles_pb2 as pb
from filo.handles.v1 import resources_pb2 as resources

WORKERS: Final = 32
"""Calls under way at any time."""

_SERVICE: Final = "/filo.handles.v1.HandlesService/"
_OWNER: Final = resources.Owner(share_token="share-token-of-the-bench")  # noqa: S106 - made up
_AGENT: Final = resources.AgentConfig(model="models/gemini-live", system_instruction="Sell the thread. " * 6)
_QUESTION: Final = "And what would it cost us to keep the thread for a whole year? "
_ANSWER: Final = "That depends on how long you talk; let me show you what the others of your size came to. " * 2
_SECRET: Final = "gemini-" + "h" * 200
_LEDGER: Final = resources.Ledger(context_tokens=12345, billed_tokens=67890, user_tokens=500, model_tokens=800)


Method = Callable[[bytes], Awaitable[bytes]]
"""An RPC whose messages nobody reads."""


class Round(NamedTuple):
    """One measurement: calls a second, and microseconds of the server's processor for each."""

    rate: float
    cpu: float


@dataclass
class Held:
    """A conversation that this program holds."""

    name: str
    epoch: int = 0
    turns: int = 0
    resume_handle: str = field(default="", repr=False)


class Client:
    """One connection to a server; messages go and come as bytes, to cost this side as little as an echo does.

    Args:
        channel: An open `grpc.aio.Channel`.
    """

    def __init__(self, channel: Any) -> None:  # noqa: ANN401 - without types of messages
        self._methods: Mapping[str, Method] = {name: channel.unary_unary(f"{_SERVICE}{name}") for name in _CALLS}
        self._echo: Method = channel.unary_unary(echo.METHOD)

    async def create(self) -> Held:
        """A new conversation, attached, with one turn and both handles."""
        request = pb.CreateConversationRequest(
            request_id=str(uuid.uuid4()), mode=resources.MODE_SALES_AGENT, owner=_OWNER, agent=_AGENT
        )
        answer = await self._methods["CreateConversation"](request.SerializeToString())
        held = Held(pb.CreateConversationResponse.FromString(answer).conversation.name)
        await self.attach(held)
        await self.checkpoint(held)
        return held

    async def echo(self, held: Held) -> None:
        """What grpc.aio costs alone, for a message of the same size as a validation."""
        await self._echo(_validation(held))

    async def validate(self, held: Held) -> None:
        """Judge the newest resume handle.

        Raises:
            ValueError: It is not valid: then this measures something else.
        """
        if await self._methods["ValidateHandle"](_validation(held)) != _VALID:
            raise ValueError(f"the resume handle of {held.name} is not valid")

    async def attach(self, held: Held) -> None:
        """Take the conversation again."""
        request = pb.AttachConversationRequest(
            name=held.name, mode=resources.MODE_SALES_AGENT, owner=_OWNER, holder="127.0.0.1:7401"
        )
        answer = await self._methods["AttachConversation"](request.SerializeToString())
        held.epoch = pb.AttachConversationResponse.FromString(answer).conversation.epoch

    async def checkpoint(self, held: Held) -> None:
        """Store the next turn with an upstream handle and the ledger."""
        number = held.turns + 1
        turn = resources.Turn(number=number, user_text=_QUESTION, agent_text=_ANSWER, covered_seq=number * 100)
        upstream = resources.UpstreamHandle(secret=_SECRET, covers_turn=number)
        request = pb.CheckpointRequest(
            name=held.name, epoch=held.epoch, turns=[turn], upstream_handle=upstream, ledger=_LEDGER
        )
        answer = await self._methods["Checkpoint"](request.SerializeToString())
        held.turns, held.resume_handle = number, pb.CheckpointResponse.FromString(answer).resume_handle


_CALLS: Final = ("CreateConversation", "ValidateHandle", "AttachConversation", "Checkpoint")
_VALID: Final = pb.ValidateHandleResponse(result=pb.HANDLE_RESULT_VALID).SerializeToString()

ECHO: Final = "echo"

OPERATIONS: Final[Mapping[str, Callable[[Client, Held], Awaitable[None]]]] = MappingProxyType(
    {ECHO: Client.echo, "validate": Client.validate, "attach": Client.attach, "checkpoint": Client.checkpoint}
)
"""What is measured, by name."""


def _validation(held: Held) -> bytes:
    return pb.ValidateHandleRequest(
        name=held.name, mode=resources.MODE_SALES_AGENT, owner=_OWNER, resume_handle=held.resume_handle
    ).SerializeToString()


@asynccontextmanager
async def connected(server: Server) -> AsyncIterator[Client]:
    """A client of a server."""
    async with grpc.aio.insecure_channel(server.address, options=(("grpc.enable_http_proxy", 0),)) as channel:
        await channel.channel_ready()
        yield Client(channel)


async def create(client: Client, count: int) -> list[Held]:
    """Many conversations, some at a time."""
    made: list[Held] = []

    async def work(share: int) -> None:
        made.extend([await client.create() for _ in range(share)])

    await asyncio.gather(*(work(count // WORKERS) for _ in range(WORKERS)))
    return made


async def measure(server: Server, client: Client, operation: str, sample: Sequence[Held], seconds: float) -> Round:
    """Call a server for a while, never twice at once for one conversation."""
    call, calls = OPERATIONS[operation], 0
    cpu, began = server.cpu(), time.perf_counter()
    until = began + seconds

    async def work(mine: Sequence[Held]) -> None:
        nonlocal calls
        while True:
            for held in mine:
                if time.perf_counter() >= until:
                    return
                await call(client, held)
                calls += 1

    await asyncio.gather(*(work(sample[first::WORKERS]) for first in range(WORKERS)))
    took = time.perf_counter() - began
    return Round(calls / took, (server.cpu() - cpu) / calls * 1e6)

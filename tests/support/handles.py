"""A real handle store on a free port, and what a relay would ask of it."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import grpc
from prometheus_client import CollectorRegistry
from sqlalchemy.engine import make_url

from filo.handles.v1 import handles_pb2 as pb
from filo.handles.v1 import handles_pb2_grpc, resources_pb2
from filo.handles.v1.resources_pb2 import MODE_SALES_AGENT, AgentConfig, Conversation, Mode, Owner, Turn, UpstreamHandle
from services.common.clock import Clock
from services.common.config import Address
from services.common.grpc_client import channel
from services.handles import database, keyfile
from services.handles.config import Settings
from services.handles.service import running
from tests.support import postgres

SHARE_TOKEN = "share-token-of-the-tests"
OWNER = Owner(share_token=SHARE_TOKEN)
HOLDER = "127.0.0.1:7401"
AGENT = AgentConfig(model="models/gemini-live", system_instruction="Sell the thread.")


@dataclass(frozen=True)
class RunningHandles:
    """A service that answers.

    Args:
        address: Where gRPC listens.
        settings: What it was started with.
        registry: Its metrics.
        channel: An open channel to it, that raises `ServiceError`.
    """

    address: Address
    settings: Settings
    registry: CollectorRegistry
    channel: grpc.aio.Channel = field(repr=False)

    @property
    def stub(self) -> "handles_pb2_grpc.HandlesServiceAsyncStub":
        """The client."""
        return handles_pb2_grpc.HandlesServiceStub(self.channel)

    def metric(self, name: str, **labels: str) -> float:
        """The value of a series that must exist."""
        value = self.registry.get_sample_value(name, labels)
        assert value is not None, f"no series {name} {labels}"
        return value

    async def create(
        self,
        *,
        mode: Mode.ValueType = MODE_SALES_AGENT,
        owner: Owner = OWNER,
        agent: AgentConfig = AGENT,
        request_id: str = "",
    ) -> Conversation:
        """Create a conversation, under a new request id unless one is given."""
        request = pb.CreateConversationRequest(
            request_id=request_id or str(uuid.uuid4()), mode=mode, owner=owner, agent=agent
        )
        return (await self.stub.CreateConversation(request)).conversation

    async def attach(
        self, conversation: Conversation, *, owner: Owner = OWNER, holder: str = HOLDER, resume_handle: str = ""
    ) -> pb.AttachConversationResponse:
        """Attach with the conversation's own mode."""
        return await self.stub.AttachConversation(
            pb.AttachConversationRequest(
                name=conversation.name,
                mode=conversation.mode,
                owner=owner,
                holder=holder,
                resume_handle=resume_handle,
            )
        )

    async def checkpoint(
        self, conversation: Conversation, epoch: int, *numbers: int, secret: str = "", covers_turn: int = 0
    ) -> pb.CheckpointResponse:
        """Store turns by number and, if a secret is given, an upstream handle."""
        handle = UpstreamHandle(secret=secret, covers_turn=covers_turn) if secret else None
        request = pb.CheckpointRequest(
            name=conversation.name, epoch=epoch, turns=[turn(number) for number in numbers], upstream_handle=handle
        )
        return await self.stub.Checkpoint(request)

    async def validate(
        self, conversation: Conversation, resume_handle: str, *, owner: Owner = OWNER
    ) -> pb.HandleResult.ValueType:
        """Judge a resume handle for somebody with the conversation's own mode."""
        request = pb.ValidateHandleRequest(
            name=conversation.name, mode=conversation.mode, owner=owner, resume_handle=resume_handle
        )
        return (await self.stub.ValidateHandle(request)).result

    async def turns(self, conversation: Conversation, after: int = 0) -> list[Turn]:
        """The stored turns."""
        request = pb.StreamTurnsRequest(name=conversation.name, after_turn=after)
        return [response.turn async for response in self.stub.StreamTurns(request)]


def turn(number: int, **fields: object) -> Turn:
    """A turn that can be told from every other."""
    made = resources_pb2.Turn(
        number=number,
        user_text=f"question {number}",
        agent_text=f"answer {number}",
        covered_seq=number * 10,
        epoch=1,
        message_number=number,
    )
    for name, value in fields.items():
        setattr(made, name, value)
    return made


@asynccontextmanager
async def running_handles(
    data_dir: Path, *, clock: Clock | None = None, environ: dict[str, str] | None = None
) -> AsyncIterator[RunningHandles]:
    """Run a handle store, with a channel to it, while the context is open.

    Args:
        data_dir: Where it stores; a second start with the same directory is a restart.
        clock: Judges what has expired.
        environ: More settings.
    """
    settings = Settings.from_env(
        {
            "FILO_DATA_DIR": str(data_dir),
            "FILO_HANDLES_ADDRESS": "127.0.0.1:0",
            "FILO_HANDLES_METRICS_ADDRESS": "127.0.0.1:0",
            **(environ or {}),
        }
    )
    registry = CollectorRegistry()
    async with running(settings, clock=clock, registry=registry) as service, channel(service.address) as to:
        yield RunningHandles(service.address, settings, registry, to)


async def until(condition: Callable[[], bool | Awaitable[bool]], timeout: float = 20.0) -> None:  # noqa: ASYNC109
    """Wait until something is true that nobody tells us of.

    Raises:
        TimeoutError: It was not, for so many seconds.
    """
    async with asyncio.timeout(timeout):
        while True:
            found = condition()
            if found is True or (found is not False and await found):
                return
            await asyncio.sleep(0.01)


def postgres_environ(directory: Path, server: postgres.Server | None = None) -> dict[str, str]:
    """Settings for a store on a PostgreSQL database of its own; both database and keys are made at the first call.

    Args:
        directory: Where the keys are.
        server: Where the database is, then without a schema; by default on the server that tests share, with one.
    """
    noted, key = directory / "database-url", directory / "handles.key"
    if not noted.exists():
        directory.mkdir(parents=True, exist_ok=True)
        noted.write_text(server.database() if server else postgres.server().database(_template()))
        keyfile.create(key)
    return {
        "FILO_DATA_DIR": str(directory),
        "FILO_HANDLES_DATABASE_URL": noted.read_text(),
        "FILO_HANDLES_DATABASE_CONNECTIONS": "4",
    }


def on_postgres(directory: Path) -> Settings:
    """As `postgres_environ`, read."""
    return Settings.from_env(postgres_environ(directory))


@cache
def _template() -> str:
    """The name of a database with the newest schema and no rows: to copy it takes less than to migrate."""
    url = postgres.server().database()
    with ThreadPoolExecutor(1) as thread:  # the caller's thread has an event loop of its own
        thread.submit(asyncio.run, database.migrate(Settings.from_env({"FILO_HANDLES_DATABASE_URL": url}))).result()
    return str(make_url(url).database)

"""How a run comes to its conversation: a session at the relay, a client, a network to break, and who says the lines."""

import random
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import structlog

from filo.client import Client, Credentials, Session
from filo.client.close_codes import Action
from filo.handles.v1 import resources_pb2
from filo.relay.v1 import relay_pb2, relay_pb2_grpc
from filo.simulator.v1 import simulator_pb2 as pb
from services.common.clock import Clock
from services.common.errors import ServiceError
from services.simulator import network, trouble
from services.simulator.account import Emulator
from services.simulator.config import Settings
from services.simulator.faultplan import Target
from services.simulator.hearing import Hearing
from services.simulator.hold import Hold
from services.simulator.journal import Journal
from services.simulator.metrics import Metrics
from services.simulator.network import Network
from services.simulator.spec import Cast
from services.simulator.talk import Manner, Talk
from services.simulator.textmodel import TextModel
from services.simulator.trouble import Trouble

_WS_PORT: Final = 80


@dataclass(frozen=True, slots=True)
class Tools:
    """What every run of a simulator shares."""

    settings: Settings
    clock: Clock
    relay: "relay_pb2_grpc.RelayServiceAsyncStub"
    metrics: Metrics
    emulator: Emulator | None
    text: TextModel | None = None


@dataclass(frozen=True, slots=True)
class Meeting:
    """Everything between a prospect and the agent.

    Attributes:
        client: Speaks to the relay.
        talk: Says lines.
        trouble: Breaks things.
        hearing: Notices what comes back.
    """

    client: Client
    talk: Talk
    trouble: Trouble
    hearing: Hearing

    @property
    def session(self) -> Session:
        """The client's session."""
        return self.client.session


@asynccontextmanager
async def opened(
    run: pb.Run, cast: Cast, journal: Journal, hold: Hold, tools: Tools, log: structlog.stdlib.BoundLogger
) -> AsyncIterator[Meeting]:
    """A meeting for a new conversation, or for the one that `hold` knows. Safe to cancel.

    Args:
        run: Gets the name of its conversation.
        cast: Who takes part.
        journal: Where everything is noted.
        hold: Voice, owner, and where the run stood.
        tools: What all runs share.
        log: With the run bound.

    Raises:
        ServiceError: What the relay answers.
    """
    schedule = cast.schedule(run.spec)
    async with AsyncExitStack() as stack:
        created = await _create_session(run, cast, hold, tools, marked=Target.EMULATOR in schedule.targets)
        run.conversation = created.conversation
        relay, way = tools.settings.relay_client_url, None
        if Target.NETWORK in schedule.targets:
            way, relay = await _broken(relay, stack)
        client = _client(run, hold, tools, log, _join(relay, created.websocket_path), created.session_token, cast)
        hearing = Hearing(journal, tools.metrics)
        hearing.remember()
        talk = Talk(client, hearing, tools.clock, _manner(run.spec, cast, hold, tools), journal.record.frames_sent)
        broken = Trouble(
            schedule, journal, tools.clock, trouble.marker(run.name), tools.emulator, way, cut=client.abort
        )
        talk.reach = broken.reach
        yield Meeting(client, talk, broken, hearing)


def _manner(spec: pb.RunSpec, cast: Cast, hold: Hold, tools: Tools) -> Manner:
    own = cast.persona.manner
    return Manner(
        stream=hold.stream,
        written=spec.channel == pb.CHANNEL_TEXT,
        speed=spec.speed * own.pace,
        pause=tools.settings.pause if own.pause is None else own.pause,
        silence=tools.settings.silence,
        results=cast.agent.results(),
    )


def _client(
    run: pb.Run, hold: Hold, tools: Tools, log: structlog.stdlib.BoundLogger, url: str, token: str, cast: Cast
) -> Client:
    spec, policy = run.spec, tools.settings.reconnect
    if spec.no_resume:
        policy = replace(policy, attempts=0, follow_go_away=False)
    credentials = Credentials(
        url=url,
        session_token=token,
        share_token=hold.share_token,
        test=True,
        rotation="client" if spec.rotation == pb.ROTATION_CLIENT else "relay",
        renewable=True,
    )
    session = Session(credentials, policy, random.Random(hold.stream).random)  # noqa: S311 - jitter
    if hold.epoch:
        session.go_on_from((hold.epoch, hold.number), hold.handle)

    async def renew() -> str:
        return (await _create_session(run, cast, hold, tools, marked=_is_marked(run, cast))).session_token

    return Client(session, tools.clock, log.bind(conversation=run.conversation), renew)


def _is_marked(run: pb.Run, cast: Cast) -> bool:
    return Target.EMULATOR in cast.schedule(run.spec).targets


async def _create_session(
    run: pb.Run, cast: Cast, hold: Hold, tools: Tools, *, marked: bool
) -> relay_pb2.CreateSessionResponse:
    """Create the run's conversation, or get a new token for it: the same request again gives the same one.

    A relay that is away is asked again, as patiently as a client comes back.
    """
    agent = cast.agent.config(run.spec.model, f"{trouble.marker(run.name)}\n" if marked else "")
    agent.feedback_policy = run.spec.feedback_policy
    policy = tools.settings.reconnect
    request = relay_pb2.CreateSessionRequest(
        request_id=str(uuid.uuid5(uuid.NAMESPACE_URL, run.name)),
        mode=resources_pb2.MODE_SALES_AGENT,
        owner=resources_pb2.Owner(share_token=hold.share_token),
        agent=agent,
        test=True,
    )
    for attempt in range(1, policy.attempts + 1):
        try:
            return await tools.relay.CreateSession(request)
        except ServiceError as error:
            if not error.meaning.retryable:
                raise
        await tools.clock.sleep(policy.wait(attempt, Action.RECONNECT, 0.5))
    return await tools.relay.CreateSession(request)


async def _broken(relay: str, stack: AsyncExitStack) -> tuple[Network, str]:
    """A network of the run's own before the relay, and the relay's URL through it."""
    there = urlsplit(relay)
    way = await stack.enter_async_context(network.opened(there.hostname or "", there.port or _WS_PORT))
    return way, urlunsplit(there._replace(netloc=f"{way.host}:{way.port}"))


def _join(relay: str, path: str) -> str:
    """The relay's WebSocket URL with the path and query that `CreateSession` gave."""
    given = urlsplit(path)
    return urlunsplit(urlsplit(relay)._replace(path=given.path, query=given.query))

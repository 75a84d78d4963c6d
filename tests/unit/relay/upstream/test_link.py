"""How a connection begins: in pieces between which the others go on, and without a trace if it is let go."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from filo.handles.v1 import resources_pb2 as resources
from services.common.clock import SystemClock
from services.relay.client.outbox import Outbox
from services.relay.core import effects as do
from services.relay.core import events as on
from services.relay.core.model import Turn
from services.relay.lease import Lease
from services.relay.sockets import Take
from services.relay.upstream.connection import Dialler, Upstream
from services.relay.upstream.history import History
from services.relay.upstream.inputs import Inputs, cancelled
from services.relay.upstream.link import UpstreamLink

OPEN = do.OpenUpstream("handle", 0, (), 0.0, 0, 0.0)


class Bystander:
    """Another conversation: counts its turns.

    Attributes:
        turns: So many it had.
        at: How many it had had when something happened to the conversation that is looked at.
    """

    def __init__(self) -> None:
        self.turns = 0
        self.at: dict[str, int] = {}

    def saw(self, what: str) -> None:
        """Something happened there."""
        self.at[what] = self.turns

    async def go_on(self) -> None:
        """Take a turn whenever the loop gives one, until cancelled."""
        while True:
            await asyncio.sleep(0)
            self.turns += 1


class FakeUpstream:
    """A connection that says nothing."""

    closed = (1006, "")

    def __init__(self, bystander: Bystander) -> None:
        self.bystander = bystander
        self.read = asyncio.Event()
        self.aborted = False

    async def deliver(self, _take: Take) -> None:
        """Wait for ever."""
        self.bystander.saw("read")
        self.read.set()
        await asyncio.Event().wait()

    def abort(self) -> None:
        """Drop it."""
        self.aborted = True


class FakeDialler:
    """Connects at once."""

    transparent = False
    compression = True

    def __init__(self, bystander: Bystander) -> None:
        self.bystander = bystander
        self.upstream = FakeUpstream(bystander)
        self.made = asyncio.Event()

    async def dial(self, _setup: bytes, _standby: None, _content: bytes, _wanted_by: float) -> Upstream:
        """Connect."""
        self.bystander.saw("dial")
        self.made.set()
        return cast("Upstream", self.upstream)


class FakeLease:
    """Never in doubt."""

    name = "conversations/c"
    in_doubt = False

    async def sure(self) -> bool:
        """There is no doubt."""
        return True


class Scene:
    """A conversation's link to a Gemini that takes everything, and a bystander."""

    def __init__(self) -> None:
        self.bystander = Bystander()
        self.dialler = FakeDialler(self.bystander)
        self.events: list[on.Event] = []
        self.link = UpstreamLink(
            resources.AgentConfig(model="models/any"),
            dialler=cast("Dialler", self.dialler),
            history=History(lambda _after: _nothing()),
            inputs=Inputs(0, 10.0),
            outbox=Outbox(1, 1000),
            post=self._post,
            clock=SystemClock(),
            lease=cast("Lease", FakeLease()),
        )

    def _post(self, event: on.Event) -> None:
        self.bystander.saw(type(event).__name__)
        self.events.append(event)

    @asynccontextmanager
    async def connecting(self) -> AsyncIterator[asyncio.Task[None]]:
        """Let it connect while the block runs."""
        others = asyncio.create_task(self.bystander.go_on())
        task = asyncio.create_task(self.link.connect(OPEN))
        try:
            yield task
        finally:
            await cancelled(task)
            await cancelled(others)


async def _nothing() -> AsyncIterator[Turn]:
    """No turns."""
    none: tuple[Turn, ...] = ()
    for turn in none:
        yield turn


async def test_others_have_their_turn_between_the_pieces() -> None:
    """To render the setup, to tell that the connection is ready, and to read it are turns of their own."""
    scene = Scene()
    async with scene.connecting(), asyncio.timeout(5):
        await scene.dialler.upstream.read.wait()
    at = scene.bystander.at
    assert 0 < at["dial"] < at["UpstreamReady"] < at["read"]


async def test_let_go_before_it_is_ready() -> None:
    """A conversation that ends while its connection is just made leaves none behind, and hears of none."""
    scene = Scene()
    async with scene.connecting() as task, asyncio.timeout(5):
        await scene.dialler.made.wait()
        assert not scene.link.is_open
        task.cancel()
        await asyncio.wait([task])
    assert scene.dialler.upstream.aborted
    assert not scene.events
    assert not scene.link.is_open

"""The upstream side of a conversation: at most one connection, dialled, fed, read to its end, and told of."""

import asyncio
import random
from collections.abc import Callable

import structlog

from filo.handles.v1 import resources_pb2 as resources
from services.common.clock import Clock
from services.common.errors import ServiceError
from services.common.lateness import Late
from services.relay.client.outbox import Outbox
from services.relay.core import effects as do
from services.relay.core import events as on
from services.relay.core.model import NOTHING_TOLD
from services.relay.lease import Lease
from services.relay.sockets import NO_CLOSE_FRAME
from services.relay.upstream import wire
from services.relay.upstream.connection import Dialler, Upstream, UpstreamLostError
from services.relay.upstream.history import History
from services.relay.upstream.inputs import Inputs, cancelled
from services.relay.upstream.meter import Meter
from services.relay.upstream.setup import setup
from services.relay.upstream.standby import Standby


class UpstreamLink:
    """Carries one conversation over one upstream connection after another.

    Args:
        agent: Its configuration, sent whole at every connection.
        dialler: Makes connections.
        history: Gives the transcript where there is no handle.
        inputs: What is sent.
        outbox: Where the agent's voice goes.
        post: Told what happens.
        clock: For the waits between dials.
        lease: Of the conversation; says whether anything may be sent.
        late: How late this process is.
    """

    def __init__(  # noqa: PLR0913 - what it joins
        self,
        agent: resources.AgentConfig,
        *,
        dialler: Dialler,
        history: History,
        inputs: Inputs,
        outbox: Outbox,
        post: Callable[[on.Event], None],
        clock: Clock,
        lease: Lease,
        late: Late = lambda _: 0.0,
    ) -> None:
        name = lease.name
        self._late = late
        self._agent = agent
        self._dialler = dialler
        self._inputs = inputs
        self._outbox = outbox
        self._post = post
        self._clock = clock
        self._lease = lease
        self._history = history
        self._told = NOTHING_TOLD
        self._open: Upstream | None = None
        self._standby: Standby | None = None
        self._heard_at = 0.0
        self._log = structlog.stdlib.get_logger("filo.relay").bind(room="relay", conversation=name)

    @property
    def is_open(self) -> bool:
        """Whether a connection is set up and not yet at its end."""
        return self._open is not None

    def silence(self) -> float:
        """Seconds in which nothing came from the connection, as far as this process would have noticed it."""
        passed = self._clock.monotonic() - self._heard_at
        return max(0.0, passed - self._late(passed))

    async def connect(self, effect: do.OpenUpstream) -> None:
        """Dial, then read the connection to its end: one task for its whole life. Cancelling drops it."""
        try:
            await self._clock.sleep(random.uniform(0, effect.wait_at_most))  # noqa: S311 - jitter
            if not await self._lease.sure():
                return
            upstream = await self._dial(effect)
        except UpstreamLostError as error:
            self._log.warning("upstream not opened", code=error.code, reason=error.reason, late=error.late)
            self._post(on.UpstreamClosed(error.code, error.reason, late=error.late))
            return
        except ServiceError as error:
            why = f"the store does not give the transcript: {error.detail}"
            self._post(on.UpstreamClosed(NO_CLOSE_FRAME, why))
            return
        await self._carry(upstream)
        code, reason = upstream.closed
        self._log.info("upstream closed", code=code, reason=reason)
        self._post(on.UpstreamClosed(code, reason))

    async def prepare(self, effect: do.PrepareUpstream) -> None:
        """Hold a connection in readiness for the next `connect`. Cancelling drops it."""
        self._standby = Standby(self._dialler, effect.wanted_by)
        tried = lambda stands: self._post(on.UpstreamPrepared(stands=stands))  # noqa: E731
        await asyncio.gather(self._standby.hold(tried), self._prepare_history())

    async def _prepare_history(self) -> None:
        try:
            await self._history.prepare()
        except ServiceError as error:
            self._log.warning("the history was not prepared", reason=error.detail)

    async def close(self) -> None:
        """Close what is open, and wait, bounded, until it is closed on both sides. `connect` reads on meanwhile."""
        if self._open is not None:
            await self._open.close()

    async def _dial(self, effect: do.OpenUpstream) -> Upstream:
        content, self._told = await self._history.content(effect)
        history = effect.handle is None and bool(content)
        transparent = self._dialler.transparent
        standby, self._standby = self._standby, None
        first = setup(
            self._agent,
            handle=effect.handle,
            history=history,
            transparent=transparent,
            compression=self._dialler.compression,
        )
        await _others()
        upstream = await self._dialler.dial(
            first,
            await standby.take(effect.wanted_by) if standby else None,
            wire.content(content, complete=history) if content else b"",
            effect.wanted_by,
        )
        self._inputs.connected(already=1 if content else 0, transparent=transparent)
        return upstream

    async def _carry(self, upstream: Upstream) -> None:
        feeding: asyncio.Task[None] | None = None
        try:
            await _others()
            self._open = upstream
            feeding = asyncio.create_task(self._inputs.feed(upstream, self._lease))
            self._post(on.UpstreamReady(self._told))
            await _others()
            await self._read(upstream)
        finally:
            self._open = None
            upstream.abort()
            await cancelled(feeding)

    async def _read(self, upstream: Upstream) -> None:
        reader, meter = wire.Reader(), Meter()

        def take(frame: bytes, _text: bool) -> bool:  # noqa: FBT001 - as a socket gives it
            self._heard_at = self._clock.monotonic()
            try:
                received = reader.read(frame, self._inputs.sent, self._inputs.consumed)
            except ValueError:
                self._log.warning("a message of the upstream was not understood", size=len(frame))
                return False
            for item in received:
                if isinstance(item, wire.AgentAudio):
                    meter.sounded(len(item.pcm))
                    self._outbox.play(item.pcm)
                elif not isinstance(item, wire.SetupComplete):
                    self._post(meter.see(item, self._inputs.spoken, self._inputs.quiet))
            return False

        await upstream.deliver(take)


async def _others() -> None:
    """Let the other conversations go on: a rotation is several pieces of work, and they need not wait for the whole."""
    await asyncio.sleep(0)

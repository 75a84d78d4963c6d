"""A conversation that this relay holds: the core's decisions, performed.

Everything happens in one event loop. `post` tells the core what happened and performs what it answers, in order and
without waiting; what takes time (a dial, a close, a write to the store) runs as a task of the conversation's group and
is posted when it is done. Audio passes beside: up through `inputs.Inputs`, down through `outbox.Outbox`.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import structlog

from filo.handles.v1 import resources_pb2 as resources
from services.common import logs, tracing
from services.relay.alarm import Alarm
from services.relay.checkpoints import StoreWriter
from services.relay.client import protocol, told
from services.relay.client.intake import Intake
from services.relay.client.outbox import Outbox
from services.relay.client.reception import Reception
from services.relay.client.renewal import TokenRenewal
from services.relay.client.session_tokens import Claims
from services.relay.client.speech import SpeechDetector
from services.relay.control.journal import Journal
from services.relay.core import effects as do
from services.relay.core import events as on
from services.relay.core import notices as tell
from services.relay.core.conversation import Conversation
from services.relay.heartbeat import Heartbeat
from services.relay.lease import Lease
from services.relay.metrics import yes_or_no
from services.relay.sockets import Socket
from services.relay.store import Attached
from services.relay.surroundings import Surroundings
from services.relay.tally import Tally
from services.relay.turn_trace import TurnTrace
from services.relay.upstream import wire
from services.relay.upstream.history import History
from services.relay.upstream.inputs import Inputs, cancelled
from services.relay.upstream.link import UpstreamLink


class LiveConversation:
    """The driver of one `core.conversation.Conversation`.

    Args:
        around: What it uses.
        attached: What the store gave.
        claims: What the client's session token said.
        test: The conversation is a test, by its creation or by its client's `testMode`.
    """

    def __init__(self, around: Surroundings, attached: Attached, claims: Claims, *, test: bool) -> None:
        self.name = attached.conversation.name
        self.test = test
        self.epoch = attached.epoch
        self.claims = claims
        self.started = asyncio.Event()
        self.finished = asyncio.Event()
        self.core = Conversation(attached.attachment, around.settings.policy, around.clock.monotonic())
        self.outbox = Outbox(attached.epoch, around.settings.outbox_bytes, around.metrics.outbox_dropped.inc)
        self.inputs = Inputs(
            attached.attachment.covered_seq, around.settings.replay_seconds, lambda: self.core.talk.heard_by_gemini
        )
        self._around = around
        self._instruction = attached.conversation.agent.system_instruction
        self._log = structlog.stdlib.get_logger("filo.relay").bind(
            room="relay", conversation=self.name, epoch=self.epoch
        )
        heartbeat = Heartbeat(self.name, self.epoch, around.store, around.clock, self.post, self._log)
        self.lease = Lease(self.name, heartbeat, attached.heartbeat_interval, around.clock)
        self._writer = StoreWriter(
            self.name, self.epoch, around.store, self.post, around.clock, around.metrics, around.late
        )
        self.journal = Journal(attached.epoch, around.clock)
        self._speech = SpeechDetector(marked=attached.conversation.agent.manual_activity)
        self._tally = self._tallied(attached)
        self._trace = self._traced()
        self._token = TokenRenewal(around.tokens, claims, around.clock)
        self.reception = self._received()
        self._upstream = self._linked(attached.conversation.agent)
        self._connection: asyncio.Task[None] | None = None
        self._preparing: asyncio.Task[None] | None = None
        self._group: asyncio.TaskGroup | None = None
        self._events: deque[on.Event] = deque()
        self._posting = False
        self._alarm = Alarm(around.clock, lambda: self.post(on.Tick(self._upstream.silence())))
        self._stopped = asyncio.Event()

    def _tallied(self, attached: Attached) -> Tally:
        return Tally(
            self._around.metrics,
            self.name.partition("/")[2],
            self.claims.mode,
            test=self.test,
            moved=not attached.attachment.new,
            window=attached.attachment.capability.window,
            ledger=attached.attachment.ledger,
            monotonic=self._around.clock.monotonic,
        )

    def _received(self) -> Reception:
        return Reception(
            self.outbox,
            lambda: Intake(self.inputs, self.outbox, self._speech, self.post, self._around.metrics),
            lease=self.lease,
            post=self.post,
            left=self._client_left,
        )

    def _linked(self, agent: resources.AgentConfig) -> UpstreamLink:
        around, name = self._around, self.name
        history = History(
            lambda after: around.store.turns(name, after), around.settings.policy.history_budget, around.ask
        )
        return UpstreamLink(
            agent,
            dialler=around.dialler,
            history=history,
            inputs=self.inputs,
            outbox=self.outbox,
            post=self.post,
            clock=around.clock,
            lease=self.lease,
            late=around.late,
        )

    def _traced(self) -> TurnTrace | None:
        if self._around.tracer is None:
            return None
        which: tracing.Attributes = {
            "filo.conversation": self.name,
            "filo.epoch": self.epoch,
            "filo.mode": self.claims.mode,
            "filo.test": self.test,
        }
        return TurnTrace(self._around.tracer, self._around.clock, which, self.core.talk.last)

    @property
    def over(self) -> bool:
        """Whether it takes no more clients."""
        return self._stopped.is_set()

    @property
    def speaking(self) -> bool:
        """Whether the client's voice is heard at this moment."""
        return self._speech.speaking

    async def run(self) -> None:
        """Hold the conversation until it is over here. Cancelling drops it without a word to the store."""
        self._be_here()
        self._log.info("opened", turns=self.core.talk.last, mode=self.claims.mode)
        self._tally.opened()
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                self.started.set()
                helpers = [group.create_task(self._alarm.keep()), group.create_task(self.lease.keep(self._renew_token))]
                writing = group.create_task(self._writer.run())
                await self._stopped.wait()
                self._writer.finish()
                await self._writer.finished_in_time(writing)
                if self._connection is not None:
                    await asyncio.wait([self._connection], timeout=self._around.settings.close_timeout + 1.0)
                for task in (*helpers, self._connection, self._preparing):
                    await cancelled(task)
        finally:
            self._stopped.set()
            self.finished.set()
            self.journal.close()
            self._tally.closed()
            if self._trace is not None:
                self._trace.closed()
            self.reception.close()
            joins = self.reception.joins
            self._log.info("closed", turns=self.core.talk.last, rotations=self.core.rotations, joins=joins)

    def post(self, event: on.Event) -> None:
        """Tell the core what happened, and perform what it decides."""
        self._events.append(event)
        if self._posting:
            return
        self._posting = True
        try:
            while self._events:
                self._take(self._events.popleft())
        finally:
            self._posting = False
        self._alarm.set(self.core.deadline)

    def _take(self, event: on.Event) -> None:
        trace = self._trace
        self._tally.saw(event)
        if trace is not None:
            trace.saw(event)
        for effect in self.core.handle(event, self._around.clock.monotonic()):
            self._tally.did(effect)
            if trace is not None:
                trace.did(effect)
            self._PERFORM[type(effect)](self, effect)
        if trace is not None:
            trace.settled(self.core.talk.last)

    def _be_here(self) -> None:
        """What the running task and those that it starts log and call is about this conversation."""
        logs.conversation(self.name)
        if self._trace is not None:
            tracing.enter(self._trace.where)

    # The client.

    async def attend(self, socket: Socket, request: protocol.Request, missed: list[resources.Turn]) -> None:
        """Serve one client's socket until it ends.

        Args:
            socket: The WebSocket, its client proven to be the owner.
            request: What the client asks for.
            missed: Turns that were completed in an earlier epoch and not seen by the client.

        Raises:
            ServiceError: MALFORMED_MESSAGE: the client sent what is not this protocol.
        """
        self._be_here()
        await self.reception.attend(socket, request, [told.missed(turn) for turn in missed])

    def _client_left(self, close_code: int | None) -> None:
        self._tally.client_gone(close_code)
        self.journal.client_left()

    def _welcome(self, effect: do.Welcome) -> None:
        if not self.reception.occupied:
            return
        kind = effect.continuity.value if effect.continuity else "started"
        self._around.metrics.joins.labels(kind, yes_or_no(self.test)).inc()
        self._log.info("resumed" if effect.continuity else "started", continuity=kind)
        self.journal.client_joined(effect.continuity)
        self.reception.welcome(
            told.greeting(
                conversation=self.name,
                mode=self.claims.mode,
                turn=self.core.talk.last,
                next_seq=self.inputs.last_seq + 1,
                covered=self.core.coverage.covered_seq,
                rotation=self.core.rotation_mode,
                continuity=effect.continuity,
            )
        )

    def _tell(self, effect: do.Tell) -> None:
        notice = effect.notice
        message = told.render(notice)
        if isinstance(notice, tell.HandleRenewed):
            message["sessionToken"] = self._token.token()
        n = self.outbox.tell(message)
        if isinstance(notice, tell.TurnEnded) and not notice.stored:
            self._writer.told_as[notice.turn] = n
        if isinstance(notice, tell.Rotated):
            self._log.info(
                "rotated", reason=notice.reason, continuity=notice.continuity, gap_ms=round(notice.gap * 1000)
            )
        self._around.metrics.observe(notice, test=self.test)
        self.journal.observe(notice)

    def _tell_watchers(self, effect: do.TellWatchers) -> None:
        self._around.metrics.observe(effect.notice, test=self.test)
        self.journal.observe(effect.notice)

    def _close_client(self, effect: do.CloseClient) -> None:
        code = self.reception.dismiss(effect.why, effect.detail)
        if code is not None:
            self._around.metrics.refusals.labels(str(code)).inc()

    # The upstream connection.

    def _open_upstream(self, effect: do.OpenUpstream) -> None:
        self._connection = self._spawn(self._upstream.connect(effect))

    def _prepare_upstream(self, effect: do.PrepareUpstream) -> None:
        self._drop_standby()
        self._preparing = self._spawn(self._upstream.prepare(effect))

    def _drop_standby(self) -> None:
        if self._preparing is not None:
            self._preparing.cancel()

    def _close_upstream(self, _effect: do.CloseUpstream) -> None:
        self._spawn(self._upstream.close())

    def _answer_tool(self, effect: do.AnswerTool) -> None:
        self.inputs.send_control(wire.tool_response(effect.id, effect.name, effect.result))

    def _advise(self, effect: do.Advise) -> None:
        self.inputs.send_control(wire.advice(effect.channel, effect.text, self._instruction), advice=bool(effect.text))

    # The rest.

    def _forget(self, effect: do.Forget) -> None:
        """The turn is over: its input need not be kept, and what is said next is another one's."""
        self.inputs.forget(effect.through)
        self._speech.turn_ended()

    def _checkpoint(self, effect: do.Checkpoint) -> None:
        for turn in effect.turns:  # what the client is told next, at the earliest, is that the turn is over
            self._writer.told_as.setdefault(turn.number, self.outbox.last + 1)
        self._writer.put(effect)

    def _write(self, effect: do.InvalidateHandle | do.EndConversation | do.Release) -> None:
        self._writer.put(effect)

    def _stop(self, _effect: do.Stop) -> None:
        if self._connection is not None and not self._upstream.is_open:
            self._connection.cancel()  # a dial that nobody waits for any more
        self.reception.closed = True
        self._stopped.set()

    def _spawn(self, work: Any) -> asyncio.Task[None]:  # noqa: ANN401 - any coroutine
        if self._group is None:
            raise RuntimeError("the conversation is not running")
        task: asyncio.Task[None] = self._group.create_task(work)
        return task

    def _renew_token(self) -> None:
        """Tell a client whose conversation is silent a fresh token before the last one expires."""
        if self._token.due and self.core.coverage.renewal is not None:
            self._tell(do.Tell(self.core.coverage.renewal))

    _PERFORM: ClassVar[Mapping[type[Any], Callable[[Any, Any], None]]] = {
        do.OpenUpstream: _open_upstream,
        do.PrepareUpstream: _prepare_upstream,
        do.CloseUpstream: _close_upstream,
        do.StartSending: lambda self, effect: self.inputs.start(effect.after, heard=effect.heard),
        do.StopSending: lambda self, _: self.inputs.stop(),
        do.Forget: _forget,
        do.Advise: _advise,
        do.AnswerTool: _answer_tool,
        do.Welcome: _welcome,
        do.Tell: _tell,
        do.TellWatchers: _tell_watchers,
        do.Checkpoint: _checkpoint,
        do.InvalidateHandle: _write,
        do.CloseClient: _close_client,
        do.EndConversation: _write,
        do.Release: _write,
        do.Stop: _stop,
    }

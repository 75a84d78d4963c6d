"""Clients that behave as relays do, at random: attach, checkpoint, heartbeat, vanish; others look at handles."""

import asyncio
import random
import uuid
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from itertools import count
from time import monotonic
from typing import Any, TypeVar

from filo.handles.v1 import handles_pb2 as pb
from filo.handles.v1.resources_pb2 import MODE_SALES_AGENT, Conversation, Turn, UpstreamHandle
from services.common.errors import Reason, ServiceError
from tests.robustness.handles.cluster import Replica
from tests.robustness.handles.model import Call, Event, History, Outcome, Stored
from tests.support.handles import AGENT, HOLDER, OWNER

T = TypeVar("T")

_SURE = frozenset(
    {Reason.EPOCH_FENCED, Reason.CONVERSATION_ENDED, Reason.CONVERSATION_NOT_FOUND, Reason.INVALID_ARGUMENT}
)
"""Refusals after which nothing was written; whatever else goes wrong may have happened or not."""

_DEADLINE = 8.0


class Traffic:
    """Random clients of some conversations, and what they saw.

    Args:
        replicas: The servers; each call goes to any of them.
        history: Where every call is noted.
        seed: Makes the choices repeatable, as far as the servers' timing is.
    """

    def __init__(self, replicas: Sequence[Replica], history: History, seed: int) -> None:
        self._replicas = replicas
        self._history = history
        self._random = random.Random(seed)  # noqa: S311 - choices, not secrets
        self._numbers = count(1)
        self._handles: list[tuple[str, str]] = []
        self.conversations: list[str] = []
        self.unforeseen: list[str] = []

    async def create(self, number: int) -> None:
        """Create so many conversations."""
        for _ in range(number):
            await self._create()

    async def relay(self, stop: asyncio.Event) -> None:
        """Hold one conversation after the other, and let go of each without a word."""
        while not stop.is_set():
            conversation = self._random.choice(self.conversations)
            attached = await self._attach(conversation)
            if attached is not None:
                await self._hold(conversation, attached, stop)
            await self._pause(0.1)

    async def guest(self, stop: asyncio.Event) -> None:
        """Present handles: of this conversation, of another, old and new."""
        while not stop.is_set():
            if self._handles:
                owner, handle = self._random.choice(self._handles[-200:])
                named = owner if self._random.random() < 0.8 else self._random.choice(self.conversations)
                await self._validate(named, handle, own=named == owner)
            await self._pause(0.05)

    async def reaper(self, stop: asyncio.Event) -> None:
        """End a conversation now and then, and begin another."""
        while not stop.is_set():
            await self._pause(1.0, at_least=0.3)
            conversation = self.conversations.pop(self._random.randrange(len(self.conversations)))
            await self._end(conversation)
            await self._create()

    async def transcript(self, conversation: str) -> list[Stored]:
        """What a conversation holds."""
        request = pb.StreamTurnsRequest(name=conversation)
        answers = [answer.turn async for answer in self._replicas[0].stub.StreamTurns(request)]
        return [Stored(turn.number, turn.agent_text, turn.epoch) for turn in answers]

    async def _create(self) -> None:
        request = pb.CreateConversationRequest(
            request_id=str(uuid.uuid4()), mode=MODE_SALES_AGENT, owner=OWNER, agent=AGENT
        )
        while True:
            try:
                created = await self._stub().CreateConversation(request, timeout=_DEADLINE)
            except ServiceError:
                await self._pause(0.1)
                continue
            self.conversations.append(created.conversation.name)
            return

    async def _attach(self, conversation: str) -> pb.AttachConversationResponse | None:
        request = pb.AttachConversationRequest(name=conversation, mode=MODE_SALES_AGENT, owner=OWNER, holder=HOLDER)
        event, answer = await self._call(
            Call.ATTACH, conversation, self._stub().AttachConversation(request, timeout=_DEADLINE)
        )
        if answer is not None:
            secret = answer.upstream_handle.secret
            about: Conversation = answer.conversation
            event = replace(event, epoch=about.epoch, turn=about.turn_count, secret=secret)
        self._history.events.append(event)
        return answer

    async def _hold(self, conversation: str, attached: pb.AttachConversationResponse, stop: asyncio.Event) -> None:
        epoch, turn = attached.conversation.epoch, attached.conversation.turn_count
        for _ in range(self._random.randint(1, 8)):
            if stop.is_set():
                return
            if self._random.random() < 0.2:
                outcome = await self._heartbeat(conversation, epoch)
            else:
                turn += 1
                outcome = await self._checkpoint(conversation, epoch, turn)
            if outcome is not Outcome.DONE:
                return
            if self._random.random() < 0.1:
                await self._pause(0.8)

    async def _checkpoint(self, conversation: str, epoch: int, number: int) -> Outcome:
        """Store a turn; where the answer is lost, ask again as a relay does, for a while."""
        text, secret = f"turn {next(self._numbers)}", f"secret {next(self._numbers)}"
        turn = Turn(number=number, agent_text=text, epoch=epoch)
        request = pb.CheckpointRequest(
            name=conversation,
            epoch=epoch,
            turns=[turn],
            upstream_handle=UpstreamHandle(secret=secret, covers_turn=number),
        )
        for _ in range(3):
            event, answer = await self._call(
                Call.CHECKPOINT, conversation, self._stub().Checkpoint(request, timeout=_DEADLINE)
            )
            handle = answer.resume_handle if answer is not None else ""
            self._history.events.append(
                replace(event, epoch=epoch, turn=number, text=text, secret=secret, handle=handle)
            )
            if handle:
                self._handles.append((conversation, handle))
            if event.outcome is not Outcome.UNKNOWN:
                return event.outcome
            await self._pause(0.05)
        return Outcome.UNKNOWN

    async def _heartbeat(self, conversation: str, epoch: int) -> Outcome:
        request = pb.HeartbeatConversationRequest(name=conversation, epoch=epoch)
        call = self._stub().HeartbeatConversation(request, timeout=_DEADLINE)
        event, _ = await self._call(Call.HEARTBEAT, conversation, call)
        self._history.events.append(replace(event, epoch=epoch))
        return event.outcome

    async def _validate(self, conversation: str, handle: str, *, own: bool) -> None:
        request = pb.ValidateHandleRequest(name=conversation, mode=MODE_SALES_AGENT, owner=OWNER, resume_handle=handle)
        call = self._stub().ValidateHandle(request, timeout=_DEADLINE)
        event, answer = await self._call(Call.VALIDATE, conversation, call)
        accepted = answer is not None and answer.result != pb.HANDLE_RESULT_INVALID
        self._history.events.append(replace(event, handle=handle, accepted=accepted, own=own))

    async def _end(self, conversation: str) -> None:
        """Take a conversation and end it, in spite of relays that take it back."""
        for _ in range(20):
            attached = await self._attach(conversation)
            if attached is None:
                await self._pause(0.1)
                continue
            request = pb.EndConversationRequest(name=conversation, epoch=attached.conversation.epoch)
            call = self._stub().EndConversation(request, timeout=_DEADLINE)
            event, _ = await self._call(Call.END, conversation, call)
            self._history.events.append(replace(event, epoch=attached.conversation.epoch))
            if event.outcome is Outcome.DONE:
                return

    async def _pause(self, at_most: float, *, at_least: float = 0.0) -> None:
        """Let a random moment pass, in seconds: clients think, and come back to a server that was killed.

        Real time is what the test is about: servers judge by their own clocks, and handles expire in silence.
        """
        await asyncio.sleep(self._random.uniform(at_least, at_most))

    async def _call(self, call: Call, conversation: str, sent: Awaitable[T]) -> tuple[Event, T | None]:
        start, answer = monotonic(), None
        try:
            answer = await sent
            outcome = Outcome.DONE
        except ServiceError as error:
            outcome = Outcome.REFUSED if error.reason in _SURE else Outcome.UNKNOWN
            if error.reason in {Reason.INVALID_ARGUMENT, Reason.INTERNAL}:
                self.unforeseen.append(f"{call}: {error.reason}: {error}")
        event = Event(call=call, conversation=conversation, start=start, end=monotonic(), outcome=outcome)
        return event, answer

    def _stub(self) -> Any:  # noqa: ANN401 - gRPC's
        return self._random.choice(self._replicas).stub

"""The conversations that this relay holds."""

import asyncio
import hashlib
import hmac
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from filo.handles.v1 import handles_pb2 as pb
from filo.handles.v1 import resources_pb2 as resources
from services.common import logs
from services.common.errors import Reason, ServiceError
from services.relay.client import protocol
from services.relay.client.session_tokens import Claims
from services.relay.config import DrainPolicy
from services.relay.core import events as on
from services.relay.live import LiveConversation
from services.relay.metrics import HANDLE_RESULTS
from services.relay.surroundings import Surroundings
from services.relay.takeover import Takeover

_RECENT: Final = 20
"""Turns that a client may have missed: while it is away at most the one in progress is completed."""

_COME_AGAIN: Final = 5.0
"""Seconds after which a relay that was full may have room again, or a load balancer knows of it."""


class Registry:
    """Attaches conversations, and finds the ones that are attached.

    Args:
        around: What a conversation uses.
        group: Where conversations run.
        takeover: Asks another replica to give a conversation back.

    Attributes:
        draining: Nobody is let in any more.
    """

    def __init__(self, around: Surroundings, group: asyncio.TaskGroup, takeover: Takeover) -> None:
        self._around = around
        self._group = group
        self._takeover = takeover
        self._live: dict[str, LiveConversation] = {}
        self._owners: dict[str, bytes] = {}
        self._tasks: dict[LiveConversation, asyncio.Task[None]] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._coming = Counter[str]()
        self.draining = False
        self._log = logs.get("relay")

    def replay_bytes(self) -> int:
        """What the replay buffers of all conversations hold; may be asked from another thread."""
        return sum(live.inputs.weight for live in list(self._live.values()))

    def outbox_bytes(self) -> int:
        """What is kept for the clients of all conversations; may be asked from another thread."""
        return sum(live.outbox.weight for live in list(self._live.values()))

    @property
    def full(self) -> bool:
        """Whether no further conversation is let in: so many are held, or about to be."""
        held = {name for name, live in self._live.items() if not live.over}
        return len(held | self._coming.keys()) >= self._around.settings.conversations

    def find(self, name: str) -> LiveConversation | None:
        """The conversation, if it is held here and not over."""
        live = self._live.get(name)
        return live if live is not None and not live.over else None

    async def held(self, name: str) -> LiveConversation | None:
        """The conversation, if it is held here; while it is being attached, that is waited for. Safe to cancel."""
        lock = self._locks.get(name)
        if lock is not None:
            async with lock:
                pass
        return self.find(name)

    async def settled(self, name: str) -> None:
        """Wait, if the conversation is being let go of, until the store has the last of it; bounded by that itself."""
        live = self._live.get(name)
        if live is not None and live.over:
            await live.finished.wait()

    async def join(
        self, claims: Claims, request: protocol.Request, here: Callable[[], bool]
    ) -> tuple[LiveConversation, list[resources.Turn]]:
        """Bring a client to its conversation: the one that is held here, or by attaching it.

        Args:
            claims: What its session token said.
            request: What it asks for.
            here: Whether its socket is still open.

        Returns:
            The conversation, and the turns of earlier epochs that the client has not seen.

        Raises:
            ServiceError: The client may not, or the store does not answer.
            LeftError: It has gone before the conversation was taken for it.
        """
        if self.draining:
            raise _going_away()
        owner = _owner(claims, request)
        name = claims.conversation
        if name not in self._live and name not in self._coming and self.full:
            most = self._around.settings.conversations
            detail = f"this relay holds as many conversations as it may, {most}; come again in {_COME_AGAIN:g} s"
            raise ServiceError(Reason.RELAY_FULL, detail, retry_after=_COME_AGAIN)
        with self._place(name):
            async with self._locks.setdefault(name, asyncio.Lock()):
                live = await self._held(claims, request, owner) or await self._attach(claims, request, owner, here)
        return live, await self._missed(live, request)

    @contextmanager
    def _place(self, name: str) -> Iterator[None]:
        """Keep a place for a conversation while a client is brought to it: others come meanwhile."""
        self._coming[name] += 1
        try:
            yield
        finally:
            self._coming[name] -= 1
            if not self._coming[name]:
                del self._coming[name]
                if name not in self._live:
                    self._locks.pop(name, None)

    async def release(self, name: str, mode: resources.Mode.ValueType, owner: resources.Owner) -> bool:
        """Give a conversation back, for another relay to take; returns when the store has the last of it.

        Returns:
            Whether it was held here.

        Raises:
            ServiceError: It is held here, but is not this owner's.
        """
        live = self._live.get(name)
        if live is None:
            return False
        if not live.over:
            self._admit(live, protocol.MODE_NAMES.get(mode, ""), owner)
            live.post(on.TakenOver())
        await live.finished.wait()
        return True

    async def drain(self) -> None:
        """Take no more conversations, and give every one back, one after another, each at a good moment."""
        self.draining = True
        policy = self._around.settings.drain
        held = list(self._live.values())
        self._log.info("draining", conversations=len(held), seconds=policy.timeout)
        async with asyncio.TaskGroup() as group:
            for live in held:
                group.create_task(self._give_back(live, policy))
        for task in self._tasks.values():
            task.cancel()

    async def _give_back(self, live: LiveConversation, policy: DrainPolicy) -> None:
        pause = random.uniform(0, policy.spread)  # noqa: S311 - so that the other replicas are not stormed
        try:
            async with asyncio.timeout(policy.timeout):
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await live.finished.wait()
                live.post(on.DrainAsked(max(0.0, policy.latest - pause)))
                await live.finished.wait()
        except TimeoutError:
            self._log.error("a conversation was not given back in time", conversation=live.name)

    async def _held(self, claims: Claims, request: protocol.Request, owner: resources.Owner) -> LiveConversation | None:
        live = self._live.get(claims.conversation)
        if live is None:
            return None
        if live.over:
            await live.finished.wait()
            return None
        self._admit(live, request.mode, owner)
        await live.lease.confirm()
        if live.over:  # another relay has it
            await live.finished.wait()
            return None
        if request.resume_handle:
            await self._validate(live.name, request, owner)
        return live

    def _admit(self, live: LiveConversation, mode: str, owner: resources.Owner) -> None:
        if mode != live.claims.mode:
            raise ServiceError(Reason.MODE_MISMATCH, "the mode is not this conversation's")
        if not hmac.compare_digest(_digest(owner), self._owners[live.name]):
            raise ServiceError(Reason.OWNER_MISMATCH, "the share token is not this conversation's")

    async def _validate(self, name: str, request: protocol.Request, owner: resources.Owner) -> None:
        """Count what a handle is that was presented to a conversation which needs none: it is live."""
        try:
            result = await self._around.store.validate(
                name, protocol.MODES[request.mode], owner, request.resume_handle or ""
            )
        except ServiceError as error:
            self._log.warning("a resume handle was not checked: the store does not answer", reason=error.reason.value)
            return
        self._count(result)

    async def _attach(
        self, claims: Claims, request: protocol.Request, owner: resources.Owner, here: Callable[[], bool]
    ) -> LiveConversation:
        mode = protocol.MODES[request.mode]
        handle, test = request.resume_handle, request.test
        await self._takeover.make_way(claims.conversation, mode, owner, here)
        attached = await self._around.store.attach(claims.conversation, mode, owner, handle, test=test)
        self._count(attached.handle_result)
        if self.draining:  # it began meanwhile, and knows nothing of this one
            await self._around.store.release(claims.conversation, attached.epoch)
            raise _going_away()
        live = LiveConversation(self._around, attached, claims, test=attached.conversation.test)
        self._live[live.name] = live
        self._owners[live.name] = _digest(owner)
        self._tasks[live] = self._group.create_task(self._run(live))
        await live.started.wait()
        return live

    async def _run(self, live: LiveConversation) -> None:
        try:
            await live.run()
        except Exception:  # noqa: BLE001 - one conversation's defect must not end the others
            self._log.exception("a conversation failed", conversation=live.name)
        finally:
            del self._tasks[live]
            if self._live.get(live.name) is live:
                del self._live[live.name], self._owners[live.name]
                if not self._locks[live.name].locked():
                    del self._locks[live.name]

    async def _missed(self, live: LiveConversation, request: protocol.Request) -> list[resources.Turn]:
        """What the client was not told to be complete: by the newest turn that it knows of, or by what it has got."""
        seen, known = request.last_seen, request.last_turn
        if seen is None or seen.epoch >= live.epoch:
            return []
        last = live.core.talk.last
        after = max(min(known or 0, last), last - _RECENT, 0)
        return [
            turn
            async for turn in self._around.store.stored_turns(live.name, after)
            if turn.epoch < live.epoch
            and (known is not None or (seen.epoch, seen.n) < (turn.epoch, turn.message_number))
        ]

    def _count(self, result: pb.HandleResult.ValueType) -> None:
        if result in HANDLE_RESULTS:
            self._around.metrics.resume_handles.labels(HANDLE_RESULTS[result]).inc()


def _owner(claims: Claims, request: protocol.Request) -> resources.Owner:
    """Who the client is: by mode, what its token says or the share token it brings (R2.2).

    Raises:
        ServiceError: MODE_MISMATCH: the token is for another mode; OWNER_MISMATCH: there is no share token.
    """
    if claims.mode != request.mode:
        raise ServiceError(Reason.MODE_MISMATCH, "the mode is not this conversation's")
    if request.mode not in protocol.SHARED_MODES:
        return resources.Owner(user_id=claims.user_id or "")
    if not request.share_token:
        raise ServiceError(Reason.OWNER_MISMATCH, "the share token is missing")
    return resources.Owner(share_token=request.share_token)


def _going_away() -> ServiceError:
    return ServiceError(Reason.SERVICE_UNAVAILABLE, "this relay is going away", retry_after=1.0)


def _digest(owner: resources.Owner) -> bytes:
    """Of who it is alone: a newer replica may send fields that are not known here."""
    kind = owner.WhichOneof("owner")
    return hashlib.sha256(f"{kind} {getattr(owner, kind) if kind else ''}".encode()).digest()

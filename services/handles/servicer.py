"""The gRPC face: check the request, decide through the store, render the answer.

What each RPC promises is said in ``protos/filo/handles/v1/handles.proto``.
"""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Final

from typing_extensions import override

from filo.handles.v1 import handles_pb2 as pb
from filo.handles.v1 import handles_pb2_grpc, resources_pb2
from services.common import logs
from services.common.clock import Clock
from services.handles import decisions, limits, policy, render
from services.handles.decisions import Attach, Checkpoint, Stored
from services.handles.digests import Digests, mint_conversation_id, mint_resume_handle
from services.handles.feedback import rules as feedback
from services.handles.metrics import Metrics
from services.handles.policy import Redemption, Rules
from services.handles.records import Conversation, NewConversation, Turn
from services.handles.store import Store

_PAGE: Final = 32
"""Turns read at once; between two pages a stream holds neither a connection nor memory."""


class HandlesServicer(handles_pb2_grpc.HandlesServiceServicer):
    """Answers HandlesService.

    Args:
        store: Where everything is.
        digests: Turns secrets into what is stored.
        rules: The rules that are settings.
        clock: Judges what has expired.
        metrics: Counts what happens.
    """

    def __init__(self, store: Store, digests: Digests, rules: Rules, clock: Clock, metrics: Metrics) -> None:
        self._store = store
        self._digests = digests
        self._rules = rules
        self._clock = clock
        self._metrics = metrics
        self._log = logs.get("handles")

    @override
    async def CreateConversation(
        self, request: pb.CreateConversationRequest, context: object
    ) -> pb.CreateConversationResponse:
        with self._metrics.call("CreateConversation") as call:
            new = self._new_conversation(request)
            created = await self._store.create(new)
            policy.same_request(created.request_digest, new.request_digest)
            record = created.conversation
            call.result = "created" if record.id == new.conversation.id else "repeated"
            if call.result == "created":
                self._log.info("created", conversation=record.name, owner=str(record.owner), test=record.test)
            return pb.CreateConversationResponse(conversation=render.conversation(record, new.agent))

    def _new_conversation(self, request: pb.CreateConversationRequest) -> NewConversation:
        request_id = limits.request_id(request.request_id)
        mode = limits.mode(request.mode)
        owner = self._digests.owner(limits.owner_created(request.owner, mode))
        agent = limits.agent(request.agent).SerializeToString()
        asked = pb.CreateConversationRequest(
            mode=mode, owner=request.owner, agent=request.agent, test=request.test
        ).SerializeToString(deterministic=True)
        now = self._clock.now()
        record = Conversation(
            id=mint_conversation_id(), mode=mode, owner=owner, test=request.test, created_at=now, seen_at=now
        )
        return NewConversation(record, request_id, self._digests.request(asked), agent)

    @override
    async def GetConversation(self, request: pb.GetConversationRequest, context: object) -> pb.GetConversationResponse:
        with self._metrics.call("GetConversation"):
            record = policy.existing(await self._store.look(limits.conversation_id(request.name)))
            held = policy.held(record, self._clock.now())
            return pb.GetConversationResponse(
                conversation=render.conversation(record, await self._store.agent(record.id)),
                ledger=render.ledger(record),
                attached=held,
                holder=record.holder if held else "",
            )

    @override
    async def AttachConversation(
        self, request: pb.AttachConversationRequest, context: object
    ) -> pb.AttachConversationResponse:
        with self._metrics.call("AttachConversation") as call:
            conversation_id = limits.conversation_id(request.name)
            ask = Attach(
                mode=limits.mode(request.mode),
                owner=self._digests.owner(limits.owner_presented(request.owner)),
                holder=limits.holder(request.holder),
                presented=bool(request.resume_handle),
                test=request.test,
            )
            decide = decisions.attach(ask, self._clock.now(), self._rules)
            digest = self._digests.resume_handle(request.resume_handle)
            answer = await self._store.change(conversation_id, decide, digest)
            call.result = "taken_over" if answer.previous_holder else "attached"
            log = self._log.bind(conversation=request.name, epoch=answer.conversation.epoch)
            log.info("attached", holder=ask.holder, previous=answer.previous_holder)
            if answer.upstream is not None:
                self._metrics.handle_age.observe((self._clock.now() - answer.upstream.created_at).total_seconds())
            if answer.redemption is not None:
                self._metrics.redemptions.labels(answer.redemption).inc()
                if policy.OUTSIDE[answer.redemption] == pb.HANDLE_RESULT_INVALID:
                    shown = logs.fingerprint(request.resume_handle)
                    log.warning("resume handle ignored", result=answer.redemption.value, fingerprint=shown)
            agent = await self._store.agent(conversation_id)
            at_hand = await self._store.feedback_at_hand(conversation_id)  # later ones are told to us as the holder
            return render.attached(answer, agent, self._rules.heartbeat, at_hand, self._clock.now())

    @override
    async def HeartbeatConversation(
        self, request: pb.HeartbeatConversationRequest, context: object
    ) -> pb.HeartbeatConversationResponse:
        with self._metrics.call("HeartbeatConversation"):
            conversation_id = limits.conversation_id(request.name)
            decide = decisions.heartbeat(limits.epoch(request.epoch), self._clock.now(), self._rules)
            await self._store.change(conversation_id, decide)
            return pb.HeartbeatConversationResponse()

    @override
    async def Checkpoint(self, request: pb.CheckpointRequest, context: object) -> pb.CheckpointResponse:
        with self._metrics.call("Checkpoint") as call:
            conversation_id = limits.conversation_id(request.name)
            resume_handle = mint_resume_handle() if request.HasField("upstream_handle") else None
            now = self._clock.now()
            ask = _checkpoint(request, self._digests.resume_handle(resume_handle) if resume_handle else None, now)
            decide = decisions.checkpoint(ask, now, self._rules)
            answer = await self._store.change(conversation_id, decide)
            call.result = "repeated" if ask.turns and not answer.new_turns else "stored"
            self._note_checkpoint(answer, resume_handle)
            if ask.invalidate:
                self._note_invalidation(request.name, request.epoch, request.invalidate_upstream_handle)
            return render.checkpointed(answer, resume_handle)

    def _note_invalidation(self, name: str, epoch: int, reason: str) -> None:
        why = reason[: limits.LIMITS["reason"].most]  # only logged: no reason to keep a dead handle
        self._log.info("upstream handle deleted", conversation=name, epoch=epoch, reason=why)

    def _note_checkpoint(self, answer: Stored, resume_handle: str | None) -> None:
        self._metrics.turns.inc(answer.new_turns)
        if logs.debugging("handles"):
            self._log.debug(
                "checkpoint",
                conversation=answer.conversation.name,
                epoch=answer.conversation.epoch,
                turn=answer.conversation.turn_count,
                resume_handle_fingerprint=logs.fingerprint(resume_handle) if resume_handle else None,
            )

    @override
    async def InvalidateUpstreamHandle(
        self, request: pb.InvalidateUpstreamHandleRequest, context: object
    ) -> pb.InvalidateUpstreamHandleResponse:
        with self._metrics.call("InvalidateUpstreamHandle"):
            conversation_id = limits.conversation_id(request.name)
            await self._store.change(conversation_id, decisions.invalidate(limits.epoch(request.epoch)))
            self._note_invalidation(request.name, request.epoch, request.reason)
            return pb.InvalidateUpstreamHandleResponse()

    @override
    async def ValidateHandle(self, request: pb.ValidateHandleRequest, context: object) -> pb.ValidateHandleResponse:
        with self._metrics.call("ValidateHandle"):
            conversation_id = limits.conversation_id(request.name)
            mode = limits.mode(request.mode)
            owner = self._digests.owner(limits.owner_presented(request.owner))
            digest = self._digests.resume_handle(request.resume_handle)
            view = await self._store.glance(conversation_id, digest)
            redemption: Redemption = policy.judge(view, mode, owner, self._clock.now(), self._rules)
            self._metrics.validations.labels(redemption).inc()
            return pb.ValidateHandleResponse(result=render.handle_result(redemption))

    @override
    async def AddFeedback(self, request: pb.AddFeedbackRequest, context: object) -> pb.AddFeedbackResponse:
        with self._metrics.call("AddFeedback") as call:
            conversation_id = limits.conversation_id(request.name)
            ask = feedback.Ask(
                text=limits.feedback_text(request.text),
                time_to_live=limits.time_to_live(request.time_to_live) if request.HasField("time_to_live") else None,
                request_id=limits.request_id(request.request_id),
                request_digest=self._digests.request(_asked(request)),
            )
            now = self._clock.now()
            answer = await self._store.add_feedback(conversation_id, ask.request_id, feedback.add(ask, now))
            call.result = "added" if answer.new else "repeated"
            self._log.debug(
                "feedback", conversation=request.name, feedback=answer.feedback.number, characters=len(ask.text)
            )
            return render.added(answer, now)

    @override
    async def ListFeedback(self, request: pb.ListFeedbackRequest, context: object) -> pb.ListFeedbackResponse:
        with self._metrics.call("ListFeedback"):
            conversation_id = limits.conversation_id(request.name)
            size, before = limits.page(request.page_size, request.page_token)
            policy.existing(await self._store.look(conversation_id))
            page = await self._store.feedback(conversation_id, before, size)
            return render.listed(page, size, self._clock.now())

    @override
    async def StreamTurns(
        self, request: pb.StreamTurnsRequest, context: object
    ) -> AsyncIterator[pb.StreamTurnsResponse]:
        with self._metrics.call("StreamTurns"):
            conversation_id = limits.conversation_id(request.name)
            after = limits.after_turn(request.after_turn)
            last = policy.existing(await self._store.look(conversation_id)).turn_count
            while after < last:
                page = await self._store.turns(conversation_id, after, _PAGE)
                if not page or page[0].number != after + 1:  # erased meanwhile: a part is no transcript
                    raise policy.not_found()
                for turn in page:
                    yield pb.StreamTurnsResponse(turn=resources_pb2.Turn.FromString(turn.body))
                after = page[-1].number

    @override
    async def ReleaseConversation(
        self, request: pb.ReleaseConversationRequest, context: object
    ) -> pb.ReleaseConversationResponse:
        with self._metrics.call("ReleaseConversation"):
            conversation_id = limits.conversation_id(request.name)
            decide = decisions.release(limits.epoch(request.epoch), self._clock.now(), self._rules)
            await self._store.change(conversation_id, decide)
            self._log.info("released", conversation=request.name, epoch=request.epoch)
            return pb.ReleaseConversationResponse()

    @override
    async def EndConversation(self, request: pb.EndConversationRequest, context: object) -> pb.EndConversationResponse:
        with self._metrics.call("EndConversation"):
            conversation_id = limits.conversation_id(request.name)
            epoch, reason = limits.epoch(request.epoch, lowest=0), limits.reason(request.reason)
            record = await self._store.change(conversation_id, decisions.end(epoch, reason, self._clock.now()))
            self._log.info("ended", conversation=request.name, epoch=epoch, turns=record.turn_count)
            return pb.EndConversationResponse(
                conversation=render.conversation(record, await self._store.agent(conversation_id))
            )

    @override
    async def DeleteConversation(
        self, request: pb.DeleteConversationRequest, context: object
    ) -> pb.DeleteConversationResponse:
        with self._metrics.call("DeleteConversation"):
            conversation_id = limits.conversation_id(request.name)
            if not await self._store.erase(conversation_id):
                raise policy.not_found()
            self._metrics.deletions.labels("asked").inc()
            self._log.info("deleted", conversation=request.name)
            return pb.DeleteConversationResponse()


def _asked(request: pb.AddFeedbackRequest) -> bytes:
    """What makes two requests the same."""
    same = pb.AddFeedbackRequest(
        text=request.text, time_to_live=request.time_to_live if request.HasField("time_to_live") else None
    )
    return same.SerializeToString(deterministic=True)


def _checkpoint(request: pb.CheckpointRequest, resume_digest: bytes | None, now: datetime) -> Checkpoint:
    """What a request asks to store.

    Raises:
        ServiceError: INVALID_ARGUMENT.
    """
    epoch = limits.epoch(request.epoch)
    turns = limits.turns(request.turns, epoch)
    upstream = limits.upstream_handle(request.upstream_handle) if request.HasField("upstream_handle") else None
    ledger = limits.ledger(request.ledger).SerializeToString() if request.HasField("ledger") else None
    return Checkpoint(
        epoch=epoch,
        turns=tuple(Turn(turn.number, turn.SerializeToString()) for turn in turns),
        covered_seq=max((turn.covered_seq for turn in turns), default=0),
        upstream_secret=upstream.secret if upstream else None,
        covers_turn=upstream.covers_turn if upstream else 0,
        resume_digest=resume_digest,
        ledger=ledger,
        continuity=limits.continuity(request.continuity),
        feedback=limits.feedback_changes(request.feedback_changes, now) if request.feedback_changes else (),
        invalidate=bool(request.invalidate_upstream_handle),
    )

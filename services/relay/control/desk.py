"""Takes advice from a platform, at whichever replica: stores it, then tells the one that holds the conversation."""

from typing import Final

from filo.handles.v1 import handles_pb2
from filo.handles.v1 import resources_pb2 as resources
from filo.relay.v1 import relay_pb2 as pb
from services.common import logs
from services.common.clock import Clock
from services.common.errors import Reason, ServiceError
from services.relay.core import events as on
from services.relay.core.model import FeedbackState
from services.relay.feedback import feedback
from services.relay.metrics import Metrics
from services.relay.peers import MARK, Peers
from services.relay.registry import Registry
from services.relay.store import Store

_PATIENCE: Final = 3.0
"""Seconds in which another replica answers; what it would have been told is stored already."""


class Desk:
    """The platform's side of feedback.

    Args:
        store: Where it is kept.
        registry: The conversations that are held here.
        clock: Tells how long an item has left.
        peers: The other replicas.
        metrics: Counts what is given, and what became of that of which nobody was told.
    """

    def __init__(self, store: Store, registry: Registry, clock: Clock, peers: Peers, metrics: Metrics) -> None:
        self._store = store
        self._registry = registry
        self._clock = clock
        self._peers = peers
        self._metrics = metrics.contexts
        self._log = logs.get("relay")

    async def send(self, request: pb.SendFeedbackRequest, *, forwarded: bool) -> pb.SendFeedbackResponse:
        """Store an item, and tell the holder of the conversation. Cancelling may leave it stored and nobody told.

        Args:
            request: The advice.
            forwarded: Another replica asks, which takes us for the holder; it has stored the item.

        Raises:
            ServiceError: As the contract says.
        """
        added = await self._store.add_feedback(
            handles_pb2.AddFeedbackRequest(
                name=request.conversation,
                request_id=request.request_id,
                text=request.text,
                time_to_live=request.time_to_live if request.HasField("time_to_live") else None,
            )
        )
        item = added.feedback
        name = request.conversation
        self._log.debug("feedback", conversation=name, feedback=item.id, characters=len(request.text))
        if not added.stored_before:
            self._metrics.feedback.labels(FeedbackState.ACCEPTED.value).inc()
        if item.state == resources.Feedback.STATE_ACCEPTED:
            await self._tell(request, added, forwarded=forwarded)
        return pb.SendFeedbackResponse(feedback=item)

    async def list(self, request: pb.ListFeedbackRequest) -> pb.ListFeedbackResponse:
        """A page of the feedback of a conversation.

        Raises:
            ServiceError: As the contract says.
        """
        page = await self._store.list_feedback(
            handles_pb2.ListFeedbackRequest(
                name=request.conversation, page_size=request.page_size, page_token=request.page_token
            )
        )
        return pb.ListFeedbackResponse(feedback=page.feedback, next_page_token=page.next_page_token)

    async def _tell(
        self, request: pb.SendFeedbackRequest, added: handles_pb2.AddFeedbackResponse, *, forwarded: bool
    ) -> None:
        """Tell whoever holds the conversation. While nobody does, the item waits for the next attach."""
        if added.attached and added.holder != self._store.holder:
            if forwarded:
                raise _gone(added.feedback.id)
            await self._forward(added.holder, request, added.feedback.id)
            return
        live = await self._registry.held(request.conversation)
        if live is not None:
            live.post(on.FeedbackGiven(feedback(added.feedback, self._clock), live.speaking))
            return
        if added.superseded_id:  # by this call: a repetition names none
            self._metrics.feedback.labels(FeedbackState.SUPERSEDED.value).inc()

    async def _forward(self, holder: str, request: pb.SendFeedbackRequest, item: str) -> None:
        """Tell another replica; it asks the store by the same request id.

        Raises:
            ServiceError: SERVICE_UNAVAILABLE: it cannot be reached, or no longer holds the conversation.
        """
        try:
            async with self._peers.calling(holder) as relay:
                await relay.SendFeedback(request, metadata=MARK, timeout=_PATIENCE)
        except ServiceError as error:
            if not error.meaning.retryable:
                raise
            self._log.warning("feedback not handed over", conversation=request.conversation, feedback=item)
            raise _gone(item) from error


def _gone(item: str) -> ServiceError:
    """The holder is not who it was; the item is stored."""
    return ServiceError(
        Reason.SERVICE_UNAVAILABLE,
        "The feedback is stored, but the replica that held the conversation has just gone; repeat the call, or leave "
        "the feedback to the next attach.",
        {"feedback": item},
        retry_after=1.0,
    )

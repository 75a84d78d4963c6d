"""A sign of life to the handle store; and, after the store was away, a look for what this holder was not told.

The lease may have run out meanwhile. Then nobody was named as the holder to whoever gave feedback, and an item waits
for an attach that need not come: this relay still has the conversation.
"""

from collections.abc import Callable

import structlog

from filo.handles.v1 import handles_pb2
from filo.handles.v1 import resources_pb2 as resources
from services.common import tracing
from services.common.clock import Clock
from services.common.errors import Reason, ServiceError
from services.relay.checkpoints import REFUSED
from services.relay.core import events as on
from services.relay.feedback import feedback
from services.relay.store import Store


class Heartbeat:
    """The sign of life of one conversation's holder.

    Args:
        name: The conversation.
        epoch: The holder's.
        store: Where to say it.
        clock: Tells how long feedback has left.
        post: Told what came of it.
        log: With the conversation bound.
    """

    def __init__(
        self,
        name: str,
        epoch: int,
        store: Store,
        clock: Clock,
        post: Callable[[on.Event], None],
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self._name = name
        self._epoch = epoch
        self._store = store
        self._clock = clock
        self._post = post
        self._log = log
        self._missed = False

    async def beat(self) -> bool:
        """Say it once; a store that is away is asked again the next time. Safe to cancel.

        Returns:
            Whether no other relay has taken the conversation, as far as anybody can tell.
        """
        missed, self._missed = self._missed, True
        try:
            with tracing.quietly():
                await self._store.heartbeat(self._name, self._epoch)
            if missed:
                await self._catch_up()
        except ServiceError as error:
            if not error.meaning.retryable:
                self._log.warning("fenced", reason=error.reason.value)
                self._post(REFUSED.get(error.reason, on.StoreRefused()))
            return error.reason is not Reason.EPOCH_FENCED
        self._missed = False
        return True

    async def _catch_up(self) -> None:
        """Only the newest item can wait."""
        request = handles_pb2.ListFeedbackRequest(name=self._name, page_size=1)
        for item in (await self._store.list_feedback(request)).feedback:
            if item.state == resources.Feedback.STATE_ACCEPTED:
                self._post(on.FeedbackGiven(feedback(item, self._clock)))

"""Makes way for a conversation that another relay still holds, before it is attached here.

Attach always wins, whoever holds the conversation: the epoch fences the holder before. But a holder that is alive knows
more than the store: the newest handle, the turn that has just been completed. And Gemini may refuse to resume a session
whose connection is still open. So the holder is asked to give the conversation back first, in a bounded time. One that
cannot be reached is dead, cut off or paused; what it has not stored, nobody was told that it was.
"""

from collections.abc import Callable

from filo.handles.v1 import resources_pb2 as resources
from services.common import logs
from services.common.errors import Reason, ServiceError
from services.relay.metrics import Metrics
from services.relay.peers import Peers
from services.relay.store import Store


class LeftError(Exception):
    """The client that asked for a conversation has gone meanwhile: nothing is taken from whoever holds it."""


class Takeover:
    """Asks holders to let go.

    Args:
        store: Knows the holder.
        peers: The other replicas.
        metrics: Counts how it went.
    """

    def __init__(self, store: Store, peers: Peers, metrics: Metrics) -> None:
        self._store = store
        self._peers = peers
        self._metrics = metrics
        self._log = logs.get("relay")

    async def make_way(
        self, name: str, mode: resources.Mode.ValueType, owner: resources.Owner, here: Callable[[], bool]
    ) -> None:
        """Wait, bounded, until no other relay holds a conversation, as far as that can be had.

        Raises:
            LeftError: The client is no longer `here`; it may be with the holder again.
            ServiceError: The store does not answer; there is no such conversation; it is not this owner's.
        """
        holder = (await self._store.get(name)).holder
        if not here():
            raise LeftError
        if not holder or holder == self._store.holder:
            return
        try:
            held = await self._peers.release(holder, name, mode, owner)
        except ServiceError as error:
            if error.reason in (Reason.OWNER_MISMATCH, Reason.MODE_MISMATCH):
                raise
            self._log.warning("the holder was not reached", conversation=name, holder=holder, why=error.reason.value)
            self._metrics.takeovers.labels("unreachable").inc()
            return
        self._metrics.takeovers.labels("released" if held else "gone").inc()

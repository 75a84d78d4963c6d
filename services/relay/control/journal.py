"""What happened to a conversation, for those who watch it: `WatchSession`'s events, numbered, kept for a while.

What is kept is what the core said, and when. An event is made of it for those who ask, who are few. A ledger is packed:
as objects the ledgers of an hour of talk would weigh more than all else that is kept of a conversation.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from google.protobuf import duration_pb2

from filo.handles.v1 import resources_pb2 as resources
from filo.relay.v1 import relay_pb2 as pb
from services.common.clock import Clock
from services.relay.core import notices as tell
from services.relay.core.model import Continuity
from services.relay.feedback import feedback_changed
from services.relay.ledgers import ledger_message
from services.relay.log import Log
from services.relay.store import CONTINUITY

_KEPT: Final = 256
"""Events that a watcher whose stream broke can still get: of some hundred turns."""
_EPOCH_BITS: Final = 32


def sequence(epoch: int, position: int) -> int:
    """The number of an event: it grows from epoch to epoch, and within one."""
    return epoch << _EPOCH_BITS | position


def epoch_of(number: int) -> int:
    """The epoch that an event happened in."""
    return number >> _EPOCH_BITS


def position_in(epoch: int, after: int) -> int:
    """Where in this epoch a watcher goes on that has got the event `after`, of this epoch or an earlier one."""
    return after & ((1 << _EPOCH_BITS) - 1) if epoch_of(after) == epoch else 0


class _Noted(NamedTuple):
    """What happened, and when."""

    what: Any
    render: Callable[[Any], pb.WatchSessionResponse]
    time: datetime


class Journal:
    """The events of one epoch.

    Args:
        epoch: The holder's.
        clock: Says when.
    """

    def __init__(self, epoch: int, clock: Clock) -> None:
        self.epoch = epoch
        self._clock = clock
        self._closed = False
        self._log: Log[_Noted] = Log()

    @property
    def last(self) -> int:
        """The sequence number of the newest event."""
        return sequence(self.epoch, self._log.last)

    def observe(self, notice: tell.Notice | tell.FeedbackChanged) -> None:
        """Note what a client or only a watcher is told, if a watcher is to know it."""
        if isinstance(notice, tell.TokensCounted):
            self._add(ledger_message(notice.ledger).SerializeToString(), _ledger)
        elif (render := _EVENTS.get(type(notice))) is not None:
            self._add(notice, render)

    def client_joined(self, continuity: Continuity | None) -> None:
        """A client's socket came."""
        self._add(continuity, _joined)

    def client_left(self) -> None:
        """The client's socket is gone."""
        self._add(None, lambda _: pb.WatchSessionResponse(client_left=pb.ClientLeft()))

    def close(self) -> None:
        """Nothing more happens here."""
        self._closed = True
        self._log.wake()

    async def follow(self, after: int) -> AsyncIterator[pb.WatchSessionResponse]:
        """The events after a sequence number, and those to come, until the conversation is over here."""
        place = position_in(self.epoch, after)
        while True:
            found = self._log.after(place)
            if found is not None:
                place, noted = found
                event = noted.render(noted.what)
                event.sequence = sequence(self.epoch, place)
                event.time.FromDatetime(noted.time)
                yield event
            elif self._closed:
                return
            else:
                await self._log.wait()

    def _add(self, what: object, render: Callable[[Any], pb.WatchSessionResponse]) -> None:
        self._log.append(_Noted(what, render, self._clock.now()), 1)
        self._log.trim(_KEPT)
        self._log.wake()


def _joined(continuity: Continuity | None) -> pb.WatchSessionResponse:
    survived = CONTINUITY[continuity or Continuity.NONE]
    return pb.WatchSessionResponse(client_joined=pb.ClientJoined(continuity=survived))


def _ledger(packed: bytes) -> pb.WatchSessionResponse:
    return pb.WatchSessionResponse(ledger=resources.Ledger.FromString(packed))


def _rotated(notice: tell.Rotated) -> pb.WatchSessionResponse:
    gap = duration_pb2.Duration()
    gap.FromNanoseconds(int(notice.gap * 1e9))
    return pb.WatchSessionResponse(
        rotation_completed=pb.RotationCompleted(
            reason=notice.reason, continuity=CONTINUITY[notice.continuity], gap=gap, turn=notice.turn
        )
    )


_EVENTS: Final[Mapping[type[Any], Callable[[Any], pb.WatchSessionResponse]]] = MappingProxyType(
    {
        tell.Rotating: lambda n: pb.WatchSessionResponse(
            rotation_started=pb.RotationStarted(reason=n.reason, turn=n.turn)
        ),
        tell.Rotated: _rotated,
        tell.TurnEnded: lambda n: pb.WatchSessionResponse(
            turn_completed=pb.TurnCompleted(turn=n.turn, interrupted=n.interrupted)
        ),
        tell.TurnRestarted: lambda n: pb.WatchSessionResponse(
            turn_restarted=pb.TurnRestarted(turn=n.turn, reason=n.reason)
        ),
        tell.UpstreamTrouble: lambda n: pb.WatchSessionResponse(
            upstream_trouble=pb.UpstreamTrouble(message=n.message, retryable=n.retryable)
        ),
        tell.FeedbackChanged: lambda n: pb.WatchSessionResponse(feedback_changed=feedback_changed(n.change)),
        tell.ConversationOver: lambda n: pb.WatchSessionResponse(ended=pb.Ended(reason=n.reason)),
    }
)
"""The notices that a watcher is told besides the ledger, and how; the others are the client's own business."""

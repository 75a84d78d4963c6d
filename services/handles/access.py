"""Who may call the handle store, when callers show certificates; see `services.common.grpc_access`."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from filo.handles.v1 import handles_pb2
from services.common import grpc_access
from services.common.grpc_access import Caller
from services.common.grpc_server import Guard
from services.handles.metrics import Metrics

_SERVICE: Final = handles_pb2.DESCRIPTOR.services_by_name["HandlesService"].full_name
_RELAYS: Final = frozenset({Caller.RELAY})
_BOTH: Final = frozenset({Caller.RELAY, Caller.OPERATOR})

# Whatever gives out a secret, a transcript or the right to write is for relays alone. An operator's program may look,
# end and delete: what `filo handles` does on the machine of the database, it may do from elsewhere.
CALLERS: Final[Mapping[str, frozenset[Caller]]] = MappingProxyType(
    {
        "CreateConversation": _RELAYS,
        "GetConversation": _BOTH,
        "AttachConversation": _RELAYS,
        "HeartbeatConversation": _RELAYS,
        "Checkpoint": _RELAYS,
        "InvalidateUpstreamHandle": _RELAYS,
        "ValidateHandle": _RELAYS,
        "AddFeedback": _RELAYS,
        "ListFeedback": _RELAYS,
        "StreamTurns": _RELAYS,
        "ReleaseConversation": _RELAYS,
        "EndConversation": _BOTH,
        "DeleteConversation": _BOTH,
    }
)
"""Who may make each call. A call without a row is refused."""

TABLE: Final[grpc_access.Table] = MappingProxyType(grpc_access.paths(_SERVICE, CALLERS))
"""The same, by path."""


def guard(metrics: Metrics) -> Guard:
    """What asks before each call.

    Args:
        metrics: Counts refusals, as any other refusal of the call.
    """
    return grpc_access.guard("handles", TABLE, metrics.refused)

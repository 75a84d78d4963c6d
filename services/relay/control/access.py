"""Who may call the relay's control port, when callers show certificates; see `services.common.grpc_access`."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from filo.relay.v1 import relay_pb2
from services.common import grpc_access
from services.common.grpc_access import Caller

_RELAY: Final = frozenset({Caller.RELAY})
_STEER: Final = frozenset({Caller.PLATFORM, Caller.SIMULATOR})
_FORWARDED: Final = _STEER | _RELAY
_OPERATED: Final = _FORWARDED | {Caller.OPERATOR}

# The platform and the simulator run conversations; a relay passes on what reached the wrong replica. An operator's
# program may look at a session and end it, and sees nothing of what is said in it.
CALLERS: Final[Mapping[str, frozenset[Caller]]] = MappingProxyType(
    {
        "CreateSession": _STEER,
        "GetSession": _OPERATED,
        "EndSession": _OPERATED,
        "SendFeedback": _FORWARDED,
        "ListFeedback": _FORWARDED,
        "WatchSession": _FORWARDED,
    }
)
"""Who may make each call of RelayService."""

BETWEEN_REPLICAS: Final[Mapping[str, frozenset[Caller]]] = MappingProxyType({"ReleaseConversation": _RELAY})
"""Who may make each call of ReplicaService."""

_SERVICES: Final = relay_pb2.DESCRIPTOR.services_by_name

TABLE: Final[grpc_access.Table] = MappingProxyType(
    grpc_access.paths(_SERVICES["RelayService"].full_name, CALLERS)
    | grpc_access.paths(_SERVICES["ReplicaService"].full_name, BETWEEN_REPLICAS)
)
"""All of it, by path."""

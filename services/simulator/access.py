"""Who may call the simulator, when callers show certificates; see `services.common.grpc_access`."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from filo.simulator.v1 import simulator_pb2
from services.common import grpc_access
from services.common.grpc_access import Caller

_PEOPLE: Final = frozenset({Caller.PLATFORM, Caller.OPERATOR, Caller.SIMULATOR})

CALLERS: Final[Mapping[str, frozenset[Caller]]] = MappingProxyType(
    {"StartRun": _PEOPLE, "GetRun": _PEOPLE, "ListRuns": _PEOPLE, "WatchRun": _PEOPLE, "StopRun": _PEOPLE}
)
"""Who may make each call of SimulatorService: training costs money, and its transcripts are nobody else's. `filo train`
comes with the simulator's own certificate where it runs beside it."""

TABLE: Final[grpc_access.Table] = MappingProxyType(
    grpc_access.paths(simulator_pb2.DESCRIPTOR.services_by_name["SimulatorService"].full_name, CALLERS)
)
"""All of it, by path."""

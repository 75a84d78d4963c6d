"""Every metric of every service, read from the registries that the services themselves fill."""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric

from filo.handles.v1 import handles_pb2
from filo.relay.v1 import relay_pb2
from filo.simulator.v1 import simulator_pb2
from services.common.grpc_metrics import GrpcMetrics
from services.common.process_metrics import Process
from services.handles.metrics import Metrics as HandlesMetrics
from services.relay.levels import Levels, LevelsCollector
from services.relay.metrics import Metrics as RelayMetrics
from services.simulator.metrics import Metrics as SimulatorMetrics

_HANDLES: Final = handles_pb2.DESCRIPTOR.services_by_name["HandlesService"].full_name
_RELAY: Final = relay_pb2.DESCRIPTOR.services_by_name["RelayService"].full_name
_REPLICA: Final = relay_pb2.DESCRIPTOR.services_by_name["ReplicaService"].full_name
_SIMULATOR: Final = simulator_pb2.DESCRIPTOR.services_by_name["SimulatorService"].full_name
_SHOWN: Final = 12
"""A label with more values than this is told without them."""
_OF_THIS_MACHINE: Final = frozenset({"version", "python", "implementation", "major", "minor", "patchlevel"})
"""Labels whose values are no closed set."""


class Entry(NamedTuple):
    """One metric.

    Args:
        name: As Prometheus stores it, for a histogram without ``_bucket``.
        kind: counter, gauge or histogram.
        labels: Each label and its values; without values where they are many, or not a closed set.
        text: What it means.
    """

    name: str
    kind: str
    labels: Mapping[str, tuple[str, ...]]
    text: str


def _handles(registry: CollectorRegistry) -> None:
    HandlesMetrics(registry)
    GrpcMetrics(registry, "server", [_HANDLES])


def _relay(registry: CollectorRegistry) -> None:
    RelayMetrics(registry)
    LevelsCollector(registry, Levels(lambda: False, *[lambda: 0] * 5))
    GrpcMetrics(registry, "server", [_RELAY, _REPLICA])
    GrpcMetrics(registry, "client", [_HANDLES])


def _simulator(registry: CollectorRegistry) -> None:
    SimulatorMetrics(registry)
    GrpcMetrics(registry, "server", [_SIMULATOR])
    GrpcMetrics(registry, "client", [_RELAY])


_FILL: Final[Mapping[str, Callable[[CollectorRegistry], None]]] = MappingProxyType(
    {"relay": _relay, "handles": _handles, "simulator": _simulator}
)
SERVICES: Final = tuple(_FILL)
"""The services that Prometheus scrapes."""


def registry(service: str) -> CollectorRegistry:
    """A registry as the service has it right after its start."""
    made = CollectorRegistry()
    Process(made, service)
    _FILL[service](made)
    return made


def entries(service: str) -> Iterator[Entry]:
    """The metrics of one service, its own first, each group by name."""
    made = registry(service)
    declared = {
        name: tuple(getattr(collector, "_labelnames", ()))
        for collector, names in made._collector_to_names.items()  # noqa: SLF001 - the library shows labels nowhere else
        for name in names
    }
    own = f"filo_{service}_"
    families = sorted(made.collect(), key=lambda family: (not family.name.startswith(own), family.name))
    for family in families:
        yield Entry(_stored_name(family), family.type, _labels(family, declared), family.documentation)


def names(service: str) -> set[str]:
    """The names of all series that a service gives, a histogram's three among them."""
    found: set[str] = set()
    for entry in entries(service):
        found.add(entry.name)
        if entry.kind == "histogram":
            found |= {f"{entry.name}_{suffix}" for suffix in ("bucket", "sum", "count")}
    return found


def _stored_name(family: Metric) -> str:
    return f"{family.name}_total" if family.type == "counter" else family.name


def _labels(family: Metric, declared: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    found: dict[str, dict[str, None]] = {label: {} for label in declared.get(family.name, ())}
    for sample in family.samples:
        for label, value in sample.labels.items():
            if label != "le":
                found.setdefault(label, {})[value] = None
    return {
        label: () if label in _OF_THIS_MACHINE or len(values) > _SHOWN else tuple(values)
        for label, values in found.items()
    }

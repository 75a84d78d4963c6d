"""Who talks to whom in a cluster: the table that NetworkPolicies are tested against and ``docs/deploy.md`` shows."""

from enum import StrEnum
from typing import Final, NamedTuple


class Party(StrEnum):
    """Whoever may be at one end of a path."""

    RELAY = "relay"
    HANDLES = "handles"
    SIMULATOR = "simulator"
    MIGRATE = "migrate"
    INGRESS = "the ingress controller"
    BACKEND = "the platform's backends"
    TRAINER = "whoever starts training runs"
    MONITORING = "Prometheus"
    DNS = "the cluster's DNS"
    GEMINI = "Gemini"
    DATABASE = "PostgreSQL"
    COLLECTOR = "an OpenTelemetry collector"
    STRANGER = "any other pod"


OURS: Final = (Party.RELAY, Party.HANDLES, Party.SIMULATOR, Party.MIGRATE)
"""Filo's own pods."""
EVERYWHERE: Final = ("dev", "prod")
TRACED: Final = ("the component tracing",)
"""Where an overlay chooses to have traces."""
SHARED: Final = ("the component simulator-database",)
"""Where an overlay chooses to have its training runs in PostgreSQL."""


class Path(NamedTuple):
    """One path.

    Args:
        source: Who connects.
        target: To whom.
        port: Where.
        what: What for.
        overlays: Where there is this path.
    """

    source: Party
    target: Party
    port: int
    what: str
    overlays: tuple[str, ...] = EVERYWHERE


PATHS: Final = (
    Path(Party.INGRESS, Party.RELAY, 7400, "clients' sockets"),
    Path(Party.BACKEND, Party.RELAY, 7401, "the control API"),
    Path(Party.RELAY, Party.RELAY, 7401, "calls about a conversation that another relay holds"),
    Path(Party.RELAY, Party.HANDLES, 7402, "the store"),
    Path(Party.RELAY, Party.GEMINI, 443, "Gemini Live", ("prod",)),
    Path(Party.SIMULATOR, Party.RELAY, 7400, "runs, as any client"),
    Path(Party.SIMULATOR, Party.RELAY, 7401, "sessions of runs"),
    Path(Party.SIMULATOR, Party.RELAY, 7444, "the emulator's account; it is in the relay's pod", ("dev",)),
    Path(Party.TRAINER, Party.SIMULATOR, 7403, "training runs"),
    Path(Party.HANDLES, Party.DATABASE, 5432, "the database", ("prod",)),
    Path(Party.MIGRATE, Party.DATABASE, 5432, "its schema", ("prod",)),
    Path(Party.SIMULATOR, Party.DATABASE, 5432, "runs that several simulators share", SHARED),
    *(Path(party, Party.COLLECTOR, 4317, "traces", TRACED) for party in (Party.RELAY, Party.HANDLES, Party.SIMULATOR)),
    Path(Party.MONITORING, Party.RELAY, 7411, "metrics"),
    Path(Party.MONITORING, Party.HANDLES, 7412, "metrics"),
    Path(Party.MONITORING, Party.SIMULATOR, 7413, "metrics"),
    *(Path(party, Party.DNS, 53, "names") for party in (Party.RELAY, Party.HANDLES, Party.SIMULATOR)),
    Path(Party.MIGRATE, Party.DNS, 53, "names", ("prod",)),
)
"""Every path; there are no others. The kubelet probes pods on their own node, which no policy forbids."""

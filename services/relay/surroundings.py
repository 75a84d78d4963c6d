"""What every conversation of a relay uses."""

from dataclasses import dataclass

from services.common.clock import Clock
from services.common.lateness import Late
from services.common.tracing import Tracer
from services.relay.client.session_tokens import SessionTokens
from services.relay.config import Settings
from services.relay.metrics import Metrics
from services.relay.store import Store
from services.relay.upstream.connection import Dialler
from services.relay.upstream.summaries import Ask


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every conversation of a relay uses.

    Where wanted, `ask` summarises history and `tracer` takes traces; `late` says how late this process is.
    """

    settings: Settings
    clock: Clock
    store: Store
    dialler: Dialler
    tokens: SessionTokens
    metrics: Metrics
    ask: Ask | None = None
    tracer: Tracer | None = None
    late: Late = lambda _: 0.0

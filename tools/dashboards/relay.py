"""Relay health: Gemini's side, the store's side, the process."""

from typing import Final

from tools.dashboards.model import NS, RATE, Dashboard, Kind, Panel, Query, Section, Unit, quantiles, rate, total

_RELAY: Final = f'{NS}, grpc_service="filo.relay.v1.RelayService"'
_INSTANCE: Final = "{{instance}}"

RELAY: Final = Dashboard(
    "filo-relay",
    "Filo / Relay health",
    "Can relays reach Gemini and the store, and do their processes keep up?",
    (
        Section(
            "Gemini",
            (
                Panel(
                    "Open connections",
                    "To Gemini, and from clients.",
                    Kind.LINES,
                    Unit.COUNT,
                    (
                        total("filo_relay_upstream_connections", legend="Gemini"),
                        total("filo_relay_clients", legend="clients"),
                    ),
                ),
                Panel(
                    "Dials, by outcome",
                    "ready, or the class of the close code that they ended with.",
                    Kind.STACK,
                    Unit.RATE,
                    (rate("filo_relay_upstream_dials_total", "outcome"),),
                    alert="FiloUpstreamUnreachable",
                ),
                Panel(
                    "Setup",
                    "From the beginning of a dial until Gemini has completed the setup.",
                    Kind.LINES,
                    Unit.SECONDS,
                    quantiles("filo_relay_upstream_setup_seconds"),
                    warn=1,
                    bad=2,
                    alert="FiloRotationGapLong",
                ),
                Panel(
                    "Closes, by who and code",
                    "relay: a planned rotation, or the end. What Gemini closes with other codes than 1000 is trouble.",
                    Kind.STACK,
                    Unit.RATE,
                    (rate("filo_relay_upstream_closes_total", "by, code", legend="{{by}} {{code}}"),),
                    alert="FiloUpstreamCloses",
                ),
                Panel(
                    "Breaker",
                    "1 while a relay holds its dials back; how often it opens in a minute.",
                    Kind.LINES,
                    Unit.COUNT,
                    (
                        Query(f"max(filo_relay_breaker_open{{{NS}}})", "open"),
                        Query(f"sum(rate(filo_relay_breaker_trips_total{{{NS}}}[{RATE}])) * 60", "trips a minute"),
                    ),
                    bad=1,
                    alert="FiloUpstreamUnreachable",
                ),
                Panel(
                    "Dials at the gate",
                    "So many are made at once (FILO_RELAY_DIALS), the others wait for their turn.",
                    Kind.LINES,
                    Unit.COUNT,
                    (
                        total("filo_relay_dials_waiting", legend="waiting"),
                        total("filo_relay_dials_active", legend="being made"),
                    ),
                ),
                Panel(
                    "Wait at the gate",
                    "99 % waited less. open: a conversation has no connection; standby: its own still works.",
                    Kind.LINES,
                    Unit.SECONDS,
                    (
                        Query(
                            "histogram_quantile(0.99, sum by (purpose, le) "
                            f"(rate(filo_relay_dial_wait_seconds_bucket{{{NS}}}[{RATE}])))",
                            "{{purpose}}",
                        ),
                    ),
                ),
                Panel(
                    "Life of a connection",
                    "From the completed setup on; about ten minutes is Gemini's limit.",
                    Kind.LINES,
                    Unit.SECONDS,
                    quantiles("filo_relay_upstream_life_seconds"),
                ),
            ),
        ),
        Section(
            "Buffers",
            (
                Panel(
                    "Kept for replay, and for clients",
                    "Audio that no handle covers yet; messages for clients that are away or slow.",
                    Kind.LINES,
                    Unit.BYTES,
                    (
                        total("filo_relay_replay_bytes", legend="replay"),
                        total("filo_relay_outbox_bytes", legend="clients"),
                    ),
                ),
                Panel(
                    "Dropped, and sent again",
                    "Audio dropped from a full buffer is lost; what a client sends twice is found and dropped.",
                    Kind.LINES,
                    Unit.RATE,
                    (
                        Query(f"sum(rate(filo_relay_replay_dropped_total{{{NS}}}[{RATE}]))", "dropped"),
                        Query(f"sum(rate(filo_relay_outbox_dropped_total{{{NS}}}[{RATE}]))", "dropped for clients"),
                        Query(f"sum(rate(filo_relay_inputs_duplicate_total{{{NS}}}[{RATE}]))", "sent again"),
                    ),
                    bad=1,
                    alert="FiloReplayDropped",
                ),
            ),
        ),
        Section(
            "Calls",
            (
                Panel(
                    "Client sockets closed, by code",
                    "1000: over; 1001: drain; 1013: come back later; 4401 to 4404: not let in.",
                    Kind.STACK,
                    Unit.RATE,
                    (rate("filo_relay_client_closes_total", "code"),),
                ),
                Panel(
                    "Resume handles that clients presented",
                    "By what they turned out to be.",
                    Kind.STACK,
                    Unit.RATE,
                    (rate("filo_relay_resume_handles_total", "result"),),
                    alert="FiloHandlesGuessed",
                ),
                Panel(
                    "Control API, by method and code",
                    "Calls of the platform's backends.",
                    Kind.STACK,
                    Unit.RATE,
                    (
                        rate(
                            "grpc_server_handled_total",
                            "grpc_method, grpc_code",
                            _RELAY,
                            "{{grpc_method}} {{grpc_code}}",
                        ),
                    ),
                ),
                Panel(
                    "Calls to the handle store",
                    "As the relay sees them, the network included.",
                    Kind.LINES,
                    Unit.SECONDS,
                    quantiles(
                        "grpc_client_handling_seconds",
                        f'{NS}, grpc_service="filo.handles.v1.HandlesService", grpc_type="unary"',
                    ),
                    warn=0.1,
                    bad=0.25,
                    alert="FiloStoreSlow",
                ),
                Panel(
                    "Writes to the handle store that were repeated",
                    "Nothing is lost while the relay lives.",
                    Kind.LINES,
                    Unit.RATE,
                    (Query(f"sum(rate(filo_relay_checkpoint_failures_total{{{NS}}}[{RATE}]))", "repeated"),),
                    bad=0.1,
                    alert="FiloCheckpointsDelayed",
                ),
                Panel(
                    "Takeovers, by what the holder before did",
                    "released: it let go; gone: nobody was there; unreachable: it was fenced at its next write.",
                    Kind.STACK,
                    Unit.RATE,
                    (rate("filo_relay_takeovers_total", "result"),),
                    alert="FiloLeaseConflicts",
                ),
                Panel(
                    "Conversations lost to another relay",
                    "This relay was fenced: another one holds them.",
                    Kind.LINES,
                    Unit.RATE,
                    (Query(f"sum(rate(filo_relay_fenced_total{{{NS}}}[{RATE}]))", "fenced"),),
                    alert="FiloLeaseConflicts",
                ),
            ),
        ),
        Section(
            "Processes",
            (
                Panel(
                    "CPU",
                    "Cores in use by each process; one is the most that a process can use for conversations.",
                    Kind.LINES,
                    Unit.CORES,
                    (Query(f"rate(process_cpu_seconds_total{{{NS}}}[{RATE}])", _INSTANCE),),
                    warn=0.7,
                    bad=0.9,
                    alert="FiloEventLoopLagging",
                ),
                Panel(
                    "Event loop lag",
                    "The 99th percentile. A frame of audio is 20 ms.",
                    Kind.LINES,
                    Unit.SECONDS,
                    (
                        Query(
                            "histogram_quantile(0.99, sum by (instance, le) "
                            f"(rate(filo_event_loop_lag_seconds_bucket{{{NS}}}[{RATE}])))",
                            _INSTANCE,
                        ),
                    ),
                    warn=0.02,
                    bad=0.1,
                    alert="FiloEventLoopLagging",
                ),
                Panel(
                    "Memory",
                    "Resident, of each process.",
                    Kind.LINES,
                    Unit.BYTES,
                    (Query(f"process_resident_memory_bytes{{{NS}}}", _INSTANCE),),
                ),
                Panel(
                    "What runs",
                    "Instances by service and version: two versions of one service are a deploy that has not ended.",
                    Kind.TABLE,
                    Unit.COUNT,
                    (
                        Query(
                            f"count by (service, version, python) (filo_build_info{{{NS}}})", "{{service}} {{version}}"
                        ),
                    ),
                    alert="FiloDown",
                ),
            ),
        ),
    ),
)

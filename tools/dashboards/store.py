"""The handle store: is it quick and right, and does it delete what it should."""

from typing import Final

from tools.dashboards.model import NS, RATE, Dashboard, Kind, Panel, Query, Section, Unit, quantiles, rate

_SERVICE: Final = f'{NS}, grpc_service="filo.handles.v1.HandlesService"'
_UNARY: Final = f'{_SERVICE}, grpc_type="unary"'

STORE: Final = Dashboard(
    "filo-store",
    "Filo / Handle store",
    "Is the store quick and right, who holds what, and is deleted what should be?",
    (
        Section(
            "Calls",
            (
                Panel(
                    "Calls, by method",
                    "A heartbeat every ten seconds and a checkpoint or two a turn are each conversation's share.",
                    Kind.STACK,
                    Unit.RATE,
                    (rate("grpc_server_handled_total", "grpc_method", _SERVICE),),
                ),
                Panel(
                    "Calls that failed",
                    "The store's own failures; refusals are no failures.",
                    Kind.LINES,
                    Unit.SHARE,
                    (Query(f"max(namespace:filo_store_errors:ratio_rate5m{{{NS}}})", "failed"),),
                    warn=0.001,
                    bad=0.01,
                    alert="FiloStoreErrors",
                ),
                Panel(
                    "Calls that were not answered well, by code",
                    "Aborted is a fenced writer, NotFound and FailedPrecondition are conversations that are over.",
                    Kind.STACK,
                    Unit.RATE,
                    (rate("grpc_server_handled_total", "grpc_code", f'{_SERVICE}, grpc_code!="OK"'),),
                    alert="FiloStoreErrors",
                ),
                Panel(
                    "Duration of a call",
                    "Without streams.",
                    Kind.LINES,
                    Unit.SECONDS,
                    quantiles("grpc_server_handling_seconds", _UNARY),
                    warn=0.1,
                    bad=0.25,
                    alert="FiloStoreSlow",
                ),
                Panel(
                    "Slowest methods",
                    "The 99th percentile of each over five minutes.",
                    Kind.LINES,
                    Unit.SECONDS,
                    (Query(f"topk(5, namespace_method:filo_store_seconds:p99_5m{{{NS}}})", "{{grpc_method}}"),),
                    warn=0.1,
                    bad=0.25,
                    alert="FiloStoreSlow",
                ),
            ),
        ),
        Section(
            "Writes",
            (
                Panel(
                    "Conversations created, by result",
                    "repeated: the same request came twice.",
                    Kind.STACK,
                    Unit.RATE,
                    (rate("filo_handles_creates_total", "result"),),
                ),
                Panel(
                    "Feedback given, by result",
                    "Advice that was stored, to be delivered by whoever holds the conversation.",
                    Kind.STACK,
                    Unit.RATE,
                    (rate("filo_handles_feedback_adds_total", "result"),),
                ),
                Panel(
                    "Turns and checkpoints",
                    "Turns stored for the first time, and checkpoints by result.",
                    Kind.LINES,
                    Unit.RATE,
                    (
                        Query(f"sum(rate(filo_handles_turns_total{{{NS}}}[{RATE}]))", "turns"),
                        rate("filo_handles_checkpoints_total", "result", legend="checkpoint {{result}}"),
                    ),
                ),
                Panel(
                    "Writes that shared a commit",
                    "SQLite only: its one writer puts those that wait into one commit.",
                    Kind.LINES,
                    Unit.COUNT,
                    quantiles("filo_handles_commit_writes"),
                ),
            ),
        ),
        Section(
            "Leases",
            (
                Panel(
                    "Attaches, by result",
                    "taken_over: the holder before still had a lease.",
                    Kind.STACK,
                    Unit.RATE,
                    (rate("filo_handles_attaches_total", "result"),),
                    alert="FiloLeaseConflicts",
                ),
                Panel(
                    "Fenced writes",
                    "Writes of relays that no longer held their conversation.",
                    Kind.STACK,
                    Unit.RATE,
                    (rate("filo_handles_fenced_total", "call"),),
                    alert="FiloLeaseConflicts",
                ),
            ),
        ),
        Section(
            "Handles",
            (
                Panel(
                    "Redemptions, by result",
                    "Resume handles presented by clients that attach.",
                    Kind.STACK,
                    Unit.RATE,
                    (rate("filo_handles_redemptions_total", "result"),),
                    alert="FiloHandlesGuessed",
                ),
                Panel(
                    "Validations, by result",
                    "Resume handles judged without use.",
                    Kind.STACK,
                    Unit.RATE,
                    (rate("filo_handles_validations_total", "result"),),
                    alert="FiloHandlesGuessed",
                ),
                Panel(
                    "Age of handles that are given out",
                    "Gemini's handles at an attach. Old ones resume less often.",
                    Kind.LINES,
                    Unit.SECONDS,
                    quantiles("filo_handles_handle_age_seconds"),
                ),
            ),
        ),
        Section(
            "Sweeper",
            (
                Panel(
                    "Lag",
                    "How long the longest overdue conversation had waited when the sweeper came.",
                    Kind.LINES,
                    Unit.SECONDS,
                    (Query(f"max by (kind) (filo_handles_sweep_lag_seconds{{{NS}}})", "{{kind}}"),),
                    warn=600,
                    bad=1800,
                    alert="FiloSweeperLag",
                ),
                Panel(
                    "Rounds, by result",
                    "One a minute from each replica.",
                    Kind.STACK,
                    Unit.RATE,
                    (rate("filo_handles_sweeps_total", "result"),),
                    alert="FiloSweeperLag",
                ),
                Panel(
                    "Deleted, by why",
                    "Handles that expired, conversations that were abandoned, ended, or deleted at somebody's word.",
                    Kind.STACK,
                    Unit.RATE,
                    (rate("filo_handles_deletions_total", "kind"),),
                ),
            ),
        ),
    ),
)

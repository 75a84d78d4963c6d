"""Training runs: do they survive, and what do their checks say."""

from typing import Final

from tools.dashboards.model import NS, RATE, Dashboard, Kind, Panel, Query, Section, Unit, quantiles, rate, total

TRAINING: Final = Dashboard(
    "filo-training",
    "Filo / Training runs",
    "Do training runs survive every cut, and what do their checks say?",
    (
        Section(
            "Runs",
            (
                Panel(
                    "In progress",
                    "Runs that talk now.",
                    Kind.STAT,
                    Unit.COUNT,
                    (total("filo_simulator_runs_running"),),
                ),
                Panel(
                    "Lost or failed in the last hour",
                    "A run that did not survive; its report says in which turn and why.",
                    Kind.STAT,
                    Unit.COUNT,
                    (Query(f'sum(increase(filo_simulator_runs_total{{{NS}, outcome=~"lost|failed"}}[1h]))', "runs"),),
                    bad=1,
                    alert="FiloTrainingRunsLost",
                ),
                Panel(
                    "Ended, by outcome",
                    "Runs an hour.",
                    Kind.STACK,
                    Unit.COUNT,
                    (
                        Query(
                            f"sum by (outcome) (rate(filo_simulator_runs_total{{{NS}}}[{RATE}])) * 3600", "{{outcome}}"
                        ),
                    ),
                    alert="FiloTrainingRunsLost",
                ),
                Panel(
                    "Turns",
                    "Answers heard to their end.",
                    Kind.LINES,
                    Unit.RATE,
                    (Query(f"sum(rate(filo_simulator_turns_total{{{NS}}}[{RATE}]))", "turns"),),
                ),
            ),
        ),
        Section(
            "Checks",
            (
                Panel(
                    "Checks, by whether they passed",
                    "Every check of every run that has ended, within the hour.",
                    Kind.STACK,
                    Unit.COUNT,
                    (Query(f"sum by (result) (increase(filo_simulator_checks_total{{{NS}}}[1h]))", "{{result}}"),),
                    alert="FiloTrainingRunsLost",
                ),
                Panel(
                    "Checks that failed, by name",
                    "What a run did not hold: its report shows the turns.",
                    Kind.STACK,
                    Unit.COUNT,
                    (
                        Query(
                            f'sum by (check) (increase(filo_simulator_checks_total{{{NS}, result="failed"}}[1h]))',
                            "{{check}}",
                        ),
                    ),
                    alert="FiloTrainingRunsLost",
                ),
            ),
        ),
        Section(
            "Cuts",
            (
                Panel(
                    "Reconnects of the client's socket",
                    "By why it was lost and what came of the attempt.",
                    Kind.STACK,
                    Unit.RATE,
                    (rate("filo_simulator_reconnects_total", "reason, outcome", legend="{{reason}} {{outcome}}"),),
                ),
                Panel(
                    "Rotations",
                    "Connections to Gemini that the relay replaced under a run.",
                    Kind.LINES,
                    Unit.RATE,
                    (Query(f"sum(rate(filo_simulator_rotations_total{{{NS}}}[{RATE}]))", "rotations"),),
                ),
                Panel(
                    "Gap of a reconnect",
                    "From the loss of a run's socket to its return.",
                    Kind.LINES,
                    Unit.SECONDS,
                    quantiles("filo_simulator_reconnect_gap_seconds"),
                ),
            ),
        ),
    ),
)

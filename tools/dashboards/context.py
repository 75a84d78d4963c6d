"""Context tokens: what fills the window, and what was saved."""

from typing import Final

from tools.dashboards.model import NS, RATE, REAL, Dashboard, Kind, Panel, Query, Section, Unit, quantiles

CONTEXT: Final = Dashboard(
    "filo-context",
    "Filo / Context tokens",
    "What fills the models' context windows, what it costs, and what removing stale advice saves.",
    (
        Section(
            "Window",
            (
                Panel(
                    "Share of the window",
                    "The prompt of a turn as a share of the model's window, over all conversations.",
                    Kind.LINES,
                    Unit.SHARE,
                    quantiles("filo_relay_context_window_ratio"),
                    warn=0.8,
                    bad=0.9,
                    alert="FiloContextNearWindow",
                ),
                Panel(
                    "Tokens of a prompt",
                    "The same as a number of tokens.",
                    Kind.LINES,
                    Unit.COUNT,
                    quantiles("filo_relay_context_tokens"),
                    alert="FiloContextNearWindow",
                ),
            ),
        ),
        Section(
            "All conversations",
            (
                Panel(
                    "Context of a turn, by category",
                    "The 95th percentile of each category, over all conversations and without any session's name.",
                    Kind.LINES,
                    Unit.COUNT,
                    (
                        Query(
                            "histogram_quantile(0.95, sum by (category, le) "
                            f"(rate(filo_relay_context_category_tokens_bucket{{{NS}}}[{RATE}])))",
                            "{{category}}",
                        ),
                    ),
                    alert="FiloContextNearWindow",
                ),
            ),
        ),
        Section(
            "Sessions",
            (
                Panel(
                    "Context, by category",
                    "All sessions together. Stale feedback was answered already: it should be near 0.",
                    Kind.STACK,
                    Unit.COUNT,
                    (Query(f"sum by (category) (filo_relay_session_context_tokens{{{NS}}})", "{{category}}"),),
                ),
                Panel(
                    "The ten largest sessions",
                    "Tokens in the context of each, now.",
                    Kind.TABLE,
                    Unit.COUNT,
                    (Query(f"topk(10, sum by (session) (filo_relay_session_context_tokens{{{NS}}}))", "{{session}}"),),
                ),
                Panel(
                    "Context of each session",
                    "The ten largest, over time: a step down is compression or a rebuilt context.",
                    Kind.LINES,
                    Unit.COUNT,
                    (Query(f"topk(10, sum by (session) (filo_relay_session_context_tokens{{{NS}}}))", "{{session}}"),),
                ),
                Panel(
                    "Stale feedback, each session",
                    "Advice that was answered and is still in the context. It should stay near 0.",
                    Kind.LINES,
                    Unit.COUNT,
                    (
                        Query(
                            f'topk(10, filo_relay_session_context_tokens{{{NS}, category="feedback_stale"}})',
                            "{{session}}",
                        ),
                    ),
                ),
            ),
        ),
        Section(
            "Cost",
            (
                Panel(
                    "Billed tokens",
                    "As Gemini counts them: every turn pays for the whole prompt.",
                    Kind.STACK,
                    Unit.RATE,
                    (Query(f"sum by (kind) (rate(filo_relay_tokens_billed_total{{{REAL}}}[{RATE}]))", "{{kind}}"),),
                ),
                Panel(
                    "Billed tokens, each turn",
                    "What one turn costs on the average.",
                    Kind.LINES,
                    Unit.COUNT,
                    (
                        Query(
                            f"sum(rate(filo_relay_tokens_billed_total{{{REAL}}}[{RATE}]))"
                            f" / sum(rate(filo_relay_turns_total{{{REAL}}}[{RATE}]))",
                            "tokens",
                        ),
                    ),
                ),
                Panel(
                    "Saved by removing feedback",
                    "Tokens that were not in a prompt because stale advice had been removed from it.",
                    Kind.LINES,
                    Unit.RATE,
                    (Query(f"sum(rate(filo_relay_feedback_tokens_saved_total{{{NS}}}[{RATE}]))", "saved"),),
                ),
                Panel(
                    "Feedback, by what became of it",
                    "Accepted, superseded before it was delivered, delivered, removed, expired; and removals that "
                    "usage metadata did not show, of which there should be none.",
                    Kind.STACK,
                    Unit.RATE,
                    (
                        Query(f"sum by (state) (rate(filo_relay_feedback_total{{{NS}}}[{RATE}]))", "{{state}}"),
                        Query(
                            f"sum(rate(filo_relay_feedback_unverified_removals_total{{{NS}}}[{RATE}]))",
                            "removal not seen",
                        ),
                    ),
                ),
            ),
        ),
    ),
)

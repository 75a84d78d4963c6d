"""Conversations: do they survive, and what do people notice of it."""

from typing import Final

from tools.dashboards.model import NS, RATE, REAL, Dashboard, Kind, Panel, Query, Section, Unit, quantiles, rate, total

_DONE: Final = 'outcome="completed"'

CONVERSATIONS: Final = Dashboard(
    "filo-conversations",
    "Filo / Conversations",
    "Do conversations survive their connections, and what does a caller notice of it?",
    (
        Section(
            "Now",
            (
                Panel(
                    "Conversations",
                    "Conversations that relays hold now, tests among them as chosen above.",
                    Kind.STAT,
                    Unit.COUNT,
                    (total("filo_relay_conversations", REAL),),
                ),
                Panel(
                    "Lost, of those that ended",
                    "Upstream, store or relay failed them, within the last hour. The objective is half a percent.",
                    Kind.STAT,
                    Unit.SHARE,
                    (Query(f"max(namespace:filo_conversations_lost:ratio_rate1h{{{NS}}})", "lost"),),
                    warn=0.005,
                    bad=0.072,
                    alert="FiloConversationsLostFast",
                ),
                Panel(
                    "Reconnects a minute, each conversation",
                    "One in ten minutes is normal: Gemini's connections live that long.",
                    Kind.STAT,
                    Unit.COUNT,
                    (Query(f"max(namespace:filo_reconnects_per_conversation:rate2m{{{NS}}}) * 60", "a minute"),),
                    warn=0.5,
                    bad=1,
                    alert="FiloReconnectStorm",
                ),
                Panel(
                    "Reconnects without context",
                    "Of the reconnects of the last hour, those after which the agent knew nothing.",
                    Kind.STAT,
                    Unit.SHARE,
                    (Query(f"max(namespace:filo_continuity_none:ratio_rate1h{{{NS}}})", "continuity none"),),
                    warn=0.005,
                    bad=0.072,
                    alert="FiloContextLost",
                ),
            ),
        ),
        Section(
            "Conversations",
            (
                Panel(
                    "Active, by mode",
                    "Conversations that relays hold.",
                    Kind.STACK,
                    Unit.COUNT,
                    (Query(f"sum by (mode) (filo_relay_conversations{{{REAL}}})", "{{mode}}"),),
                ),
                Panel(
                    "Ended, by why",
                    "over is good; abandoned: the client stayed away; drain, replaced: elsewhere; others: lost.",
                    Kind.STACK,
                    Unit.RATE,
                    (rate("filo_relay_conversations_ended_total", "ending", REAL),),
                    alert="FiloConversationsLostSlow",
                ),
                Panel(
                    "Lost, of those that ended",
                    "Over five minutes and over six hours; the alerts compare both with the budget.",
                    Kind.LINES,
                    Unit.SHARE,
                    (
                        Query(f"max(namespace:filo_conversations_lost:ratio_rate5m{{{NS}}})", "5 minutes"),
                        Query(f"max(namespace:filo_conversations_lost:ratio_rate6h{{{NS}}})", "6 hours"),
                    ),
                    warn=0.03,
                    bad=0.072,
                    alert="FiloConversationsLostSlow",
                ),
                Panel(
                    "Turns",
                    "Completed, and cut and begun again.",
                    Kind.LINES,
                    Unit.RATE,
                    (
                        Query(f"sum(rate(filo_relay_turns_total{{{REAL}}}[{RATE}]))", "completed"),
                        Query(f"sum(rate(filo_relay_turns_restarted_total{{{REAL}}}[{RATE}]))", "restarted"),
                    ),
                ),
            ),
        ),
        Section(
            "Reconnects",
            (
                Panel(
                    "Reconnects of single sessions",
                    "The ten with the most at the relay that holds them now. A setting bounds how many have series.",
                    Kind.TABLE,
                    Unit.COUNT,
                    (
                        Query(
                            f"topk(10, sum by (session, side) (filo_relay_session_reconnects{{{NS}}}))",
                            "{{session}} {{side}}",
                        ),
                    ),
                ),
                Panel(
                    "Reconnects, by side and reason",
                    "upstream: the connection to Gemini; client: the client's own socket.",
                    Kind.STACK,
                    Unit.RATE,
                    (rate("filo_relay_reconnects_total", "side, reason", REAL, "{{side}} {{reason}}"),),
                    alert="FiloReconnectStorm",
                ),
                Panel(
                    "Reconnects, by continuity",
                    "handle: Gemini's own context; rebased, transcript: rebuilt; none: forgotten.",
                    Kind.STACK,
                    Unit.RATE,
                    (rate("filo_relay_reconnects_total", "continuity", f"{REAL}, {_DONE}"),),
                    alert="FiloContextLost",
                ),
                Panel(
                    "Reconnects, by what closed the connection before",
                    "own: the relay planned it; refused, failed, cut: it did not.",
                    Kind.STACK,
                    Unit.RATE,
                    (rate("filo_relay_reconnects_total", "side, close_class", REAL, "{{side}} {{close_class}}"),),
                    alert="FiloUpstreamCloses",
                ),
                Panel(
                    "Reconnects that failed",
                    "Given up by the relay, or the client never returned.",
                    Kind.STACK,
                    Unit.RATE,
                    (
                        rate(
                            "filo_relay_reconnects_total",
                            "side, reason",
                            f'{REAL}, outcome="failed"',
                            "{{side}} {{reason}}",
                        ),
                    ),
                    alert="FiloConversationsLostSlow",
                ),
                Panel(
                    "Reconnects of one conversation",
                    "Seen at its end; the average of the conversations that ended.",
                    Kind.LINES,
                    Unit.COUNT,
                    (
                        Query(
                            f"sum by (side) (rate(filo_relay_conversation_reconnects_sum{{{NS}}}[{RATE}]))"
                            f" / sum by (side) (rate(filo_relay_conversation_reconnects_count{{{NS}}}[{RATE}]))",
                            "{{side}}",
                        ),
                    ),
                ),
            ),
        ),
        Section(
            "Gaps",
            (
                Panel(
                    "Gap of a rotation",
                    "From the end of one connection to Gemini to the start of the next; the client's socket is open.",
                    Kind.LINES,
                    Unit.SECONDS,
                    quantiles("filo_relay_rotation_gap_seconds"),
                    warn=1,
                    bad=2,
                    alert="FiloRotationGapLong",
                ),
                Panel(
                    "Gap of a client",
                    "From the loss of a client's socket to its return to the same relay.",
                    Kind.LINES,
                    Unit.SECONDS,
                    quantiles("filo_relay_client_gap_seconds"),
                ),
            ),
        ),
    ),
)
